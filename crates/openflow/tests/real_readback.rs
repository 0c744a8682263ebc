//! What our builders make is what the switch reports: a controller that reads its rules back can
//! compare them.

mod support;

use openflow::action::{Conntrack, CtFlags, CtZone, Learn, LearnSpec, Nat, NatFlags, NiciraAction};
use openflow::client::Client;
use openflow::{Action, BitRange, Field, FlowMod, Match, PortNo};
use support::Ovs;

fn ip() -> Match {
    Match::new().eth_type(0x800u16)
}

fn rules() -> Vec<FlowMod> {
    let solicitation = Match::new()
        .eth_type(0x86ddu16)
        .ip_proto(58)
        .icmpv6_type(135)
        .icmpv6_code(0);
    let arp = Match::new().eth_type(0x806u16).arp_op(1u16);
    let half = |field, offset| BitRange::new(field, offset, 16);
    let matches = [
        Match::new(),
        Match::new()
            .in_port(PortNo::LOCAL)
            .eth_src([2, 0, 0, 0, 0, 1])
            .eth_multicast(),
        Match::new().vlan_vid(7),
        Match::new().untagged(),
        ip().ipv4_src_net([10, 0, 0, 0].into(), 8)
            .ipv4_dst([10, 1, 2, 3]),
        ip().ip_proto(6).tcp_src(1u16).tcp_dst(2u16),
        ip().ip_proto(17).udp_src(67u16).udp_dst(68u16),
        ip().ip_proto(1).icmpv4_type(8),
        arp.clone().arp_spa([10, 0, 0, 1]).arp_tpa([10, 0, 0, 2]),
        arp.clone().arp_sha([2, 0, 0, 0, 0, 1]).arp_tha([0; 6]),
        solicitation
            .clone()
            .nd_target("fe80::1".parse::<std::net::Ipv6Addr>().unwrap())
            .nd_sll([2, 0, 0, 0, 0, 1]),
        Match::new()
            .eth_type(0x86ddu16)
            .ipv6_src_net("2001:db8::".parse().unwrap(), 32),
        Match::new()
            .tunnel_id(7u64)
            .tun_src([10, 0, 0, 1])
            .tun_dst([10, 0, 0, 2]),
        Match::new()
            .reg(1, 5)
            .reg_masked(2, 4, 0xff)
            .metadata(9u64)
            .pkt_mark(3u32),
        Match::new().conj_id(4u32),
        Match::new()
            .eth_type(0x800u16)
            .ct_state(0x22, 0x22)
            .ct_zone(5u16)
            .ct_mark(1u32),
    ];
    let actions = [
        vec![],
        vec![
            Action::output(1),
            Action::output_in_port(),
            Action::output(PortNo::LOCAL),
        ],
        vec![
            Action::controller(),
            Action::normal(),
            Action::output(PortNo::FLOOD),
        ],
        vec![
            Action::set_eth_src([2; 6]),
            Action::set_eth_dst([4; 6]),
            Action::output(1),
        ],
        vec![
            Action::set_tunnel_id(7),
            Action::set_tun_dst([10, 0, 0, 2].into()),
        ],
        vec![Action::set_tun_src([10, 0, 0, 1].into()), Action::output(1)],
        vec![Action::set_tun_ipv6_dst("2001:db8::1".parse().unwrap())],
        vec![
            Action::set_reg(3, 9),
            Action::set_field(Field::METADATA, 7u64),
        ],
        vec![
            Action::load(5, half(Field::REG0, 8)),
            Action::load(1, Field::REG4.into()),
        ],
        vec![Action::load(3, Field::TUN_DST.into())],
        vec![Action::load_masked(Field::REG5, 0x50u8, 0xf0u8)],
        vec![Action::load_masked(
            Field::XXREG1,
            7u8,
            u128::from(u64::MAX) << 32,
        )],
        vec![Action::move_field(
            half(Field::REG0, 0),
            half(Field::REG1, 16),
        )],
        vec![Action::copy(Field::NXM_ETH_SRC, Field::NXM_ETH_DST)],
        vec![Action::resubmit(3), Action::resubmit_from(5, 9)],
        vec![Action::output_field(half(Field::REG0, 0))],
        vec![
            Action::push(Field::REG0.into()),
            Action::pop(Field::REG1.into()),
        ],
        vec![Action::note([1, 2, 3, 4, 5, 6])],
        vec![
            Action::clone_with([Action::set_reg(0, 1), Action::output(1)]),
            Action::output(2),
        ],
        vec![
            Action::PushVlan(0x8100),
            Action::set_field(Field::VLAN_VID, 0x1007u16),
        ],
        vec![Action::learn(Learn {
            table_id: 7,
            priority: 9,
            specs: vec![
                LearnSpec::match_from(Field::NXM_ETH_DST, Field::NXM_ETH_SRC),
                LearnSpec::output(Field::NXM_IN_PORT),
            ],
            ..Learn::default()
        })],
    ];
    let on_ip = [
        vec![
            Action::DecNwTtl,
            Action::set_field(Field::IPV4_SRC, std::net::Ipv4Addr::LOCALHOST),
        ],
        vec![Action::ct(Conntrack {
            flags: CtFlags::COMMIT,
            zone: CtZone::Number(3),
            recirc_table: 5,
            actions: vec![
                Action::set_field(Field::CT_MARK, 1u32),
                Action::Nicira(NiciraAction::Nat(Nat {
                    flags: NatFlags::SRC,
                    ipv4_min: Some([10, 0, 0, 1].into()),
                    ..Nat::default()
                })),
            ],
            ..Conntrack::default()
        })],
    ];
    let answer_arp = [vec![
        Action::copy(Field::ETH_SRC, Field::ETH_DST),
        Action::set_eth_src([2, 0, 0, 0, 0, 9]),
        Action::set_field(Field::ARP_OP, 2u16),
        Action::copy(Field::ARP_SHA, Field::ARP_THA),
        Action::copy(Field::ARP_SPA, Field::ARP_TPA),
        Action::set_field(Field::ARP_SPA, std::net::Ipv4Addr::from([10, 0, 0, 7])),
        Action::output_in_port(),
    ]];
    let answer_nd = [vec![
        Action::copy(Field::IPV6_SRC, Field::IPV6_DST),
        Action::set_field(Field::ICMPV6_TYPE, 136u8),
        Action::set_field(Field::ND_OPTIONS_TYPE, 2u8),
        Action::set_field(Field::ND_RESERVED, 0x6000_0000u32),
        Action::output_in_port(),
    ]];
    let mut rules = Vec::new();
    for matching in matches {
        rules.push(FlowMod::add().matching(matching).apply([Action::output(1)]));
    }
    for (matching, lists) in [
        (Match::new(), &actions[..]),
        (ip(), &on_ip),
        (arp, &answer_arp),
        (solicitation, &answer_nd),
    ] {
        for list in lists {
            let rule = FlowMod::add().matching(matching.clone());
            // An empty list of actions is no instruction to the switch.
            rules.push(if list.is_empty() {
                rule
            } else {
                rule.apply(list.clone())
            });
        }
    }
    rules.push(FlowMod::add().write_metadata(5, 0xff).goto(200));
    rules.push(FlowMod::add().write([Action::output(3)]));
    rules.push(
        FlowMod::add()
            .matching(Match::new().reg(0, 1))
            .apply([Action::conjunction(4, 1, 2)]),
    );
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.cookie = n as u64;
        rule.table_id = n as u8;
        rule.priority = 100 + n as u16;
    }
    rules
}

#[tokio::test]
async fn rules_are_reported_as_they_were_built() {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    let rules = rules();
    switch.send_batch([FlowMod::delete()]).await.unwrap();
    for rule in &rules {
        let sent = switch.send_batch([rule.clone()]).await;
        assert!(sent.is_ok(), "{sent:?} for {rule:#?}");
    }
    let found = switch.dump_flows(Default::default()).await.unwrap();
    assert_eq!(found.len(), rules.len());
    let mut different = Vec::new();
    for rule in &rules {
        let stats = found
            .iter()
            .find(|stats| stats.cookie == rule.cookie)
            .unwrap();
        if !stats.is_like(rule) {
            different.push((rule, stats));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}
