//! What the rules do while an endpoint moves: hosts that know different things at one time.

mod support;

use control::Arrivals;
use control::projection::{Change, Key, RuleSet, changes, converge, rules, rules_around};
use model::Encap;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::packet::{BROADCAST, Packet};
use support::world::*;

const HOSTS: u8 = 4;
/// Where the endpoint is, and where it goes.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;

/// Member 1 moves; 2 stays at the source, 3 is at the target, 4 elsewhere.
fn gang() -> Plan {
    Plan {
        clusters: vec![
            (Encap::Vxlan, vec![SOURCE, SOURCE, TARGET, 3]),
            (Encap::Vxlan, vec![SOURCE, TARGET]),
        ],
    }
}

fn moving() -> Key {
    key(1, 1)
}

/// The world with each host in `flipped` told of the move already; both ends have the port.
fn world(flipped: &[u8]) -> World {
    let plan = gang();
    let before = plan.directory();
    let mut after = before.clone();
    after.commit(&moving(), locator(TARGET)).unwrap();
    let views = (1..=HOSTS).map(|number| {
        let mut view = view(&before, &plan, number);
        if flipped.contains(&number) {
            view.entries
                .insert(moving(), after.get(&moving()).unwrap().clone());
        }
        if number == SOURCE || number == TARGET {
            view.ports.insert(moving(), port(1, 1));
        }
        (number, view)
    });
    World::new(views.collect())
}

/// Where a packet of each other member for the moving one comes out.
fn deliveries(world: &World) -> Vec<Vec<(u8, u32)>> {
    [(2, SOURCE), (3, TARGET), (4, 3)]
        .into_iter()
        .map(|(from, at)| {
            let packet = Packet::ip(mac(from), mac(1), ipv4(from).into(), ipv4(1).into());
            let out = world.send(at, port(1, from), packet);
            out.into_iter()
                .map(|(host, port, _)| (host, port))
                .collect()
        })
        .collect()
}

#[test]
fn a_waiting_port_gets_nothing_before_the_flip() {
    let world = world(&[]);
    assert_eq!(deliveries(&world), vec![vec![(SOURCE, port(1, 1))]; 3]);
    for (from, at) in [(2, SOURCE), (3, TARGET), (4, 3)] {
        let packet = Packet::ip(
            mac(from),
            BROADCAST,
            ipv4(from).into(),
            "10.0.0.255".parse().unwrap(),
        );
        let out = world.send(at, port(1, from), packet);
        assert!(
            !out.iter()
                .any(|(host, out, _)| (*host, *out) == (TARGET, port(1, 1))),
            "{out:?}"
        );
        assert_eq!(
            out.iter().filter(|(_, out, _)| *out == port(1, 1)).count(),
            1
        );
    }
}

#[test]
fn a_redirect_carries_what_peers_send_to_the_source_after_the_flip() {
    let mut world = world(&[TARGET]);
    world.set_arrivals(
        SOURCE,
        &moving(),
        Arrivals::Redirect {
            to: locator(TARGET).address,
        },
    );
    // The sender on the source itself goes by the directory, which the source does not know yet.
    let [local, target, remote] = deliveries(&world).try_into().unwrap();
    assert_eq!(local, [(SOURCE, port(1, 1))]);
    assert_eq!(
        (target, remote),
        (vec![(TARGET, port(1, 1))], vec![(TARGET, port(1, 1))])
    );
}

#[test]
fn a_redirect_does_not_send_back_to_where_a_packet_comes_from() {
    let mut world = world(&[]);
    world.set_arrivals(
        SOURCE,
        &moving(),
        Arrivals::Redirect {
            to: locator(TARGET).address,
        },
    );
    world.set_arrivals(
        TARGET,
        &moving(),
        Arrivals::Redirect {
            to: locator(SOURCE).address,
        },
    );
    // The target still believes in the source: its packet for the endpoint ends there.
    assert_eq!(deliveries(&world)[1], []);
    // Two redirects that point at each other end as well.
    assert_eq!(deliveries(&world)[2], []);
}

#[test]
fn a_gate_keeps_everything_for_the_endpoint_in_its_queue_whoever_sends_it() {
    for flipped in [&[][..], &[SOURCE]] {
        let mut world = world(flipped);
        world.set_arrivals(SOURCE, &moving(), Arrivals::Gate { ofport: QUEUE });
        let all = deliveries(&world);
        assert_eq!(all, vec![vec![(SOURCE, QUEUE)]; 3]);
    }
    let mut world = world(&[]);
    world.set_arrivals(SOURCE, &moving(), Arrivals::Gate { ofport: QUEUE });
    let packet = Packet::ip(
        mac(4),
        BROADCAST,
        ipv4(4).into(),
        "10.0.0.255".parse().unwrap(),
    );
    let out = world.send(3, port(1, 4), packet);
    let places: BTreeSet<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
    assert_eq!(
        places,
        [(SOURCE, QUEUE), (SOURCE, port(1, 2)), (TARGET, port(1, 3))].into()
    );
}

#[test]
fn a_fenced_port_sends_nothing_and_an_unfenced_one_does() {
    let world = world(&[SOURCE, TARGET]);
    let packet = Packet::ip(mac(1), mac(4), ipv4(1).into(), ipv4(4).into());
    assert_eq!(world.send(SOURCE, port(1, 1), packet), []);
    assert_eq!(
        world.send(
            SOURCE,
            port(1, 1),
            Packet::arp_request(mac(1), ipv4(1), ipv4(4))
        ),
        []
    );
    assert_eq!(world.send(TARGET, port(1, 1), packet).len(), 1);
}

#[test]
fn an_endpoint_on_its_way_is_heard_from_the_source_until_the_override_goes() {
    let packet = Packet::ip(mac(1), mac(4), ipv4(1).into(), ipv4(4).into());
    let redirect = Arrivals::Redirect {
        to: locator(TARGET).address,
    };
    let mut world = world(&[SOURCE, TARGET]);
    world.set_arrivals(SOURCE, &moving(), redirect);
    assert_eq!(world.send(SOURCE, port(1, 1), packet).len(), 1);
}

#[test]
fn nothing_is_sent_to_ourselves_whatever_the_directory_and_the_agent_say() {
    let mut world = world(&[]);
    let own = world.views[&SOURCE].underlay;
    world.set_arrivals(SOURCE, &moving(), Arrivals::Redirect { to: own });
    assert_eq!(deliveries(&world)[2], [(SOURCE, port(1, 1))]);
    // A row that names another host with our address.
    let mut views = world.views;
    if let Some(view) = views.get_mut(&SOURCE) {
        view.entries
            .entry(moving())
            .and_modify(|entry| entry.locator.host = host(9));
        view.arrivals.clear();
    }
    assert_eq!(deliveries(&World::new(views))[0], []);
}

#[test]
fn a_packet_on_its_way_to_the_old_place_comes_out_at_the_new_one() {
    let world = world(&[SOURCE, TARGET]);
    assert_eq!(deliveries(&world)[2], [(TARGET, port(1, 1))]);
}

#[test]
fn an_override_of_drop_keeps_group_frames_from_the_port_as_well() {
    let mut world = world(&[]);
    world.set_arrivals(SOURCE, &moving(), Arrivals::Drop);
    assert_eq!(deliveries(&world)[2], []);
    let packet = Packet::ip(
        mac(4),
        BROADCAST,
        ipv4(4).into(),
        "10.0.0.255".parse().unwrap(),
    );
    let out = world.send(3, port(1, 4), packet);
    assert!(!out.iter().any(|(_, out, _)| *out == port(1, 1)), "{out:?}");
}

proptest! {
    #[test]
    fn whoever_knows_of_the_move_a_packet_is_delivered_once(
        flipped in prop::collection::btree_set(1..=HOSTS, 0..=4),
    ) {
        let flipped: Vec<u8> = flipped.into_iter().collect();
        let mut world = world(&flipped);
        // Both nets of the switchover are up: the source sends on, the target delivers.
        world.set_arrivals(SOURCE, &moving(), Arrivals::Redirect { to: locator(TARGET).address });
        world.set_arrivals(TARGET, &moving(), Arrivals::Deliver);
        let [local, target, remote] = deliveries(&world).try_into().unwrap();
        let there = vec![(TARGET, port(1, 1))];
        prop_assert_eq!(remote, there.clone());
        let local_place = if flipped.contains(&SOURCE) { TARGET } else { SOURCE };
        prop_assert_eq!(local, [(local_place, port(1, 1))]);
        // A target that has not been told sends to the source and gets nothing back.
        prop_assert_eq!(target, if flipped.contains(&TARGET) { there } else { vec![] });
    }

    #[test]
    fn an_update_touches_the_rules_around_one_endpoint_only(number in 1..=HOSTS, to in 1..=HOSTS, vm in 1..5u8) {
        let (plan, key) = (gang(), key(1, vm));
        let mut directory = plan.directory();
        let before = view(&directory, &plan, number);
        directory.commit(&key, locator(to)).unwrap();
        let mut after = before.clone();
        after.entries.insert(key.clone(), directory.get(&key).unwrap().clone());
        let steps = changes(&rules_around(&before, &key), &rules_around(&after, &key));
        let mut installed = rules(&before);
        apply(&mut installed, &steps);
        prop_assert_eq!(installed, rules(&after));
    }

    #[test]
    fn nobody_else_notices_any_step_of_an_update(number in 1..=HOSTS, to in 1..=HOSTS, reverse in any::<bool>()) {
        let (plan, key) = (gang(), moving());
        let mut directory = plan.directory();
        let mut before = view(&directory, &plan, number);
        directory.commit(&key, locator(to)).unwrap();
        let mut after = before.clone();
        after.entries.insert(key.clone(), directory.get(&key).unwrap().clone());
        if reverse {
            std::mem::swap(&mut before, &mut after);
        }
        let mut world = world(&[]);
        let mut installed = rules(&before);
        for step in changes(&rules(&before), &rules(&after)) {
            apply(&mut installed, &[step]);
            world.replace_rules(number, installed.clone());
            for (from, at, dest, there) in [(2, SOURCE, 3, TARGET), (3, TARGET, 4, 3), (4, 3, 2, SOURCE)] {
                let packet = Packet::ip(mac(from), mac(dest), ipv6(from).into(), ipv6(dest).into());
                let out = world.send(at, port(1, from), packet);
                let places: Vec<_> = out.iter().map(|(host, port, _)| (*host, *port)).collect();
                prop_assert_eq!(places, [(there, port(1, dest))]);
            }
        }
    }

    #[test]
    fn a_switch_that_lost_rules_and_kept_old_ones_is_converged(
        number in 1..=HOSTS,
        lost in prop::collection::btree_set(0..60usize, 0..20),
        old in 1..=HOSTS,
    ) {
        let plan = gang();
        let wanted = rules(&view(&plan.directory(), &plan, number));
        let mut installed: RuleSet = rules(&view(&plan.directory(), &plan, old));
        for rule in wanted.iter().enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, rule)| rule) {
            installed.insert(rule.clone());
        }
        let read = |set: &RuleSet| set.iter().map(|rule| (rule.table, rule.cookie)).collect::<Vec<_>>();
        let steps = converge(read(&installed), &wanted);
        apply(&mut installed, &steps);
        prop_assert_eq!(&installed, &wanted);
        prop_assert_eq!(converge(read(&installed), &wanted), vec![]);
    }
}

/// Makes the steps as a switch would.
fn apply(installed: &mut RuleSet, steps: &[Change]) {
    let mut map: BTreeMap<_, _> = installed
        .iter()
        .map(|rule| (rule.identity(), rule.clone()))
        .collect();
    for step in steps {
        match step {
            Change::Add(rule) => drop(map.insert(rule.identity(), rule.clone())),
            Change::Remove(rule) => {
                map.remove(&rule.identity())
                    .expect("only rules that are there are removed");
            }
            Change::RemoveLeftover { table, cookie } => {
                map.retain(|_, rule| (rule.table, rule.cookie) != (*table, *cookie));
            }
        }
    }
    *installed = map.into_values().collect();
}
