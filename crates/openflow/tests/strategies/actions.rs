//! Actions and instructions.

use openflow::action::{
    Bundle, Conntrack, Controller2, ControllerProperty, CtFlags, CtZone, Learn, LearnDestination,
    LearnFlags, LearnLimit, LearnSource, LearnSpec, Multipath, Nat, NatFlags, NiciraAction,
    RegMove, Sample,
};
use openflow::{Action, BitRange, Blob, Field, Instruction};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{aligned, blob, field, oxm, port};

fn range() -> impl Strategy<Value = BitRange> {
    (field(), 0u16..1024, 1u16..=64)
        .prop_map(|(field, offset, bits)| BitRange::new(field, offset, bits))
}

fn reg_move() -> impl Strategy<Value = RegMove> {
    (range(), range()).prop_map(|(a, b)| RegMove::new(a, b))
}

fn spec() -> impl Strategy<Value = LearnSpec> {
    let source = prop_oneof![
        (field(), any::<u16>()).prop_map(|(f, o)| LearnSource::Field(f, o)),
        vec(any::<u8>(), 128).prop_map(|bytes| LearnSource::Value(Blob(bytes))),
    ];
    let destination = prop_oneof![
        (field(), any::<u16>()).prop_map(|(f, o)| LearnDestination::Match(f, o)),
        (field(), any::<u16>()).prop_map(|(f, o)| LearnDestination::Load(f, o)),
        Just(LearnDestination::Output),
    ];
    (1u16..1024, source, destination).prop_map(|(bits, mut source, destination)| {
        if let LearnSource::Value(bytes) = &mut source {
            bytes.0.truncate(usize::from(bits.div_ceil(16)) * 2);
        }
        LearnSpec {
            bits,
            source,
            destination,
        }
    })
}

fn learn() -> impl Strategy<Value = Learn> {
    let limit = option::of((any::<u32>(), any::<u16>(), option::of(field())));
    (
        any::<[u16; 5]>(),
        any::<u64>(),
        any::<u8>(),
        limit,
        vec(spec(), 0..4),
    )
        .prop_map(
            |([idle, hard, priority, fin_idle, fin_hard], cookie, table_id, limit, specs)| {
                let result = limit.is_some_and(|(_, _, field)| field.is_some());
                Learn {
                    idle_timeout: idle,
                    hard_timeout: hard,
                    priority,
                    cookie,
                    flags: if result {
                        LearnFlags::WRITE_RESULT
                    } else {
                        LearnFlags::SEND_FLOW_REM
                    },
                    table_id,
                    fin_idle_timeout: fin_idle,
                    fin_hard_timeout: fin_hard,
                    limit: limit.map(|(limit, result_offset, result)| LearnLimit {
                        limit,
                        result_offset,
                        result,
                    }),
                    specs,
                }
            },
        )
}

fn nat() -> impl Strategy<Value = Nat> {
    let four = || option::of(any::<u32>().prop_map(Into::into));
    let six = || option::of(any::<u128>().prop_map(Into::into));
    let port = || option::of(any::<u16>());
    (any::<u16>(), four(), four(), six(), six(), port(), port()).prop_map(
        |(flags, ipv4_min, ipv4_max, ipv6_min, ipv6_max, port_min, port_max)| Nat {
            flags: NatFlags(flags),
            ipv4_min,
            ipv4_max,
            ipv6_min,
            ipv6_max,
            port_min,
            port_max,
        },
    )
}

fn small_nicira() -> impl Strategy<Value = NiciraAction> {
    use NiciraAction as N;
    prop_oneof![
        any::<u16>().prop_map(|in_port| N::Resubmit { in_port }),
        any::<(u16, u8)>().prop_map(|(in_port, table)| N::ResubmitTable { in_port, table }),
        any::<(u16, u8)>().prop_map(|(in_port, table)| N::ResubmitTableCt { in_port, table }),
        any::<u32>().prop_map(N::SetTunnel),
        any::<u64>().prop_map(N::SetTunnel64),
        any::<u32>().prop_map(N::SetQueue),
        any::<u32>().prop_map(N::SetMplsLabel),
        any::<u16>().prop_map(N::PushMpls),
        any::<u16>().prop_map(N::PopMpls),
        any::<u8>().prop_map(N::SetMplsTtl),
        any::<u8>().prop_map(N::SetMplsTc),
        prop_oneof![
            Just(N::PopQueue),
            Just(N::Exit),
            Just(N::DecTtl),
            Just(N::DecMplsTtl),
            Just(N::CtClear),
            Just(N::DecNshTtl),
        ],
        any::<(u64, u64)>().prop_map(|(metadata, mask)| N::WriteMetadata { metadata, mask }),
        any::<(u16, u16)>().prop_map(|(idle, hard)| N::FinTimeout { idle, hard }),
        any::<(u16, u16, u8)>().prop_map(|(max_len, controller_id, reason)| N::Controller {
            max_len,
            controller_id,
            reason
        }),
        any::<(u16, u32)>().prop_map(|(port, max_len)| N::OutputTrunc { port, max_len }),
        any::<(u8, u8, u32)>().prop_map(|(clause, n_clauses, id)| N::Conjunction {
            clause,
            n_clauses,
            id
        }),
        any::<u32>().prop_map(|packet_type| N::Decap { packet_type }),
        vec(any::<u16>(), 0..9).prop_map(N::DecTtlCntIds),
    ]
}

fn nicira() -> impl Strategy<Value = NiciraAction> {
    use NiciraAction as N;
    prop_oneof![
        4 => small_nicira(),
        1 => reg_move().prop_map(N::RegMove),
        1 => (range(), any::<u64>()).prop_map(|(destination, value)| N::RegLoad { destination, value }),
        1 => oxm().prop_map(N::RegLoad2),
        1 => aligned(2).prop_map(N::Note),
        1 => (any::<[u16; 4]>(), any::<u32>(), range()).prop_map(
            |([fields, basis, algorithm, max_link], arg, destination)| N::Multipath(Multipath {
                fields, basis, algorithm, max_link, arg, destination
            })
        ),
        1 => (any::<[u16; 3]>(), any::<u32>(), option::of(range()), vec(any::<u16>(), 0..9)).prop_map(
            |([algorithm, fields, basis], member_type, destination, members)| N::Bundle(Bundle {
                algorithm, fields, basis, member_type, destination, members
            })
        ),
        1 => (range(), any::<u16>()).prop_map(|(source, max_len)| N::OutputReg { source, max_len }),
        1 => (range(), any::<u16>()).prop_map(|(source, max_len)| N::OutputReg2 { source, max_len }),
        2 => learn().prop_map(N::Learn),
        1 => (1u8..=3, any::<u16>(), any::<[u32; 3]>(), any::<u16>(), any::<u8>()).prop_map(
            |(form, probability, [a, b, c], sampling_port, direction)| N::Sample(Sample {
                form,
                probability,
                collector_set: a,
                observation_domain: b,
                observation_point: c,
                sampling_port: if form > 1 { sampling_port } else { 0 },
                direction: if form > 2 { direction } else { 0 },
            })
        ),
        1 => vec((any::<u16>(), blob(20)), 0..4).prop_map(|properties| N::Controller2(Controller2 {
            properties: properties
                .into_iter()
                .map(|(kind, data)| ControllerProperty { kind: kind.into(), data })
                .collect(),
        })),
        1 => (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)|
            N::StackPush(BitRange { field, offset, bits })),
        1 => (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)|
            N::StackPop(BitRange { field, offset, bits })),
        1 => nat().prop_map(N::Nat),
        1 => (any::<u16>(), any::<u32>(), aligned(8)).prop_map(
            |(header_size, packet_type, properties)| N::Encap { header_size, packet_type, properties }
        ),
        1 => (any::<u16>(), field(), any::<u16>()).prop_map(
            |(packet_len, field, offset)| N::CheckPktLarger { packet_len, field, offset }
        ),
        1 => field().prop_map(N::DeleteField),
        1 => (1000u16.., aligned(2)).prop_map(|(subtype, data)| N::Unknown { subtype, data }),
    ]
}

fn zone() -> impl Strategy<Value = CtZone> {
    prop_oneof![
        any::<u16>().prop_map(CtZone::Number),
        // The place has four bytes, and four zeros in it mean "no field".
        range().prop_map(|range| match range.field {
            Field::NXM_IN_PORT => CtZone::Number(1),
            field if field.experimenter_id().is_some() => CtZone::Number(2),
            _ => CtZone::Field(range),
        }),
    ]
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let leaf = prop_oneof![
        2 => (port(), any::<u16>()).prop_map(|(port, max_len)| Action::Output { port, max_len }),
        1 => prop_oneof![
            Just(Action::CopyTtlOut),
            Just(Action::CopyTtlIn),
            Just(Action::DecMplsTtl),
            Just(Action::PopVlan),
            Just(Action::DecNwTtl),
            Just(Action::PopPbb),
        ],
        1 => any::<u8>().prop_map(Action::SetMplsTtl),
        1 => any::<u8>().prop_map(Action::SetNwTtl),
        1 => any::<u16>().prop_map(Action::PushVlan),
        1 => any::<u16>().prop_map(Action::PushMpls),
        1 => any::<u16>().prop_map(Action::PopMpls),
        1 => any::<u16>().prop_map(Action::PushPbb),
        1 => any::<u32>().prop_map(Action::SetQueue),
        1 => any::<u32>().prop_map(Action::Group),
        2 => oxm().prop_map(Action::SetField),
        1 => reg_move().prop_map(Action::OnfCopyField),
        8 => nicira().prop_map(Action::Nicira),
        1 => (0x10000u32.., aligned(8))
            .prop_map(|(experimenter, data)| Action::Experimenter { experimenter, data }),
        1 => (1000u16..0xffff, aligned(4)).prop_map(|(kind, data)| Action::Unknown { kind, data }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|a| Action::Nicira(NiciraAction::Clone(a))),
            (
                any::<u16>(),
                zone(),
                any::<u8>(),
                any::<u16>(),
                vec(inner, 0..3)
            )
                .prop_map(|(flags, zone, recirc_table, alg, actions)| Action::ct(
                    Conntrack {
                        flags: CtFlags(flags),
                        zone,
                        recirc_table,
                        alg,
                        actions,
                    }
                )),
        ]
    })
}

pub(crate) fn instruction() -> impl Strategy<Value = Instruction> {
    prop_oneof![
        any::<u8>().prop_map(Instruction::GotoTable),
        any::<(u64, u64)>()
            .prop_map(|(metadata, mask)| Instruction::WriteMetadata { metadata, mask }),
        vec(action(), 0..4).prop_map(Instruction::WriteActions),
        vec(action(), 0..4).prop_map(Instruction::ApplyActions),
        Just(Instruction::ClearActions),
        any::<u32>().prop_map(Instruction::Meter),
        (any::<u32>(), blob(20))
            .prop_map(|(experimenter, data)| Instruction::Experimenter { experimenter, data }),
        (100u16..0xffff, blob(20)).prop_map(|(kind, data)| Instruction::Unknown { kind, data }),
    ]
}
