//! Messages as bytes and as values, both ways. The bytes were captured between ovs-ofctl 3.1 and
//! ovs-vswitchd 3.1, except where the specification is named.

use std::net::Ipv4Addr;

use openflow::action::{
    Conntrack, CtFlags, CtZone, Learn, LearnDestination, LearnFlags, LearnSource, LearnSpec, Nat,
    NatFlags, NiciraAction,
};
use openflow::describe::parse_hex;
use openflow::message::{
    AsyncConfig, AsyncProperty, Bucket, BundleAdd, BundleControl, BundleControlKind, BundleFlags,
    ControllerRole, ErrorMessage, Experimenter, FlowRemoved, FlowRemovedReason, GroupMod,
    GroupType, Hello, HelloElement, MeterBand, MeterFlags, MeterMod, PacketIn, PacketInReason,
    PacketOut, Port, PortConfig, PortFeatures, PortState, PortStatus, PortStatusReason, Role,
};
use openflow::multipart::{FlowStatsRequest, MultipartReplyBody, MultipartRequestBody};
use openflow::{
    Action, BitRange, Blob, Body, Field, FlowMod, MacAddr, Match, Message, Oxm, PortNo,
};

#[track_caller]
fn same(hex: &str, message: Message) {
    let bytes = parse_hex(1, hex).unwrap();
    let (decoded, length) = Message::decode(&bytes).unwrap();
    assert_eq!(decoded, message);
    assert_eq!(length, bytes.len());
    assert_eq!(Blob(message.to_bytes().unwrap()), Blob(bytes));
}

fn of13(xid: u32, body: impl Into<Body>) -> Message {
    Message::new(xid, body)
}

#[test]
fn hello_with_and_without_a_bitmap() {
    same(
        "04000010 00000001 00010008 00000010",
        of13(1, Hello::offering(&[4])),
    );
    let old = Message {
        version: 1,
        ..of13(7, Hello::default())
    };
    same("01000008 00000007", old);
    let odd = Hello {
        elements: vec![HelloElement::Unknown {
            kind: 9,
            data: [1, 2, 3].into(),
        }],
        trailing: [0xff].into(),
    };
    same("04000011 00000001 00090007 01020300 ff", of13(1, odd));
}

#[test]
fn a_rule_into_a_tunnel() {
    same(
        "040e00a00000002e000000000000000000000000000000000000000000000015ffffffffffffffffffffffff00\
         0000000001002480004c08000000000000000700013e040a000001000141080a000000ffffff00000000000004\
         0048000000000019001080004c08000000000000000900190010000140040a000003000000000019001000013e\
         040a0000040000000000000010000000010000000000000000",
        of13(
            0x2e,
            FlowMod::add()
                .priority(21)
                .matching(Match::new().tunnel_id(7u64).tun_src([10, 0, 0, 1]).masked(
                    Field::TUN_DST,
                    Ipv4Addr::from([10, 0, 0, 0]),
                    0xffff_ff00_u32,
                ))
                .apply([
                    Action::set_tunnel_id(9),
                    Action::set_tun_dst([10, 0, 0, 3].into()),
                    Action::set_tun_src([10, 0, 0, 4].into()),
                    Action::output(1),
                ]),
        ),
    );
}

#[test]
fn registers_are_matched_loaded_and_moved() {
    same(
        "040e00c80000003800000000000000000000000000000000000000000000001affffffffffffffffffffffff00\
         00000000010020000100040000000100010f08000000050000000f00011e04000000090004007800000000ffff\
         0018000023200007001f000100040000000000000007ffff001800002320000701030001020400000000000000\
         03ffff00180000232000070003000104040000000000000005ffff001800002320000600100000001000010004\
         0001020400000010000000010000000000000000",
        of13(
            0x38,
            FlowMod::add()
                .priority(26)
                .matching(Match::new().reg(0, 1).reg_masked(7, 5, 0xf).reg(15, 9))
                .apply([
                    Action::load(7, Field::REG0.into()),
                    Action::load(3, BitRange::new(Field::REG1, 4, 4)),
                    Action::load(5, BitRange::new(Field::REG2, 0, 4)),
                    Action::move_field(
                        BitRange::new(Field::REG0, 0, 16),
                        BitRange::new(Field::REG1, 16, 16),
                    ),
                    Action::output(1),
                ]),
        ),
    );
}

#[test]
fn a_neighbour_solicitation_is_turned_into_its_answer() {
    same(
        "040e00c800000024000000000000000000000000000000000000000000000010ffffffffffffffffffffffff00\
         0000000001003780000a0286dd800014013a80003a018780003c010080003e1020010db8000000000000000000\
         00000780004006020000000001000004006000000000ffff001800002320000600800000000000012610000128\
         100019001080003a01880000000000000000190010100004010200000000000000001900101000020\
         4e00000000000000000000010fffffff80000000000000000",
        of13(
            0x24,
            FlowMod::add()
                .priority(16)
                .matching(
                    Match::new()
                        .eth_type(0x86ddu16)
                        .ip_proto(58)
                        .icmpv6_type(135)
                        .icmpv6_code(0)
                        .nd_target("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap())
                        .nd_sll([2, 0, 0, 0, 0, 1]),
                )
                .apply([
                    Action::copy(Field::NXM_IPV6_SRC, Field::NXM_IPV6_DST),
                    Action::set_field(Field::ICMPV6_TYPE, 136u8),
                    Action::set_field(Field::ND_OPTIONS_TYPE, 2u8),
                    Action::set_field(Field::ND_RESERVED, 0xe000_0000_u32),
                    Action::output_in_port(),
                ]),
        ),
    );
}

#[test]
fn connection_tracking_with_address_translation() {
    let nat = Nat {
        flags: NatFlags::SRC | NatFlags::PROTO_RANDOM,
        ipv4_min: Some([10, 0, 0, 1].into()),
        ipv4_max: Some([10, 0, 0, 9].into()),
        port_min: Some(1000),
        port_max: Some(2000),
        ..Nat::default()
    };
    same(
        "040e00800000004c000000000000000000000000000000000000000000000024ffffffffffffffffffffffff00\
         0000000001000f80000a0208008000140106000004004000000000ffff0038000023200023000300010004000f\
         ff0000000000ffff00200000232000240000001100330a0000010a00000903e807d000000000",
        of13(
            0x4c,
            FlowMod::add()
                .priority(36)
                .matching(Match::new().eth_type(0x800u16).ip_proto(6))
                .apply([Action::ct(Conntrack {
                    flags: CtFlags::COMMIT | CtFlags::FORCE,
                    zone: CtZone::Field(BitRange::new(Field::REG0, 0, 16)),
                    actions: vec![Action::Nicira(NiciraAction::Nat(nat))],
                    ..Conntrack::default()
                })]),
        ),
    );
}

#[test]
fn a_rule_that_learns() {
    let learn = Learn {
        idle_timeout: 60,
        hard_timeout: 100,
        priority: 9,
        cookie: 0x77,
        flags: LearnFlags::SEND_FLOW_REM | LearnFlags::DELETE_LEARNED,
        table_id: 10,
        fin_idle_timeout: 3,
        fin_hard_timeout: 4,
        limit: None,
        specs: vec![
            LearnSpec::match_field(BitRange::new(Field::VLAN_TCI, 0, 12)),
            LearnSpec::match_from(Field::NXM_ETH_DST, Field::NXM_ETH_SRC),
            LearnSpec {
                bits: 16,
                source: LearnSource::Value([8, 0].into()),
                destination: LearnDestination::Match(Field::NXM_ETH_TYPE, 0),
            },
            LearnSpec::load_from(Field::NXM_TUN_ID, Field::NXM_TUN_ID),
            LearnSpec {
                bits: 4,
                source: LearnSource::Value([0, 1].into()),
                destination: LearnDestination::Load(Field::REG0, 0),
            },
            LearnSpec::output(Field::NXM_IN_PORT),
        ],
    };
    same(
        "040e00c000000052000000000000000000000000000000000000000000000027ffffffffffffffffffffffff00\
         0000000001000f80000a0208008000140106000004008000000000ffff0068000023200010003c006400090000\
         00000000007700030a0000030004000c0000080200000000080200000030000004060000000002060000201008\
         000000060200000840000120080000000120080000280400010001000400001010000000020000000000000010\
         fffffffa0000000000000000",
        of13(
            0x52,
            FlowMod::add()
                .priority(39)
                .matching(Match::new().eth_type(0x800u16).ip_proto(6))
                .apply([Action::learn(learn), Action::normal()]),
        ),
    );
}

#[test]
fn actions_inside_actions() {
    same(
        "040e00a000000066000000000000000000000000000000000000000000000031ffffffffffffffffffffffff00\
         00000000010004000000000004006800000000ffff005000002320002a00000000000000190010000100040000\
         000700000000ffff002000002320002a00000000000000000010000000010000000000000000ffff0010000023\
         20000efff80500000000000010000000020000000000000000",
        of13(
            0x66,
            FlowMod::add().priority(49).apply([
                Action::clone_with([
                    Action::set_reg(0, 7),
                    Action::clone_with([Action::output(1)]),
                    Action::resubmit(5),
                ]),
                Action::output(2),
            ]),
        ),
    );
}

#[test]
fn a_bundle_in_both_versions() {
    let flags = BundleFlags::ATOMIC | BundleFlags::ORDERED;
    let rule = FlowMod::add().priority(1).cookie(1);
    let add = |message| BundleAdd {
        bundle_id: 0,
        flags,
        message,
        properties: Blob::default(),
    };
    same(
        "04040050000000064f4e4600000008fd0000000000000003040e00380000000600000000000000010000000000\
         0000000000000000000001ffffffffffffffffffffffff000000000001000400000000",
        of13(
            6,
            Experimenter::BundleAdd(Box::new(add(of13(6, rule.clone())))),
        ),
    );
    let of14 = |xid, body| Message {
        version: 5,
        xid,
        body,
        reserved: Vec::new(),
    };
    same(
        "05220048000000060000000000000003050e003800000006000000000000000100000000000000000000000000\
         000001ffffffffffffffffffffffff000000000001000400000000",
        of14(6, add(of14(6, rule.into())).into()),
    );
    let control = BundleControl {
        bundle_id: 0,
        kind: BundleControlKind::CommitRequest,
        flags,
    };
    same("05210010000000490000000000040003", of14(73, control.into()));
}

#[test]
fn groups_and_meters() {
    same(
        "040f00600000000600000100000000010020000500000001ffffffff0000000000000010000000010000000000\
         00000000300009ffffffffffffffff000000000019001000010004000000070000000000000010000000020000\
         000000000000",
        of13(
            6,
            GroupMod::add(1, GroupType::Select)
                .bucket(Bucket {
                    watch_port: PortNo(1),
                    ..Bucket::new([Action::output(1)]).weight(5)
                })
                .bucket(Bucket::new([Action::set_reg(0, 7), Action::output(2)]).weight(9)),
        ),
    );
    same(
        "041d0020000000020000000d0000000100010010000003e80000000a00000000",
        of13(
            2,
            MeterMod {
                flags: MeterFlags::KBPS | MeterFlags::BURST | MeterFlags::STATS,
                meter_id: 1,
                bands: vec![MeterBand::Drop {
                    rate: 1000,
                    burst: 10,
                }],
                ..MeterMod::default()
            },
        ),
    );
}

#[test]
fn ports_asked_for_and_described() {
    same(
        "0412001000000004000d000000000000",
        of13(4, MultipartRequestBody::PortDesc),
    );
    let port = Port {
        port_no: PortNo::LOCAL,
        hw_addr: MacAddr([0xa6, 0x41, 0xfd, 0x30, 0xbf, 0x48]),
        name: "br0".into(),
        config: PortConfig::PORT_DOWN,
        state: PortState::LINK_DOWN,
        curr: PortFeatures::RATE_10GB_FD | PortFeatures::COPPER,
        curr_speed: 10_000_000,
        ..Port::default()
    };
    let reply = Body::MultipartReply(MultipartReplyBody::PortDesc(vec![port]).into());
    same(
        "0413005000000004000d000000000000fffffffe00000000a641fd30bf48000062723000000000000000000000\
         0000000000000100000001000008400000000000000000000000000098968000000000",
        of13(4, reply),
    );
    // OpenFlow 1.3.5, 7.4.3.
    let status = PortStatus {
        reason: PortStatusReason::Modify,
        port,
    };
    same(
        "040c0050 00000000 02 00000000000000 fffffffe00000000a641fd30bf480000627230000000000000000000\
         000000000000000100000001000008400000000000000000000000000098968000000000",
        of13(0, Body::PortStatus(status)),
    );
}

#[test]
fn rules_asked_for() {
    same(
        "04120038000000020001000000000000ff000000ffffffffffffffff0000000000000000000000000000000000\
         0000000001000400000000",
        of13(2, MultipartRequestBody::Flow(FlowStatsRequest::default())),
    );
}

#[test]
fn packets_both_ways() {
    same(
        "040d003600000006fffffffffffffffd001000000000000000000010fffffffe0000000000000000ffffffffff\
         ff0200000000010800",
        of13(
            6,
            PacketOut::new(
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0],
                [Action::output(PortNo::LOCAL)],
            ),
        ),
    );
    // OpenFlow 1.3.5, 7.4.1.
    let packet = PacketIn {
        buffer_id: 0xffff_ffff,
        total_len: 3,
        reason: PacketInReason::Action,
        table_id: 2,
        cookie: 9,
        matching: Match::new().in_port(5),
        data: [1, 2, 3].into(),
    };
    assert_eq!(packet.in_port(), Some(PortNo(5)));
    same(
        "040a002d 00000000 ffffffff 0003 01 02 0000000000000009 0001000c 80000004 00000005 00000000\
         0000 010203",
        of13(0, Body::PacketIn(packet)),
    );
}

#[test]
fn a_removed_rule() {
    // OpenFlow 1.3.5, 7.4.2.
    let removed = FlowRemoved {
        cookie: 7,
        priority: 9,
        reason: FlowRemovedReason::Delete,
        table_id: 1,
        duration_sec: 2,
        duration_nsec: 3,
        idle_timeout: 4,
        hard_timeout: 5,
        packet_count: 6,
        byte_count: 8,
        matching: Match::new(),
    };
    same(
        "040b0038 00000000 0000000000000007 0009 02 01 00000002 00000003 0004 0005 \
         0000000000000006 0000000000000008 00010004 00000000",
        of13(0, Body::FlowRemoved(removed)),
    );
}

#[test]
fn roles_and_asynchronous_messages() {
    // OpenFlow 1.3.5, 7.3.9 and 7.3.10.
    let role = ControllerRole {
        role: Role::Master,
        generation_id: 3,
    };
    same(
        "04180018 00000001 00000002 00000000 0000000000000003",
        of13(1, Body::RoleRequest(role)),
    );
    let config = AsyncConfig {
        packet_in: AsyncProperty {
            master: 7,
            slave: 0,
        },
        port_status: AsyncProperty {
            master: 7,
            slave: 7,
        },
        flow_removed: AsyncProperty {
            master: 15,
            slave: 0,
        },
    };
    same(
        "041c0020 00000001 00000007 00000000 00000007 00000007 0000000f 00000000",
        of13(1, Body::SetAsync(config)),
    );
}

#[test]
fn an_error_carries_its_request() {
    let request = "0412001800000002ffff0000000000000000232000000003";
    let error = ErrorMessage {
        kind: 0xffff,
        code: 36,
        experimenter: Some(0x2320),
        data: Blob(parse_hex(1, request).unwrap()),
    };
    assert_eq!(error.request(), Some((18, 2)));
    same(
        &format!("0401002800000002ffff002400002320{request}"),
        of13(2, error),
    );
    assert_eq!(
        openflow::message::error_name(5, 1),
        "flow_mod_failed/table_full"
    );
}

#[test]
fn what_nobody_knows_is_carried() {
    let rule = FlowMod::add()
        .matching(
            Match::new()
                .with(Oxm::masked(
                    Field::other(0x1234, 77, 3),
                    0x01_02_03_u32,
                    0xff_ff_00_u32,
                ))
                .with(Oxm::new(Field::other_experimenter(0xabcd, 5, 2), 9u16)),
        )
        .apply([
            Action::Unknown {
                kind: 500,
                data: [1, 2, 3, 4].into(),
            },
            Action::Experimenter {
                experimenter: 0x77,
                data: [1, 2, 3, 4, 5, 6, 7, 8].into(),
            },
        ]);
    same(
        "040e0068 00000001 0000000000000000 0000000000000000 00 00 0000 0000 8000 ffffffff ffffffff\
         ffffffff 0000 0000 0001 0018 1234 9b 06 010200 ffff00 ffff 0a 06 0000abcd 0009\
         0004 0020 00000000 01f4 0008 01020304 ffff 0010 00000077 0102030405060708",
        of13(1, rule),
    );
}

#[test]
fn reserved_bytes_that_are_not_zero_come_back() {
    let bytes = parse_hex(1, "04180018 00000001 00000002 0a0b0c0d 0000000000000003").unwrap();
    let (message, _) = Message::decode(&bytes).unwrap();
    assert_eq!(message.reserved.len(), 1);
    assert_eq!(message.reserved[0].offset, 12);
    assert_eq!(message.to_bytes().unwrap(), bytes);
}

#[test]
fn a_message_that_is_too_long_is_refused_and_leaves_nothing_behind() {
    let packet = PacketOut::new(vec![0; 70_000], []);
    let mut out = vec![1, 2, 3];
    let error = of13(1, packet).encode(&mut out).unwrap_err();
    assert_eq!(error.what, "a message");
    assert_eq!(out, [1, 2, 3]);
}
