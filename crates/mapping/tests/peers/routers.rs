//! Routers of 2013 at our Map-Server.

use std::net::{IpAddr, Ipv4Addr};

use lisp::Eid;
use lisp::auth::AuthError;
use mapping::{Audit, Rejection};
use serde_json::json;

use crate::driver::peer::Peer;
use crate::driver::world::World;
use crate::our_server::{SECRET, SERVER, Served};

fn at(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn router(world: &mut World, place: &str, last: u8, eids: &[&str], words: &[&str]) -> Peer {
    let (server, key) = (SERVER.to_string(), world.key(SECRET));
    let ours = ["--map-server", &server, "--map-resolver", &server];
    let all = [&ours[..], &["--key-file", &key], words].concat();
    world.router(place, at(last), eids, &all)
}

fn locators(served: &Served, eid: Eid) -> Vec<IpAddr> {
    let record = served.mapping(eid).expect("it is registered");
    let places = record.locators.iter();
    places.filter_map(|locator| locator.address.ip()).collect()
}

const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);

#[test]
fn an_etr_of_2013_registers_with_sha_1_and_a_nonce_that_never_grows() {
    for length in ["20", "12"] {
        let mut world = World::new();
        let served = Served::start(&mut world, &[0]);
        let words = ["--auth-length", length, "--register-interval", "0.2"];
        let mut a = router(&mut world, "a", 11, &["10.1.0.1/24"], &words);
        a.wait(
            "registered",
            &json!({"server": "192.0.2.1", "eids": ["10.1.0.0/24"]}),
        );
        for _ in 0..3 {
            a.wait("map-notify", &json!({"nonce": 0}));
        }
        let prefix = Eid::new(0, Ipv4Addr::new(10, 1, 0, 0), 24);
        assert_eq!(locators(&served, prefix), [at(11)]);
        assert_eq!(served.audit(), [Audit::Changed { eid: prefix }]);
    }
}

#[test]
fn one_with_another_key_is_refused() {
    let mut world = World::new();
    let served = Served::start(&mut world, &[0]);
    let wrong = world.key("of another");
    let words = ["--key-file", &wrong, "--register-retry", "0.2"];
    let mut a = router(&mut world, "a", 11, &["10.1.0.1/24"], &words);
    for _ in 0..3 {
        a.wait("register-sent", &json!({}));
    }
    let rejected = |line: &Audit| {
        let reason = Rejection::Unauthenticated(AuthError::Mismatch);
        matches!(line, Audit::Rejected { reason: found, .. } if *found == reason)
    };
    let audit = served.audit();
    assert!(!audit.is_empty() && audit.iter().all(rejected), "{audit:?}");
}

#[test]
fn it_resolves_and_forwards_whether_we_answer_or_its_peer_does() {
    for proxy in [true, false] {
        let mut world = World::new();
        let _served = Served::start(&mut world, &[0]);
        let words: &[&str] = if proxy { &["--proxy-reply"] } else { &[] };
        let mut a = router(&mut world, "a", 11, &["10.1.0.1/24"], words);
        let mut b = router(&mut world, "b", 12, &["10.2.0.1/24"], words);
        a.wait("registered", &json!({}));
        b.wait("registered", &json!({}));
        world.reach("a", "10.2.0.1");
        let who = if proxy { SERVER.into() } else { at(12) };
        let answer = json!({"prefix": "10.2.0.0/24", "sender": who.to_string()});
        let told = a.wait("resolved", &answer);
        assert_eq!(told["authoritative"], !proxy, "only an ETR may say so");
        assert_eq!(world.ping("b", "10.1.0.1", 5), 5, "the way back is known");
    }
}

#[test]
fn it_learns_what_is_not_there_with_the_widest_prefix_and_the_rfcs_lifetimes() {
    let mut world = World::new();
    let _served = Served::start(&mut world, &[0]);
    let mut a = router(&mut world, "a", 11, &["10.1.0.1/24"], &[]);
    a.wait("registered", &json!({}));
    let denials = [
        ("10.9.0.1", "10.8.0.0/13", 1),
        ("203.0.113.9", "128.0.0.0/1", 15),
        ("fd11::1", "fd11::/16", 15),
    ];
    for (asked, prefix, ttl) in denials {
        a.say(&format!("resolve {asked}"));
        let action = "natively-forward";
        let none: [&str; 0] = [];
        let denial = json!({"prefix": prefix, "ttl": ttl, "action": action, "locators": none});
        a.wait("resolved", &denial);
    }
}

#[test]
fn instances_and_both_families_of_eids_are_kept_apart() {
    let mut world = World::new();
    let served = Served::start(&mut world, &[0, 7]);
    let eids = [
        ["10.1.0.1/24", "fd10:1::1/64"],
        ["10.2.0.1/24", "fd10:2::1/64"],
    ];
    let words = ["--iid", "7", "--proxy-reply"];
    let mut a = router(&mut world, "a", 11, &eids[0], &words);
    let mut b = router(&mut world, "b", 12, &eids[1], &words);
    let mut other = router(&mut world, "c", 13, &["10.2.0.1/24"], &["--proxy-reply"]);
    for peer in [&mut a, &mut b, &mut other] {
        peer.wait("registered", &json!({}));
    }
    world.reach("a", "10.2.0.1");
    world.reach("a", "fd10:2::1");
    let prefix = Ipv4Addr::new(10, 2, 0, 0);
    assert_eq!(locators(&served, Eid::new(7, prefix, 24)), [at(12)]);
    assert_eq!(locators(&served, Eid::new(0, prefix, 24)), [at(13)]);
}

#[test]
fn a_host_that_moves_between_two_of_them_is_followed_by_a_third_that_we_solicit() {
    for proxy in [true, false] {
        let mut world = World::new();
        let served = Served::start(&mut world, &[0]);
        let words: &[&str] = if proxy { &["--proxy-reply"] } else { &[] };
        let mut a = router(&mut world, "a", 11, &["10.1.0.1/24", "10.1.0.5/32"], words);
        let mut b = router(&mut world, "b", 12, &["10.2.0.1/24"], words);
        let mut c = router(&mut world, "c", 13, &["10.3.0.1/24"], words);
        for peer in [&mut a, &mut b, &mut c] {
            peer.wait("registered", &json!({}));
        }
        world.reach("c", "10.1.0.5");
        let places = [("a", 11, &mut a), ("b", 12, &mut b)];
        let [(old, home, left), (new, away, came)] = places;
        world.take(old, "10.1.0.5/32");
        world.give(new, "10.1.0.5/32");
        came.say("add 10.1.0.5/32");
        let smr = json!({"direction": "received", "eid": "10.1.0.5/32", "sender": "192.0.2.1"});
        c.wait("smr", &smr);
        let there =
            json!({"invoked": true, "prefix": "10.1.0.5/32", "locators": ["192.0.2.12 1/100"]});
        c.wait("resolved", &there);
        left.say("remove 10.1.0.5/32");
        left.wait("removed", &json!({}));
        assert_eq!(locators(&served, Eid::host(0, HOST)), [at(away)]);
        world.reach("c", "10.1.0.5");
        assert_eq!(world.ping("c", "10.1.0.5", 5), 5);

        world.take(new, "10.1.0.5/32");
        world.give(old, "10.1.0.5/32");
        left.say("add 10.1.0.5/32");
        // This time the router that gets it back knows who talks to it, and solicits too.
        let back =
            json!({"invoked": true, "prefix": "10.1.0.5/32", "locators": ["192.0.2.11 1/100"]});
        c.wait("resolved", &back);
        assert_eq!(locators(&served, Eid::host(0, HOST)), [at(home)]);
        assert_eq!(world.ping("c", "10.1.0.5", 5), 5);
    }
}

#[test]
fn a_host_that_is_withdrawn_is_gone_at_once_for_who_had_asked() {
    let mut world = World::new();
    let served = Served::start(&mut world, &[0]);
    let words = ["--proxy-reply"];
    let mut a = router(&mut world, "a", 11, &["10.1.0.5/32"], &words);
    let mut c = router(&mut world, "c", 13, &["10.3.0.1/24"], &words);
    for peer in [&mut a, &mut c] {
        peer.wait("registered", &json!({}));
    }
    world.reach("c", "10.1.0.5");
    a.say("withdraw 10.1.0.5/32");
    c.wait(
        "smr",
        &json!({"direction": "received", "sender": "192.0.2.1"}),
    );
    let none: [&str; 0] = [];
    c.wait("resolved", &json!({"invoked": true, "locators": none}));
    assert_eq!(served.mapping(Eid::host(0, HOST)), None);
}
