//! What the rules do to packets, whatever the directory says: run on paper.

mod support;

use control::Arrivals;
use control::projection::{RuleSet, base, rules, rules_of, rules_of_net};
use model::{Encap, Mac};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::packet::{BROADCAST, Nd, Packet, Payload};
use support::switch;
use support::world::*;

const HOSTS: u8 = 4;

fn plan() -> impl Strategy<Value = Plan> {
    let encap = prop_oneof![Just(Encap::Vxlan), Just(Encap::Gre), Just(Encap::Geneve)];
    let cluster = (encap, prop::collection::vec(1..=HOSTS, 1..6));
    prop::collection::vec(cluster, 1..4).prop_map(|clusters| Plan { clusters })
}

/// A plan and one member of it.
fn plan_and_member() -> impl Strategy<Value = (Plan, u8, u8)> {
    (plan(), any::<prop::sample::Index>()).prop_map(|(plan, index)| {
        let keys = plan.keys();
        let (cluster, vm) = *index.get(&keys);
        (plan, cluster, vm)
    })
}

fn home(plan: &Plan, cluster: u8, vm: u8) -> u8 {
    plan.clusters[usize::from(cluster) - 1].1[usize::from(vm) - 1]
}

fn size(plan: &Plan, cluster: u8) -> u8 {
    plan.clusters[usize::from(cluster) - 1].1.len() as u8
}

fn addresses(vm: u8) -> [IpAddr; 3] {
    [
        ipv4(vm).into(),
        ipv6(vm).into(),
        mac(vm).link_local().into(),
    ]
}

proptest! {
    #[test]
    fn a_packet_is_delivered_once_and_to_its_endpoint_alone((plan, cluster, vm) in plan_and_member()) {
        let world = World::agreed(&plan, HOSTS);
        for to in (1..=size(&plan, cluster)).filter(|to| *to != vm) {
            for (src, dst) in addresses(vm).into_iter().zip(addresses(to)) {
                let packet = Packet::ip(mac(vm), mac(to), src, dst);
                let out = world.send(home(&plan, cluster, vm), port(cluster, vm), packet);
                let places: Vec<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
                prop_assert_eq!(places, [(home(&plan, cluster, to), port(cluster, to))]);
                prop_assert_eq!(out[0].2.payload, packet.payload);
            }
        }
    }

    #[test]
    fn group_and_unknown_frames_reach_every_other_member_once_and_nobody_else((plan, cluster, vm) in plan_and_member()) {
        let world = World::agreed(&plan, HOSTS);
        let others = (1..=size(&plan, cluster)).filter(|to| *to != vm);
        let expected: BTreeSet<_> = others.map(|to| (home(&plan, cluster, to), port(cluster, to))).collect();
        let to = [BROADCAST, Mac([0x33, 0x33, 0, 0, 0, 0xfb]), Mac([1, 0, 0x5e, 0, 0, 0xfb]), Mac([2, 0, 0, 0, 0, 0x99])];
        for to in to {
            for packet in [
                Packet::ip(mac(vm), to, ipv4(vm).into(), Ipv4Addr::BROADCAST.into()),
                Packet::ip(mac(vm), to, ipv6(vm).into(), "ff02::fb".parse().unwrap()),
                Packet::new(mac(vm), to, Payload::Ipv4 { src: Ipv4Addr::UNSPECIFIED, dst: Ipv4Addr::BROADCAST, udp: Some((68, 67)) }),
            ] {
                let out = world.send(home(&plan, cluster, vm), port(cluster, vm), packet);
                let places: BTreeSet<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
                prop_assert_eq!(out.len(), places.len(), "somebody got it twice");
                prop_assert_eq!(&places, &expected);
            }
        }
    }

    #[test]
    fn a_port_sends_with_its_own_addresses_only(
        (plan, cluster, vm) in plan_and_member(),
        other in 1..9u8,
        number in any::<u8>(),
    ) {
        prop_assume!(other != vm);
        let world = World::agreed(&plan, HOSTS);
        let foreign4 = if number < 128 { ipv4(other) } else { Ipv4Addr::new(10, 9, 9, number) };
        let foreign6 = if number < 128 { ipv6(other) } else { mac(other).link_local() };
        for to in [mac(other), BROADCAST] {
            let (own4, own6) = (IpAddr::V4(ipv4(vm)), IpAddr::V6(ipv6(vm)));
            let mut bad = vec![
                Packet::ip(mac(other), to, own4, ipv4(other).into()),
                Packet::ip(mac(other), to, own6, ipv6(other).into()),
                Packet::ip(mac(vm), to, foreign4.into(), ipv4(other).into()),
                Packet::ip(mac(vm), to, foreign6.into(), ipv6(other).into()),
                Packet::ip(mac(vm), to, Ipv4Addr::UNSPECIFIED.into(), ipv4(other).into()),
                Packet::ip(mac(vm), to, Ipv6Addr::UNSPECIFIED.into(), ipv6(other).into()),
                Packet::new(mac(vm), to, Payload::Ipv4 { src: Ipv4Addr::UNSPECIFIED, dst: Ipv4Addr::BROADCAST, udp: Some((67, 68)) }),
                Packet::new(mac(vm), to, Payload::Other(0x8035)),
                Packet::new(mac(vm), to, Payload::Other(0x88cc)),
                Packet { tagged: true, ..Packet::ip(mac(vm), to, own4, ipv4(other).into()) },
                Packet::arp_request(mac(other), ipv4(other), ipv4(vm)),
                Packet::arp_request(mac(vm), foreign4, ipv4(other)),
                Packet { eth_src: mac(vm), ..Packet::arp_request(mac(other), ipv4(vm), ipv4(other)) },
            ];
            for op in [1, 2] {
                let payload = Payload::Arp { op, sha: mac(vm), spa: foreign4, tha: mac(other), tpa: foreign4 };
                bad.push(Packet::new(mac(vm), to, payload));
            }
            for target in [foreign6, ipv6(vm)] {
                let nd = Some(Nd { kind: 136, flags: 0x2000_0000, target, option: Some((2, mac(vm))) });
                for src in [ipv6(vm), foreign6] {
                    bad.push(Packet::new(mac(vm), to, Payload::Ipv6 { src, dst: ipv6(other), ttl: 255, nd }));
                }
            }
            for packet in bad {
                let out = world.send(home(&plan, cluster, vm), port(cluster, vm), packet);
                prop_assert_eq!(out, vec![], "{:?}", packet);
            }
        }
    }

    #[test]
    fn arp_is_answered_by_the_switch_and_goes_no_further((plan, cluster, vm) in plan_and_member(), asked in 1..9u8) {
        let world = World::agreed(&plan, HOSTS);
        let (at, ingress) = (home(&plan, cluster, vm), port(cluster, vm));
        let known = asked != vm && asked <= size(&plan, cluster);
        for spa in [ipv4(vm), Ipv4Addr::UNSPECIFIED] {
            let out = world.send(at, ingress, Packet::arp_request(mac(vm), spa, ipv4(asked)));
            if !known {
                prop_assert_eq!(out, vec![], "a question for one's own or an unknown address");
                continue;
            }
            let [(host, port, reply)] = out.try_into().unwrap();
            prop_assert_eq!((host, port), (at, ingress));
            prop_assert_eq!((reply.eth_src, reply.eth_dst), (mac(asked), mac(vm)));
            let expected = Payload::Arp { op: 2, sha: mac(asked), spa: ipv4(asked), tha: mac(vm), tpa: spa };
            prop_assert_eq!(reply.payload, expected);
        }
    }

    #[test]
    fn neighbours_are_answered_for_by_the_switch((plan, cluster, vm) in plan_and_member(), asked in 1..9u8) {
        let world = World::agreed(&plan, HOSTS);
        let (at, ingress) = (home(&plan, cluster, vm), port(cluster, vm));
        let known = asked != vm && asked <= size(&plan, cluster);
        for target in [ipv6(asked), mac(asked).link_local()] {
            for src in [ipv6(vm), mac(vm).link_local(), Ipv6Addr::UNSPECIFIED] {
                let out = world.send(at, ingress, Packet::solicitation(mac(vm), src, target));
                if !known {
                    prop_assert_eq!(out, vec![]);
                    continue;
                }
                let [(host, port, reply)] = out.try_into().unwrap();
                prop_assert_eq!((host, port, reply.eth_src), (at, ingress, mac(asked)));
                let expected = if src.is_unspecified() {
                    prop_assert_eq!(reply.eth_dst, Mac([0x33, 0x33, 0, 0, 0, 1]));
                    let nd = Some(Nd { kind: 136, flags: 0x2000_0000, target, option: None });
                    Payload::Ipv6 { src: target, dst: "ff02::1".parse().unwrap(), ttl: 255, nd }
                } else {
                    prop_assert_eq!(reply.eth_dst, mac(vm));
                    let nd = Some(Nd { kind: 136, flags: 0x6000_0000, target, option: Some((2, mac(asked))) });
                    Payload::Ipv6 { src: target, dst: src, ttl: 255, nd }
                };
                prop_assert_eq!(reply.payload, expected);
            }
        }
    }

    #[test]
    fn what_comes_out_of_a_tunnel_goes_to_its_own_network_and_into_no_tunnel(
        (plan, cluster, vm) in plan_and_member(),
        number in 1..=HOSTS,
        encap in 0..3usize,
        id in 99..106u32,
        group in any::<bool>(),
    ) {
        let world = World::agreed(&plan, HOSTS);
        let (encap, in_port) = TUNNELS[encap];
        let to = if group { BROADCAST } else { mac(vm) };
        let mut packet = Packet { in_port, ..Packet::ip(mac(8), to, ipv4(8).into(), ipv4(vm).into()) };
        packet.tunnel.id = id;
        let _ = cluster;
        for (out, _) in switch::run(world.rules(number), packet) {
            let own = plan.keys().into_iter().find(|(cluster, vm)| port(*cluster, *vm) == out);
            let (cluster, vm) = own.expect("only ports of endpoints get what comes out of a tunnel");
            prop_assert_eq!((id, home(&plan, cluster, vm)), (100 + u32::from(cluster), number));
            prop_assert_eq!(plan.clusters[usize::from(cluster) - 1].0, encap);
        }
    }

    #[test]
    fn every_rule_belongs_to_the_host_one_network_or_one_endpoint((plan, cluster, vm) in plan_and_member(), to in 1..=HOSTS) {
        let mut world = World::agreed(&plan, HOSTS);
        world.set_arrivals(1, &key(cluster, vm), Arrivals::Redirect { to: locator(to).address });
        for view in world.views.values() {
            let parts = [base()]
                .into_iter()
                .chain(view.nets.keys().map(|cluster| rules_of_net(view, cluster)))
                .chain(view.entries.keys().map(|key| rules_of(view, key)));
            let parts: Vec<RuleSet> = parts.collect();
            let all = rules(view);
            prop_assert_eq!(parts.iter().map(RuleSet::len).sum::<usize>(), all.len());
            prop_assert!(parts.iter().flat_map(RuleSet::iter).all(|rule| all.get(&rule.identity()) == Some(rule)));
            let cookies: BTreeSet<_> = all.iter().map(|rule| (rule.table, rule.cookie)).collect();
            prop_assert_eq!(cookies.len(), all.len(), "two rules of a table with one cookie");
            prop_assert!(all.iter().all(|rule| rule.cookie.kind().is_some()));
        }
    }
}

#[test]
fn a_network_that_the_host_takes_no_part_in_has_no_rules() {
    let plan = Plan {
        clusters: vec![(Encap::Vxlan, vec![1, 2])],
    };
    let mut view = view(&plan.directory(), &plan, 1);
    view.nets.clear();
    assert_eq!(rules(&view), base());
}

#[test]
fn without_a_tunnel_port_remote_endpoints_are_dropped_and_not_flooded() {
    let plan = Plan {
        clusters: vec![(Encap::Gre, vec![1, 1, 2])],
    };
    let mut views = World::agreed(&plan, HOSTS).views;
    views.get_mut(&1).unwrap().tunnels.remove(&Encap::Gre);
    let world = World::new(views);
    let packet = Packet::ip(mac(1), mac(3), ipv4(1).into(), ipv4(3).into());
    assert_eq!(world.send(1, port(1, 1), packet), []);
}

#[test]
fn an_endpoint_without_its_port_yet_gets_nothing_and_nobody_gets_it_instead() {
    let plan = Plan {
        clusters: vec![(Encap::Vxlan, vec![1, 1, 1, 2])],
    };
    let mut views = World::agreed(&plan, HOSTS).views;
    views.get_mut(&1).unwrap().ports.remove(&key(1, 2));
    let world = World::new(views);
    for (from, host) in [(1, 1), (4, 2)] {
        let packet = Packet::ip(mac(from), mac(2), ipv4(from).into(), ipv4(2).into());
        assert_eq!(world.send(host, port(1, from), packet), []);
    }
}

/// Two hosts with a member each and one member outside; the first host has a gateway.
fn with_a_gateway() -> World {
    let plan = Plan {
        clusters: vec![(Encap::Vxlan, vec![1, 2])],
    };
    let mut directory = plan.directory();
    outside(&mut directory, 1, 3, false);
    outside(&mut directory, 1, 4, false);
    let views = (1..=2).map(|number| (number, view(&directory, &plan, number)));
    let mut world = World::new(views.collect());
    world.change(1, |view| {
        view.gateways.insert(key(1, 1).0, GATEWAY);
    });
    world
}

fn places(out: &[(u8, u32, Packet)]) -> Vec<(u8, u32)> {
    out.iter().map(|(host, port, _)| (*host, *port)).collect()
}

#[test]
fn an_endpoint_outside_is_reached_through_the_hosts_own_gateway_and_reaches_all() {
    let world = with_a_gateway();
    for to in [3, 4] {
        let there = Packet::ip(mac(1), mac(to), ipv4(1).into(), ipv4(to).into());
        assert_eq!(places(&world.send(1, port(1, 1), there)), [(1, GATEWAY)]);
        for vm in [1, 2] {
            let back = Packet::ip(mac(to), mac(vm), ipv4(to).into(), ipv4(vm).into());
            assert_eq!(places(&world.send(1, GATEWAY, back)), [(vm, port(1, vm))]);
        }
    }
}

#[test]
fn a_host_without_a_gateway_sends_nothing_to_an_endpoint_outside() {
    let world = with_a_gateway();
    let there = Packet::ip(mac(2), mac(3), ipv4(2).into(), ipv4(3).into());
    assert_eq!(places(&world.send(2, port(1, 2), there)), []);
}

#[test]
fn what_comes_from_a_gateway_has_the_address_of_an_endpoint_outside_or_does_not_come_in() {
    let world = with_a_gateway();
    for from in [1, 2, 9] {
        let forged = Packet::ip(mac(from), mac(2), ipv4(from).into(), ipv4(2).into());
        assert_eq!(places(&world.send(1, GATEWAY, forged)), []);
        let mixed = Packet::ip(mac(3), mac(2), ipv4(from).into(), ipv4(2).into());
        assert_eq!(places(&world.send(1, GATEWAY, mixed)), []);
    }
}

#[test]
fn group_frames_go_to_no_gateway() {
    let world = with_a_gateway();
    let all = Packet::ip(
        mac(1),
        BROADCAST,
        ipv4(1).into(),
        Ipv4Addr::BROADCAST.into(),
    );
    assert_eq!(places(&world.send(1, port(1, 1), all)), [(2, port(1, 2))]);
}

/// Two hosts with a member each, both with a VXLAN-GPE port, and a member outside.
fn with_gpe() -> World {
    let plan = Plan {
        clusters: vec![(Encap::Vxlan, vec![1, 2])],
    };
    let mut directory = plan.directory();
    outside(&mut directory, 1, 3, true);
    outside(&mut directory, 1, 4, false);
    let views = (1..=2).map(|number| (number, view(&directory, &plan, number)));
    let mut world = World::new(views.collect());
    for number in 1..=2 {
        world.change(number, |view| view.gpe = Some(GPE));
    }
    world
}

const NET: u32 = 101;

fn from_outside(from: u8, to: u8, v4: bool) -> Packet {
    let (src, dst): (IpAddr, IpAddr) = match v4 {
        true => (ipv4(from).into(), ipv4(to).into()),
        false => (ipv6(from).into(), ipv6(to).into()),
    };
    Packet::ip(Mac([0; 6]), Mac([0; 6]), src, dst)
}

#[test]
fn an_endpoint_outside_is_reached_and_reaches_through_vxlan_gpe() {
    let world = with_gpe();
    for host in [1, 2] {
        let there = Packet::ip(mac(host), mac(3), ipv4(host).into(), ipv4(3).into());
        let out = world.send(host, port(1, host), there);
        assert_eq!(places(&out), [(host, GPE)]);
        let tunnel = out[0].2.tunnel;
        assert_eq!(
            (tunnel.id, tunnel.dst4),
            (NET, Some(Ipv4Addr::new(203, 0, 113, 3)))
        );
        for v4 in [true, false] {
            let back = world.arrive(host, NET, from_outside(3, host, v4));
            assert_eq!(places(&back), [(host, port(1, host))]);
            assert_eq!((back[0].2.eth_src, back[0].2.eth_dst), (mac(3), mac(host)));
        }
    }
}

#[test]
fn who_is_not_reached_through_vxlan_gpe_does_not_come_in_through_it() {
    let world = with_gpe();
    for from in [1, 2, 4, 9] {
        assert_eq!(
            places(&world.arrive(1, NET, from_outside(from, 1, true))),
            []
        );
    }
    assert_eq!(
        places(&world.arrive(1, NET + 1, from_outside(3, 1, true))),
        []
    );
    let there = Packet::ip(mac(1), mac(4), ipv4(1).into(), ipv4(4).into());
    assert_eq!(places(&world.send(1, port(1, 1), there)), []);
}

#[test]
fn what_comes_for_one_who_is_elsewhere_is_sent_on_by_the_clusters_own_tunnel() {
    let world = with_gpe();
    let late = world.arrive(1, NET, from_outside(3, 2, true));
    assert_eq!(places(&late), [(2, port(1, 2))]);
}

#[test]
fn a_switchover_redirects_what_comes_through_vxlan_gpe_the_way_it_came() {
    let mut world = with_gpe();
    let to = locator(2).address;
    world.set_arrivals(1, &key(1, 1), Arrivals::Redirect { to });
    let late = world.arrive(1, NET, from_outside(3, 1, true));
    assert_eq!(places(&late), [(1, GPE)]);
    let tunnel = late[0].2.tunnel;
    assert_eq!(
        (tunnel.id, tunnel.dst4, tunnel.dst6.map(IpAddr::V6)),
        (NET, None, Some(to))
    );
}
