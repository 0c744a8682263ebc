//! Bodies and messages.

use openflow::message::*;
use openflow::multipart::*;
use openflow::{Body, FixedText, FlowMod, MacAddr, Message, PacketOut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::actions::{action, instruction};
use super::multipart::{reply, request};
use super::{blob, matching, port};

fn flow_mod() -> impl Strategy<Value = FlowMod> {
    (
        any::<(u64, u64, u8, u8)>(),
        any::<[u16; 3]>(),
        (port(), any::<u16>()),
        matching(),
        vec(instruction(), 0..4),
    )
        .prop_map(
            |((cookie, mask, table, command), [idle, hard, priority], (out, flags), m, i)| {
                FlowMod {
                    cookie,
                    cookie_mask: mask,
                    table_id: table,
                    command: command.into(),
                    idle_timeout: idle,
                    hard_timeout: hard,
                    priority,
                    out_port: out,
                    flags: FlowModFlags(flags),
                    matching: m,
                    instructions: i,
                    ..FlowMod::default()
                }
            },
        )
}

pub(crate) fn bucket() -> impl Strategy<Value = Bucket> {
    (any::<u16>(), port(), any::<u32>(), vec(action(), 0..3)).prop_map(
        |(weight, watch_port, watch_group, actions)| Bucket {
            weight,
            watch_port,
            watch_group,
            actions,
        },
    )
}

pub(crate) fn band() -> impl Strategy<Value = MeterBand> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(rate, burst)| MeterBand::Drop { rate, burst }),
        any::<(u32, u32, u8)>().prop_map(|(rate, burst, prec_level)| MeterBand::DscpRemark {
            rate,
            burst,
            prec_level
        }),
        (any::<[u32; 3]>(), blob(9)).prop_map(|([rate, burst, experimenter], data)| {
            MeterBand::Experimenter {
                rate,
                burst,
                experimenter,
                data,
            }
        }),
        (100u16..0xffff, blob(9)).prop_map(|(kind, data)| MeterBand::Unknown { kind, data }),
    ]
}

pub(crate) fn a_port() -> impl Strategy<Value = Port> {
    (
        port(),
        any::<[u8; 6]>(),
        any::<[u8; 16]>(),
        any::<[u32; 8]>(),
    )
        .prop_map(|(port_no, mac, name, [a, b, c, d, e, f, g, h])| Port {
            port_no,
            hw_addr: MacAddr(mac),
            name: FixedText(name),
            config: PortConfig(a),
            state: PortState(b),
            curr: PortFeatures(c),
            advertised: PortFeatures(d),
            supported: PortFeatures(e),
            peer: PortFeatures(f),
            curr_speed: g,
            max_speed: h,
        })
}

fn queue() -> impl Strategy<Value = PacketQueue> {
    let property = prop_oneof![
        any::<u16>().prop_map(QueueProperty::MinRate),
        any::<u16>().prop_map(QueueProperty::MaxRate),
        (any::<u32>(), blob(9))
            .prop_map(|(experimenter, data)| QueueProperty::Experimenter { experimenter, data }),
        (100u16..0xffff, vec(any::<u8>(), 4..20)).prop_map(|(kind, data)| QueueProperty::Unknown {
            kind,
            data: data.into()
        }),
    ];
    (any::<u32>(), port(), vec(property, 0..4)).prop_map(|(queue_id, port, properties)| {
        PacketQueue {
            queue_id,
            port,
            properties,
        }
    })
}

fn experimenter() -> impl Strategy<Value = Experimenter> {
    prop_oneof![
        bundle_control().prop_map(Experimenter::BundleControl),
        bundle_add().prop_map(|add| Experimenter::BundleAdd(Box::new(add))),
        any::<u32>().prop_map(|f| Experimenter::Nicira(NiciraMessage::SetPacketInFormat(f))),
        any::<u16>().prop_map(|id| Experimenter::Nicira(NiciraMessage::SetControllerId(id))),
        Just(Experimenter::Nicira(NiciraMessage::TlvTableRequest)),
        (any::<u16>(), vec(tlv_map(), 0..4)).prop_map(|(command, maps)| {
            Experimenter::Nicira(NiciraMessage::TlvTableMod(TlvTableMod {
                command: command.into(),
                maps,
            }))
        }),
        (any::<(u32, u16)>(), vec(tlv_map(), 0..4)).prop_map(
            |((max_option_space, max_fields), maps)| Experimenter::Nicira(
                NiciraMessage::TlvTableReply(TlvTableReply {
                    max_option_space,
                    max_fields,
                    maps
                })
            )
        ),
        vec((any::<u16>(), blob(30)), 0..5).prop_map(|properties| Experimenter::Nicira(
            NiciraMessage::PacketIn2(PacketIn2 {
                properties: properties
                    .into_iter()
                    .map(|(kind, data)| PacketInProperty {
                        kind: kind.into(),
                        data
                    })
                    .collect(),
            })
        )),
        (0x10000u32..0x4f00_0000, any::<u32>(), blob(30)).prop_map(|(experimenter, kind, data)| {
            Experimenter::Other {
                experimenter,
                kind,
                data,
            }
        }),
    ]
}

fn tlv_map() -> impl Strategy<Value = TlvMap> {
    any::<(u16, u8, u8, u16)>().prop_map(|(option_class, option_type, option_len, index)| TlvMap {
        option_class,
        option_type,
        option_len,
        index,
    })
}

fn bundle_control() -> impl Strategy<Value = BundleControl> {
    any::<(u32, u16, u16)>().prop_map(|(bundle_id, kind, flags)| BundleControl {
        bundle_id,
        kind: kind.into(),
        flags: BundleFlags(flags),
    })
}

fn bundle_add() -> impl Strategy<Value = BundleAdd> {
    (any::<(u32, u16, u32)>(), flow_mod(), blob(8)).prop_map(
        |((bundle_id, flags, xid), rule, properties)| BundleAdd {
            bundle_id,
            flags: BundleFlags(flags),
            message: Message::new(xid, rule),
            properties,
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let element = prop_oneof![
        vec(any::<u32>(), 0..4).prop_map(HelloElement::VersionBitmap),
        (2u16.., blob(9)).prop_map(|(kind, data)| HelloElement::Unknown { kind, data }),
    ];
    vec(element, 0..4).prop_map(|elements| Hello {
        elements,
        ..Hello::default()
    })
}

fn body() -> impl Strategy<Value = Body> {
    let state = prop_oneof![
        hello().prop_map(Body::from),
        (0u16..0xffff, any::<u16>(), blob(70)).prop_map(|(kind, code, data)| Body::Error(
            ErrorMessage {
                kind,
                code,
                experimenter: None,
                data
            }
        )),
        blob(20).prop_map(Body::EchoRequest),
        blob(20).prop_map(Body::EchoReply),
        prop_oneof![
            Just(Body::FeaturesRequest),
            Just(Body::GetConfigRequest),
            Just(Body::BarrierRequest),
            Just(Body::BarrierReply),
            Just(Body::GetAsyncRequest),
        ],
        any::<(u64, u32, u8, u8, u32, u32)>().prop_map(|(id, n, tables, aux, bits, reserved)| {
            Body::FeaturesReply(Features {
                datapath_id: id,
                n_buffers: n,
                n_tables: tables,
                auxiliary_id: aux,
                capabilities: Capabilities(bits),
                reserved,
            })
        }),
        any::<(u16, u16)>().prop_map(|(flags, miss_send_len)| Body::SetConfig(SwitchConfig {
            flags: ConfigFlags(flags),
            miss_send_len
        })),
        any::<(u32, u64)>().prop_map(|(role, generation_id)| Body::RoleRequest(ControllerRole {
            role: role.into(),
            generation_id
        })),
        any::<[u32; 6]>().prop_map(|[a, b, c, d, e, f]| Body::SetAsync(AsyncConfig {
            packet_in: AsyncProperty {
                master: a,
                slave: b
            },
            port_status: AsyncProperty {
                master: c,
                slave: d
            },
            flow_removed: AsyncProperty {
                master: e,
                slave: f
            },
        })),
        any::<(u8, u32)>()
            .prop_map(|(table_id, config)| Body::TableMod(TableMod { table_id, config })),
        port().prop_map(|port| Body::QueueGetConfigRequest { port }),
        (port(), vec(queue(), 0..3)).prop_map(|(port, queues)| Body::QueueGetConfigReply(
            QueueGetConfigReply { port, queues }
        )),
    ];
    let packets = prop_oneof![
        (any::<(u32, u16, u8, u8, u64)>(), matching(), blob(60)).prop_map(
            |((buffer_id, total_len, reason, table_id, cookie), matching, data)| Body::PacketIn(
                PacketIn {
                    buffer_id,
                    total_len,
                    reason: reason.into(),
                    table_id,
                    cookie,
                    matching,
                    data
                }
            )
        ),
        (port(), vec(action(), 0..4), blob(60)).prop_map(|(port, actions, data)| Body::PacketOut(
            PacketOut::new(data.0, actions).in_port(port)
        )),
        (
            any::<[u64; 3]>(),
            any::<[u16; 3]>(),
            any::<(u8, u8, u32, u32)>(),
            matching()
        )
            .prop_map(
                |([cookie, p, b], [priority, idle, hard], (reason, table_id, s, ns), matching)| {
                    Body::FlowRemoved(FlowRemoved {
                        cookie,
                        priority,
                        reason: reason.into(),
                        table_id,
                        duration_sec: s,
                        duration_nsec: ns,
                        idle_timeout: idle,
                        hard_timeout: hard,
                        packet_count: p,
                        byte_count: b,
                        matching,
                    })
                }
            ),
        (any::<u8>(), a_port()).prop_map(|(reason, port)| Body::PortStatus(PortStatus {
            reason: reason.into(),
            port
        })),
        (port(), any::<[u8; 6]>(), any::<[u32; 3]>()).prop_map(|(port_no, mac, [a, b, c])| {
            Body::PortMod(PortMod {
                port_no,
                hw_addr: MacAddr(mac),
                config: PortConfig(a),
                mask: PortConfig(b),
                advertise: PortFeatures(c),
            })
        }),
    ];
    let tables = prop_oneof![
        4 => flow_mod().prop_map(Body::from),
        1 => (any::<(u16, u8, u32)>(), vec(bucket(), 0..3)).prop_map(
            |((command, t, group_id), buckets)| Body::GroupMod(GroupMod {
                command: command.into(),
                group_type: t.into(),
                group_id,
                buckets
            })
        ),
        1 => (any::<(u16, u16, u32)>(), vec(band(), 0..4)).prop_map(
            |((command, flags, meter_id), bands)| Body::MeterMod(MeterMod {
                command: command.into(),
                flags: MeterFlags(flags),
                meter_id,
                bands
            })
        ),
        2 => experimenter().prop_map(Body::from),
        1 => bundle_control().prop_map(Body::from),
        1 => bundle_add().prop_map(Body::from),
        1 => (100u8.., blob(30)).prop_map(|(kind, data)| Body::Opaque { kind, data }),
    ];
    let multipart = prop_oneof![
        (any::<bool>(), request()).prop_map(|(more, body)| Body::MultipartRequest(
            MultipartRequest {
                flags: MultipartFlags(u16::from(more)),
                body
            }
        )),
        (any::<bool>(), reply()).prop_map(|(more, body)| Body::MultipartReply(MultipartReply {
            flags: MultipartFlags(u16::from(more)),
            body
        })),
    ];
    prop_oneof![state, packets, tables, multipart]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    (any::<u32>(), body()).prop_map(|(xid, body)| Message::new(xid, body))
}
