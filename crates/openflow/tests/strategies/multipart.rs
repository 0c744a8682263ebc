//! Multipart bodies.

use openflow::message::*;
use openflow::multipart::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::actions::instruction;
use super::bodies::{a_port, band, bucket};
use super::{blob, field, matching, port};

fn table_features() -> impl Strategy<Value = TableFeatures> {
    let ids = || {
        vec(
            (any::<u16>(), blob(8)).prop_map(|(kind, data)| FeatureId { kind, data }),
            0..4,
        )
    };
    let fields = || vec(field().prop_map(Into::into), 0..5);
    let property = prop_oneof![
        (any::<bool>(), ids()).prop_map(|(miss, ids)| TableProperty::Instructions { miss, ids }),
        (any::<bool>(), vec(any::<u8>(), 0..9))
            .prop_map(|(miss, tables)| TableProperty::NextTables { miss, tables }),
        (any::<bool>(), ids()).prop_map(|(miss, ids)| TableProperty::WriteActions { miss, ids }),
        (any::<bool>(), ids()).prop_map(|(miss, ids)| TableProperty::ApplyActions { miss, ids }),
        fields().prop_map(TableProperty::Match),
        fields().prop_map(TableProperty::Wildcards),
        (any::<bool>(), fields())
            .prop_map(|(miss, fields)| TableProperty::WriteSetField { miss, fields }),
        (any::<bool>(), fields())
            .prop_map(|(miss, fields)| TableProperty::ApplySetField { miss, fields }),
        (100u16.., blob(9)).prop_map(|(kind, data)| TableProperty::Unknown { kind, data }),
    ];
    (any::<(u8, u64, u64, u32, u32)>(), vec(property, 0..5)).prop_map(
        |((table_id, metadata_match, metadata_write, config, max_entries), properties)| {
            TableFeatures {
                table_id,
                name: "a table".into(),
                metadata_match,
                metadata_write,
                config,
                max_entries,
                properties,
            }
        },
    )
}

fn flow_request() -> impl Strategy<Value = FlowStatsRequest> {
    (any::<(u8, u32, u64, u64)>(), port(), matching()).prop_map(
        |((table_id, out_group, cookie, cookie_mask), out_port, matching)| FlowStatsRequest {
            table_id,
            out_port,
            out_group,
            cookie,
            cookie_mask,
            matching,
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = MultipartRequestBody> {
    use MultipartRequestBody as R;
    prop_oneof![
        prop_oneof![
            Just(R::Desc),
            Just(R::Table),
            Just(R::GroupDesc),
            Just(R::GroupFeatures),
            Just(R::MeterFeatures),
            Just(R::PortDesc),
        ],
        flow_request().prop_map(R::Flow),
        flow_request().prop_map(R::Aggregate),
        port().prop_map(R::PortStats),
        (port(), any::<u32>())
            .prop_map(|(port_no, queue_id)| R::Queue(QueueStatsRequest { port_no, queue_id })),
        any::<u32>().prop_map(R::Group),
        any::<u32>().prop_map(R::Meter),
        any::<u32>().prop_map(R::MeterConfig),
        vec(table_features(), 0..3).prop_map(R::TableFeatures),
        (any::<(u32, u32)>(), blob(20)).prop_map(|((experimenter, kind), data)| R::Experimenter {
            experimenter,
            kind,
            data
        }),
        (100u16..0xffff, blob(20)).prop_map(|(kind, data)| R::Opaque { kind, data }),
    ]
}

fn flow_stats() -> impl Strategy<Value = FlowStats> {
    (
        any::<[u64; 3]>(),
        any::<[u16; 4]>(),
        any::<(u8, u32, u32)>(),
        matching(),
        vec(instruction(), 0..3),
    )
        .prop_map(
            |([cookie, packets, bytes], [priority, idle, hard, flags], (table_id, s, ns), m, i)| {
                FlowStats {
                    table_id,
                    duration_sec: s,
                    duration_nsec: ns,
                    priority,
                    idle_timeout: idle,
                    hard_timeout: hard,
                    flags: FlowModFlags(flags),
                    importance: 0,
                    cookie,
                    packet_count: packets,
                    byte_count: bytes,
                    matching: m,
                    instructions: i,
                }
            },
        )
}

pub(crate) fn reply() -> impl Strategy<Value = MultipartReplyBody> {
    use MultipartReplyBody as R;
    prop_oneof![
        "[a-z]{0,40}".prop_map(|text| R::Desc(Box::new(SwitchDesc {
            mfr_desc: text.as_str().into(),
            serial_num: text.as_str().into(),
            ..SwitchDesc::default()
        }))),
        vec(flow_stats(), 0..4).prop_map(R::Flow),
        any::<(u64, u64, u32)>().prop_map(|(packet_count, byte_count, flow_count)| {
            R::Aggregate(AggregateStats {
                packet_count,
                byte_count,
                flow_count,
            })
        }),
        vec(any::<(u8, u32, u64, u64)>(), 0..4).prop_map(|tables| R::Table(
            tables
                .into_iter()
                .map(
                    |(table_id, active_count, lookup_count, matched_count)| TableStats {
                        table_id,
                        active_count,
                        lookup_count,
                        matched_count
                    }
                )
                .collect()
        )),
        (port(), any::<[u64; 12]>(), any::<[u32; 2]>()).prop_map(
            |(port_no, [a, b, c, d, e, f, g, h, i, j, k, l], [s, ns])| R::PortStats(vec![
                PortStats {
                    port_no,
                    rx_packets: a,
                    tx_packets: b,
                    rx_bytes: c,
                    tx_bytes: d,
                    rx_dropped: e,
                    tx_dropped: f,
                    rx_errors: g,
                    tx_errors: h,
                    rx_frame_err: i,
                    rx_over_err: j,
                    rx_crc_err: k,
                    collisions: l,
                    duration_sec: s,
                    duration_nsec: ns
                };
                2
            ])
        ),
        (port(), any::<[u64; 3]>(), any::<[u32; 3]>()).prop_map(
            |(port_no, [tx_bytes, tx_packets, tx_errors], [queue_id, s, ns])| R::Queue(vec![
                QueueStats {
                    port_no,
                    queue_id,
                    tx_bytes,
                    tx_packets,
                    tx_errors,
                    duration_sec: s,
                    duration_nsec: ns
                }
            ])
        ),
        (
            any::<[u32; 4]>(),
            any::<[u64; 2]>(),
            vec(any::<(u64, u64)>(), 0..4)
        )
            .prop_map(
                |([group_id, ref_count, s, ns], [packet_count, byte_count], buckets)| R::Group(
                    vec![GroupStats {
                        group_id,
                        ref_count,
                        packet_count,
                        byte_count,
                        duration_sec: s,
                        duration_nsec: ns,
                        buckets: buckets
                            .into_iter()
                            .map(|(packet_count, byte_count)| BucketCounter {
                                packet_count,
                                byte_count
                            })
                            .collect(),
                    }]
                )
            ),
        (any::<u8>(), any::<u32>(), vec(bucket(), 0..3)).prop_map(|(t, group_id, buckets)| {
            R::GroupDesc(vec![GroupDesc {
                group_type: t.into(),
                group_id,
                buckets,
            }])
        }),
        any::<[u32; 10]>().prop_map(|[a, b, c, d, e, f, g, h, i, j]| R::GroupFeatures(
            GroupFeatures {
                types: a,
                capabilities: b,
                max_all: c,
                max_select: d,
                max_indirect: e,
                max_fast_failover: f,
                actions_all: g,
                actions_select: h,
                actions_indirect: i,
                actions_fast_failover: j
            }
        )),
        (
            any::<[u32; 4]>(),
            any::<[u64; 2]>(),
            vec(any::<(u64, u64)>(), 0..4)
        )
            .prop_map(
                |([meter_id, flow_count, s, ns], [packets, bytes], bands)| R::Meter(vec![
                    MeterStats {
                        meter_id,
                        flow_count,
                        packet_in_count: packets,
                        byte_in_count: bytes,
                        duration_sec: s,
                        duration_nsec: ns,
                        bands: bands
                            .into_iter()
                            .map(|(packet_count, byte_count)| MeterBandStats {
                                packet_count,
                                byte_count
                            })
                            .collect(),
                    }
                ])
            ),
        (any::<u16>(), any::<u32>(), vec(band(), 0..4)).prop_map(|(flags, meter_id, bands)| {
            R::MeterConfig(vec![MeterConfig {
                flags: MeterFlags(flags),
                meter_id,
                bands,
            }])
        }),
        any::<(u32, u32, u32, u8, u8)>().prop_map(
            |(max_meter, band_types, capabilities, max_bands, max_color)| R::MeterFeatures(
                MeterFeatures {
                    max_meter,
                    band_types,
                    capabilities,
                    max_bands,
                    max_color
                }
            )
        ),
        vec(table_features(), 0..3).prop_map(R::TableFeatures),
        vec(a_port(), 0..4).prop_map(R::PortDesc),
        (any::<(u32, u32)>(), blob(20)).prop_map(|((experimenter, kind), data)| R::Experimenter {
            experimenter,
            kind,
            data
        }),
        (100u16..0xffff, blob(20)).prop_map(|(kind, data)| R::Opaque { kind, data }),
    ]
}
