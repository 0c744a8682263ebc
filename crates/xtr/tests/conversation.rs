//! Routers and a Map-Server in one process, with a clock and a network of the test's own.

mod world;

use std::time::Duration;

use lisp::Eid;
use world::{ITR, NEW, OLD, World, site, vm};
use xtr::config::Role;
use xtr::data::table::{Presence, Route};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_endpoint_is_registered_resolved_and_its_packets_that_waited_go() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.0/24")]);
    world.add(ITR, |config| config.subscribe = false);
    world.run(SECOND);
    assert_eq!(world.status(OLD).eids[0].registered, [world::SERVER]);
    for number in 0..3 {
        assert!(world.send_packet(ITR, vm(5), number), "it may wait");
    }
    world.run(SECOND);
    assert_eq!(world.resumed(ITR), 3);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
    let status = world.status(ITR);
    assert_eq!(status.mappings[0].eid, "[7]10.2.0.0/24");
    assert!(!status.mappings[0].subscribed);
    assert_eq!((status.questions, status.waiting), (0, 0));
}

#[test]
fn only_a_few_packets_wait_for_an_answer_that_does_not_come() {
    let mut world = World::new();
    world.add(ITR, |_| {});
    world.cut(world::SERVER);
    let waiting = (0..100)
        .filter(|n| world.send_packet(ITR, vm(5), *n))
        .count();
    assert_eq!(waiting, 8);
    let requests = world.sent_in(ITR, Duration::from_secs(40));
    assert_eq!(
        requests, 3,
        "besides the first: once a second at most, ever more rarely"
    );
    assert_eq!(
        world.route(ITR, vm(5)),
        None,
        "what nobody answered for is asked for again later"
    );
    assert_eq!(world.status(ITR).waiting, 0);
}

#[test]
fn what_no_site_has_is_denied_and_goes_to_the_proxy() {
    let mut world = World::new();
    let outside = Eid::host(7, std::net::Ipv4Addr::new(8, 8, 8, 8));
    world.add(ITR, |config| config.subscribe = false);
    world.add(NEW, |config| {
        config.subscribe = false;
        config.petrs = vec![OLD];
    });
    for router in [ITR, NEW] {
        world.send_packet(router, outside, 0);
    }
    world.run(SECOND);
    assert_eq!(world.route(ITR, outside), Some(Route::Native));
    assert_eq!(world.goes_to(NEW, outside), [OLD]);
}

#[test]
fn a_subscriber_learns_of_a_move_in_one_way_and_acknowledges_it() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.add(NEW, |_| {});
    world.add(ITR, |_| {});
    world.run(SECOND);
    world.send_packet(ITR, vm(5), 0);
    world.run(SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
    assert!(world.status(ITR).mappings[0].subscribed);
    let requests = world.requests_of(ITR);
    world.arrive(NEW, vm(5));
    world.leave(OLD, vm(5), NEW);
    world.run(Duration::from_millis(200));
    assert_eq!(world.goes_to(ITR, vm(5)), [NEW]);
    assert_eq!(world.requests_of(ITR), requests, "nothing had to be asked");
    world.run(10 * SECOND);
    assert_eq!(world.unacknowledged(), 0);
}

#[test]
fn who_knows_only_solicitations_asks_again_and_follows() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.add(NEW, |_| {});
    world.add(ITR, |config| config.subscribe = false);
    world.run(SECOND);
    world.send_packet(ITR, vm(5), 0);
    world.run(2 * SECOND);
    world.arrive(NEW, vm(5));
    world.leave(OLD, vm(5), NEW);
    world.run(Duration::from_millis(200));
    assert_eq!(world.goes_to(ITR, vm(5)), [NEW]);
}

#[test]
fn what_arrives_late_is_sent_on_then_fenced_and_its_sender_told_once_a_second() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.run(SECOND);
    world.leave(OLD, vm(5), NEW);
    assert_eq!(world.presence(OLD, vm(5)), Some(Presence::Left));
    assert_eq!(world.goes_to(OLD, vm(5)), [NEW]);
    let before = world.solicitations_to(ITR);
    for _ in 0..100 {
        world.late(OLD, vm(5), ITR);
        world.run(Duration::from_millis(50));
    }
    let told = world.solicitations_to(ITR) - before;
    assert!((5..=6).contains(&told), "{told} in five seconds");
    world.run(30 * SECOND);
    assert_eq!(world.presence(OLD, vm(5)), Some(Presence::Fenced));
    world.arrive(OLD, vm(5));
    assert_eq!(world.presence(OLD, vm(5)), Some(Presence::Here));
}

#[test]
fn an_endpoint_that_left_is_not_registered_again_also_not_after_a_restart() {
    let mut world = World::new();
    let with_vm = |config: &mut xtr::Config| config.eids = vec![site("10.2.0.5/32")];
    world.add(OLD, with_vm);
    world.add(NEW, |_| {});
    world.run(SECOND);
    world.arrive(NEW, vm(5));
    world.leave(OLD, vm(5), NEW);
    world.run(200 * SECOND);
    assert_eq!(world.registered(vm(5)), [NEW]);
    world.restart(OLD, with_vm);
    world.run(200 * SECOND);
    assert_eq!(world.registered(vm(5)), [NEW]);
    assert_eq!(world.presence(OLD, vm(5)), Some(Presence::Fenced));
    world.arrive(OLD, vm(5));
    world.run(SECOND);
    assert_eq!(world.registered(vm(5)), [OLD], "its nonces went on growing");
}

#[test]
fn a_lost_confirmation_is_asked_for_again() {
    let mut world = World::new();
    world.cut(OLD);
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.run(5 * SECOND);
    assert!(world.status(OLD).eids[0].registered.is_empty());
    world.mend(OLD);
    world.run(10 * SECOND);
    assert_eq!(world.status(OLD).eids[0].registered, [world::SERVER]);
}

#[test]
fn a_server_of_2013_gets_what_it_understands() {
    let mut world = World::old();
    let legacy = |config: &mut xtr::Config| {
        config.map_servers[0].rfc6830 = true;
        config.map_resolvers[0].rfc6830 = true;
    };
    world.add(OLD, |config| {
        legacy(config);
        config.eids = vec![site("10.2.0.5/32")];
    });
    world.add(ITR, legacy);
    world.run(SECOND);
    assert_eq!(world.status(OLD).eids[0].registered, [world::SERVER]);
    world.send_packet(ITR, vm(5), 0);
    world.run(SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
    assert!(world.seen_by_server().all(|message| match message {
        lisp::Message::MapRegister(register) =>
            register.nonce == 0
                && register.xtr.is_none()
                && register.authentication.data.len() == 20,
        lisp::Message::MapNotifyAck(_) => false,
        _ => true,
    }));
    world.restart(OLD, |config| {
        legacy(config);
        config.eids = vec![site("10.2.0.5/32")];
    });
    world.run(SECOND);
    assert_eq!(world.status(OLD).eids[0].registered, [world::SERVER]);
}

#[test]
fn a_locator_that_does_not_answer_is_left_out_until_it_does() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.add(ITR, |config| config.probe_interval = 5);
    world.run(SECOND);
    world.send_packet(ITR, vm(5), 0);
    world.run(2 * SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
    assert!(world.status(ITR).locators[0].round_trip_us.is_some());
    world.cut(OLD);
    world.run(12 * SECOND);
    assert_eq!(world.route(ITR, vm(5)), Some(Route::Unreachable));
    world.mend(OLD);
    world.run(12 * SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
}

#[test]
fn an_etr_answers_itself_where_the_server_shall_not() {
    let mut world = World::new();
    world.add(OLD, |config| {
        config.eids = vec![site("10.2.0.0/24")];
        config.map_servers[0].proxy_reply = false;
    });
    world.add(NEW, |_| {});
    world.add(ITR, |config| config.subscribe = false);
    world.run(SECOND);
    world.send_packet(ITR, vm(5), 0);
    world.run(SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [OLD]);
    // It knows who asked, and tells of a move.
    let before = world.solicitations_to(ITR);
    world.leave(
        OLD,
        Eid::new(7, std::net::Ipv4Addr::new(10, 2, 0, 0), 24),
        NEW,
    );
    world.run(SECOND);
    assert_eq!(world.solicitations_to(ITR), before + 1);
}

#[test]
fn a_proxy_says_that_it_is_one() {
    let mut world = World::new();
    world.add(ITR, |config| config.roles = vec![Role::Pitr]);
    world.send_packet(ITR, vm(5), 0);
    world.run(SECOND);
    let asked = |message: &lisp::Message| match message {
        lisp::Message::Encapsulated(ecm) => match &ecm.inner {
            lisp::message::Inner::Packet { message, .. } => matches!(&**message,
                lisp::Message::MapRequest(request) if request.flags.contains(lisp::MapRequestFlags::PITR)),
            lisp::message::Inner::Secured(_) => false,
        },
        _ => false,
    };
    assert!(world.seen_by_server().any(asked));
}

#[test]
fn forged_and_replayed_messages_change_nothing() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.5/32")]);
    world.add(NEW, |_| {});
    world.add(ITR, |_| {});
    world.run(SECOND);
    world.send_packet(ITR, vm(5), 0);
    world.run(SECOND);
    let recorded = world.received_by(ITR);
    world.arrive(NEW, vm(5));
    world.leave(OLD, vm(5), NEW);
    world.run(SECOND);
    for (from, bytes) in &recorded {
        world.inject(ITR, *from, bytes);
        // Authenticated messages cannot be changed, and answers cannot be invented.
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 0x40;
            world.inject(ITR, *from, &forged);
        }
    }
    world.run(3 * SECOND);
    assert_eq!(world.goes_to(ITR, vm(5)), [NEW]);
    assert!(world.status(ITR).rejected.values().sum::<u64>() > 0);
}

#[test]
fn what_is_remembered_does_not_grow_with_what_was_ever_asked_for() {
    let mut world = World::new();
    world.add(OLD, |config| config.eids = vec![site("10.2.0.0/24")]);
    world.add(ITR, |_| {});
    world.run(SECOND);
    for round in 0..3u8 {
        for last in 0..50 {
            world.send_packet(ITR, vm(last), 0);
            // Not there: each is denied by itself or with its neighbours.
            let absent = std::net::Ipv4Addr::new(10, 2, 100 + round, last * 5);
            world.send_packet(ITR, Eid::host(7, absent), 0);
        }
        world.run(120 * SECOND);
    }
    let status = world.status(ITR);
    assert!(status.mappings.len() < 200, "{}", status.mappings.len());
    // What is there is in one mapping, and what was not has been forgotten.
    world.run(3600 * SECOND);
    let status = world.status(ITR);
    assert_eq!((status.questions, status.waiting), (0, 0));
    assert!(status.subscriptions <= 51, "{}", status.subscriptions);
}
