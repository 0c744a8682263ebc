//! What security rules let through, whatever they say: run on paper.

mod support;

use control::carry::{self, permits};
use control::projection::{Change, Kind, RuleSet, changes};
use model::security::{Direction, Ports, Protocol, Remote};
use model::{Connection, Encap, Flow, SecurityRule};
use proptest::prelude::*;
use std::net::IpAddr;
use support::packet::{BROADCAST, Packet, Payload, Segment};
use support::world::*;

const HOSTS: u8 = 3;

/// One cluster: members 1 and 2 on host 1, 3 on host 2, 4 on host 3.
fn plan() -> Plan {
    Plan {
        clusters: vec![(Encap::Vxlan, vec![1, 1, 2, 3])],
    }
}

fn home(vm: u8) -> u8 {
    plan().clusters[0].1[usize::from(vm) - 1]
}

fn rule(text: &str) -> SecurityRule {
    text.parse().unwrap()
}

/// Ports that rules and packets agree on now and then.
fn a_port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(22), Just(80), Just(443), 75..90u16, 1..=u16::MAX]
}

fn security_rule() -> impl Strategy<Value = SecurityRule> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let protocol = prop_oneof![
        Just(Protocol::Any),
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Icmp)
    ];
    let remote = prop_oneof![
        Just(Remote::Any),
        Just(Remote::Members),
        (1..6u8).prop_map(|vm| Remote::Member(key(1, vm).1)),
        prop::sample::select(vec![
            "10.0.0.0/30",
            "10.0.0.3/32",
            "0.0.0.0/0",
            "fd00::/126",
            "::/0",
            "192.0.2.0/24"
        ])
        .prop_map(|text| Remote::Cidr(text.parse().unwrap())),
    ];
    let ports = prop::option::of((a_port(), a_port()));
    (direction, protocol, ports, remote).prop_map(|(direction, protocol, ports, remote)| {
        let ports = ports.filter(|_| protocol.has_ports());
        SecurityRule {
            direction,
            protocol,
            ports: ports.and_then(|(a, b)| Ports::new(a.min(b), a.max(b))),
            remote,
        }
    })
}

fn address(vm: u8, v6: bool) -> IpAddr {
    if v6 { ipv6(vm).into() } else { ipv4(vm).into() }
}

fn packet(from: u8, to: u8, segment: Segment) -> Packet {
    Packet::new(mac(from), mac(to), Payload::Segment(segment))
}

fn secured(plan: &Plan, rows: &[(u8, Vec<SecurityRule>)]) -> World {
    let mut world = World::agreed(plan, HOSTS);
    for number in 1..=HOSTS {
        world.change(number, |view| {
            for (vm, rules) in rows {
                view.entries.get_mut(&key(1, *vm)).unwrap().security = rules.clone();
            }
        });
    }
    world
}

fn arrives(world: &World, from: u8, to: u8, segment: Segment) -> bool {
    let out = world.send(home(from), port(1, from), packet(from, to, segment));
    let places: Vec<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
    assert!(
        places.is_empty() || places == [(home(to), port(1, to))],
        "{places:?}"
    );
    !places.is_empty()
}

fn back(segment: Segment) -> Segment {
    Segment {
        src: segment.dst,
        dst: segment.src,
        opening: false,
        ..segment
    }
}

prop_compose! {
    fn a_segment()(protocol in prop_oneof![Just(6u8), Just(17), Just(1)], to in 2..5u8, out in any::<bool>(), v6 in any::<bool>(), sport in 1024..=u16::MAX, dport in a_port())
        -> (u8, u8, Segment) {
        let (from, to) = if out { (1, to) } else { (to, 1) };
        let protocol = if protocol == 1 && v6 { 58 } else { protocol };
        let ports = if matches!(protocol, 6 | 17) { (sport, dport) } else { (0, 0) };
        let src = (address(from, v6), ports.0);
        let dst = (address(to, v6), ports.1);
        (from, to, Segment { protocol, src, dst, opening: true })
    }
}

fn flow_of(from: u8, segment: &Segment) -> Flow {
    let by_member = from == 1;
    let (member, remote) = if by_member {
        (segment.src, segment.dst)
    } else {
        (segment.dst, segment.src)
    };
    Flow {
        protocol: segment.protocol,
        by_member,
        member: member.0,
        member_port: member.1,
        remote: remote.0,
        remote_port: remote.1,
    }
}

proptest! {
    #[test]
    fn what_the_rules_allow_begins_and_is_answered_and_nothing_else(
        rows in prop::collection::vec(security_rule(), 1..6),
        (from, to, segment) in a_segment(),
    ) {
        let world = secured(&plan(), &[(1, rows)]);
        let allowed = permits(&world.views[&1], &key(1, 1), &flow_of(from, &segment));
        prop_assert_eq!(arrives(&world, from, to, segment), allowed);
        if allowed {
            prop_assert!(arrives(&world, to, from, back(segment)), "the answer");
            prop_assert!(arrives(&world, from, to, Segment { opening: false, ..segment }), "what follows");
        }
    }

    #[test]
    fn tcp_that_opens_nothing_and_belongs_to_nothing_is_a_stray(
        rows in prop::collection::vec(security_rule(), 1..6),
        (from, to, segment) in a_segment(),
    ) {
        let world = secured(&plan(), &[(1, rows)]);
        if segment.protocol == 6 {
            let stray = Segment { opening: false, ..segment };
            prop_assert!(!arrives(&world, from, to, stray));
            prop_assert!(!arrives(&world, to, from, back(stray)));
        }
    }

    #[test]
    fn a_member_without_rules_is_not_looked_at(
        rows in prop::collection::vec(security_rule(), 1..6),
    ) {
        let plain = World::agreed(&plan(), HOSTS);
        let world = secured(&plan(), &[(1, rows)]);
        // Its rules, but for the copies to its neighbour, are the same to the last one.
        for number in 1..=HOSTS {
            for rule in plain.rules(number).iter().filter(|rule| rule.cookie.kind() != Some(Kind::Replicate)) {
                let of_the_secured = rule.matching.contains(&control::projection::Field::EthDestination(mac(1)));
                prop_assert!(of_the_secured || world.rules(number).get(&rule.identity()) == Some(rule));
            }
            let security = |rules: &RuleSet| rules.iter().filter(|rule| rule.cookie.kind() == Some(Kind::Security)).count();
            prop_assert_eq!(security(plain.rules(number)), 0);
            prop_assert!((security(world.rules(number)) > 0) == (number == 1), "only where its port is");
        }
    }

    #[test]
    fn group_frames_come_to_a_member_only_when_its_rules_say_so(rows in prop::collection::vec(security_rule(), 1..6), from in 2..5u8) {
        let world = secured(&plan(), &[(1, rows)]);
        let segment = Segment { protocol: 17, src: (address(from, false), 5353), dst: ("10.0.0.255".parse().unwrap(), 80), opening: true };
        let frame = Packet::new(mac(from), BROADCAST, Payload::Segment(segment));
        let out = world.send(home(from), port(1, from), frame);
        let mut places: Vec<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
        places.sort_unstable();
        let allowed = permits(&world.views[&1], &key(1, 1), &Flow { by_member: false, ..flow_of(from, &segment) });
        let mut expected: Vec<_> = (1..5u8).filter(|vm| *vm != from && (*vm != 1 || allowed)).map(|vm| (home(vm), port(1, vm))).collect();
        expected.sort_unstable();
        prop_assert_eq!(places, expected);
    }

    #[test]
    fn the_rules_are_the_same_wherever_the_member_is_but_for_its_port(rows in prop::collection::vec(security_rule(), 1..6)) {
        let mut world = secured(&plan(), &[(1, rows.clone())]);
        let before = world.rules(1).clone();
        // The target has the port and the row before anything moves; the source keeps both until after.
        world.change(2, |view| {
            view.ports.insert(key(1, 1), port(1, 1));
        });
        let ready = world.rules(2).clone();
        let security = |rules: &RuleSet| -> Vec<_> {
            rules.iter().filter(|rule| rule.cookie.kind() == Some(Kind::Security)).cloned().collect()
        };
        prop_assert_eq!(security(&ready), security(&before));
        for number in 1..=HOSTS {
            world.change(number, |view| {
                let row = view.entries.get_mut(&key(1, 1)).unwrap();
                row.locator = locator(2);
                row.epoch = row.epoch.next();
            });
        }
        // The flip changes not one of them.
        prop_assert_eq!(security(world.rules(2)), security(&ready));
        let flip = changes(&ready, world.rules(2));
        prop_assert!(flip.iter().all(|step| !matches!(step, Change::Add(rule) | Change::Remove(rule) if rule.cookie.kind() == Some(Kind::Security))));
        world.change(1, |view| {
            view.ports.remove(&key(1, 1));
        });
        prop_assert_eq!(security(world.rules(1)), []);
    }

    #[test]
    fn a_gate_keeps_only_what_the_rules_let_in(rows in prop::collection::vec(security_rule(), 1..6), (from, to, segment) in a_segment()) {
        prop_assume!(to == 1);
        let mut world = secured(&plan(), &[(1, rows)]);
        world.set_arrivals(1, &key(1, 1), control::Arrivals::Gate { ofport: QUEUE });
        let allowed = permits(&world.views[&1], &key(1, 1), &flow_of(from, &segment));
        let out = world.send(home(from), port(1, from), packet(from, to, segment));
        let places: Vec<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
        prop_assert_eq!(places, if allowed { vec![(1, QUEUE)] } else { vec![] });
    }
}

#[test]
fn two_members_with_rules_on_one_host_need_each_others_leave() {
    let open = vec![rule("ingress tcp 80 from any"), rule("egress any to any")];
    let closed = vec![rule("ingress tcp 443 from any"), rule("egress any to any")];
    let world = secured(&plan(), &[(1, open), (2, closed)]);
    let segment = |from, to| Segment {
        protocol: 6,
        src: (address(from, false), 4000),
        dst: (address(to, false), 80),
        opening: true,
    };
    assert!(arrives(&world, 2, 1, segment(2, 1)));
    assert!(arrives(&world, 1, 2, back(segment(2, 1))));
    assert!(!arrives(&world, 1, 2, segment(1, 2)));
}

#[test]
fn a_rule_that_names_a_member_follows_its_addresses() {
    let rows = vec![rule("ingress any from member m2")];
    let mut world = secured(&plan(), &[(1, rows)]);
    let segment = Segment {
        protocol: 17,
        src: ("10.0.0.77".parse().unwrap(), 1),
        dst: (address(1, false), 2),
        opening: true,
    };
    assert!(!arrives(&world, 2, 1, segment));
    world.change(1, |view| {
        let row = view.entries.get_mut(&key(1, 2)).unwrap();
        row.ips = vec!["10.0.0.77".parse().unwrap()];
    });
    assert!(arrives(&world, 2, 1, segment));
    world.change(1, |view| drop(view.entries.remove(&key(1, 2))));
    let rules: Vec<_> = world.rules(1).iter().collect();
    let named = rules
        .iter()
        .any(|rule| format!("{:?}", rule.matching).contains("10.0.0.77"));
    assert!(!named, "a member that is gone is nobody");
}

#[test]
fn a_connection_that_is_carried_has_two_rules_of_its_own() {
    let world = secured(&plan(), &[(1, vec![rule("ingress tcp 80 from any")])]);
    let flow = Flow {
        protocol: 6,
        by_member: false,
        member: address(1, false),
        member_port: 80,
        remote: address(3, false),
        remote_port: 40000,
    };
    let connection = |expires_s| Connection {
        flow,
        expires_s,
        established: true,
    };
    let view = &world.views[&1];
    let steps = carry::carry(view, &key(1, 1), &connection(86400));
    assert_eq!(steps.len(), 2);
    for step in &steps {
        assert_eq!(step.idle_timeout, u16::MAX);
        assert!(!control::projection::Cookie(step.cookie).is_ours());
        assert_eq!(step.cookie, carry::selector(port(1, 1)).0);
    }
    assert_eq!(carry::drop_carried(view, &key(1, 1), &flow).len(), 2);
    // One that is over, one of a member that is not here.
    assert!(carry::carry(view, &key(1, 1), &connection(0)).is_empty());
    assert!(carry::carry(&world.views[&2], &key(1, 1), &connection(9)).is_empty());
    // Addresses of two families are no connection.
    let odd = Flow {
        remote: address(3, true),
        ..flow
    };
    let odd = Connection {
        flow: odd,
        ..connection(9)
    };
    assert!(carry::carry(view, &key(1, 1), &odd).is_empty());
}

#[test]
fn rules_that_are_replaced_are_another_version_of_the_row() {
    let mut directory = plan().directory();
    let before = directory.get(&key(1, 1)).unwrap().clone();
    let rules = vec![rule("ingress tcp 80 from any")];
    let after = directory.secure(&key(1, 1), rules.clone()).unwrap();
    assert_eq!(
        (after.epoch, &after.security),
        (before.epoch.next(), &rules)
    );
    let moved = directory.commit(&key(1, 1), locator(2)).unwrap();
    assert_eq!(moved.security, rules, "they go where the member goes");
    assert!(directory.secure(&key(1, 9), Vec::new()).is_err());
}
