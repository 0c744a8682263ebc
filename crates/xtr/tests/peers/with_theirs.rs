//! Our router at a Map-Server of 2013, with routers of that year.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lisp::Eid;
use serde_json::json;
use xtr::config::Rloc;

use crate::driver::peer::Peer;
use crate::driver::world::World;
use crate::our_server::SECRET;
use crate::ours::{Plan, at, until, until_used};

struct Bench {
    world: World,
    server: Peer,
    address: IpAddr,
}

impl Bench {
    fn new(address: IpAddr, words: &[&str]) -> Self {
        let mut world = World::new();
        let name = world.place("ms", address);
        let (key, listen) = (world.key(SECRET), address.to_string());
        let fixed = ["map-server", "--site-key-file", &key, "--listen", &listen];
        let prefixes = ["--prefix", "10.0.0.0/8", "--prefix", "fd10::/16"];
        let server = Peer::start(&name, &[&fixed[..], &prefixes, words].concat());
        Self {
            world,
            server,
            address,
        }
    }

    fn theirs(&mut self, place: &str, rloc: IpAddr, eids: &[&str], words: &[&str]) -> Peer {
        let (key, server) = (self.world.key(SECRET), self.address.to_string());
        let fixed = [
            "--map-server",
            &server,
            "--map-resolver",
            &server,
            "--key-file",
            &key,
        ];
        let all = [&fixed[..], words].concat();
        let mut peer = self.world.router(place, rloc, eids, &all);
        peer.wait("registered", &json!({}));
        peer
    }
}

#[test]
fn it_registers_resolves_and_forwards_both_ways_whoever_answers() {
    for proxy in [true, false] {
        let mut bench = Bench::new(at(1), if proxy { &["--proxy-reply"] } else { &[] });
        let mut theirs = bench.theirs("a", at(11), &["10.1.0.1/24"], &[]);
        let plan = Plan {
            eids: &["10.4.0.1/24"],
            ..Plan::default()
        };
        let ours = plan.start(&mut bench.world, "us");
        let registration = json!({"eid": "10.4.0.0/24", "etr": "192.0.2.20", "nonce": 0});
        bench.server.wait("registration", &registration);
        bench.world.reach("us", "10.1.0.1");
        until_used(&ours, "10.1.0.0/24", at(11));
        let who = if proxy { at(1) } else { at(20) };
        let answer = json!({"prefix": "10.4.0.0/24", "sender": who.to_string()});
        theirs.wait("resolved", &answer);
        assert_eq!(bench.world.ping("us", "10.1.0.1", 5), 5);
        assert_eq!(bench.world.ping("a", "10.4.0.1", 5), 5);
    }
}

#[test]
fn the_first_packet_is_not_lost_where_only_ours_has_to_ask() {
    let mut bench = Bench::new(at(1), &[]);
    let mut theirs = bench.theirs("a", at(11), &["10.1.0.1/24"], &[]);
    let plan = Plan {
        eids: &["10.4.0.1/24"],
        ..Plan::default()
    };
    let _ours = plan.start(&mut bench.world, "us");
    theirs.say("resolve 10.4.0.1");
    theirs.wait("resolved", &json!({"prefix": "10.4.0.0/24"}));
    assert_eq!(bench.world.ping("us", "10.1.0.1", 5), 5);
}

#[test]
fn an_instance_and_both_families_of_eids_and_locators_cross() {
    let (server, there, here): (IpAddr, IpAddr, IpAddr) = (
        "2001:db8::1".parse().expect("an address"),
        "2001:db8::11".parse().expect("an address"),
        "2001:db8::20".parse().expect("an address"),
    );
    for (server, there, here) in [(at(1), at(11), at(20)), (server, there, here)] {
        let mut bench = Bench::new(server, &[]);
        let eids = ["10.1.0.1/24", "fd10:1::1/64"];
        let _theirs = bench.theirs("a", there, &eids, &["--iid", "7"]);
        let plan = Plan {
            rloc: here,
            server,
            iid: 7,
            eids: &["10.4.0.1/24", "fd10:4::1/64"],
            ..Plan::default()
        };
        let _ours = plan.start(&mut bench.world, "us");
        for (ours, theirs) in [("10.4.0.1", "10.1.0.1"), ("fd10:4::1", "fd10:1::1")] {
            bench.world.reach("us", theirs);
            assert_eq!(bench.world.ping("us", theirs, 5), 5, "{theirs} by {there}");
            assert_eq!(bench.world.ping("a", ours, 5), 5, "{ours} by {here}");
        }
    }
}

#[test]
fn ours_follows_a_host_that_moves_between_two_of_theirs() {
    let mut bench = Bench::new(at(1), &["--proxy-reply"]);
    let mut a = bench.theirs("a", at(11), &["10.1.0.1/24", "10.1.0.5/32"], &[]);
    let mut b = bench.theirs("b", at(12), &["10.2.0.1/24"], &[]);
    let plan = Plan {
        eids: &["10.4.0.1/24"],
        ..Plan::default()
    };
    let ours = plan.start(&mut bench.world, "us");
    bench.world.reach("us", "10.1.0.5");
    until_used(&ours, "10.1.0.5/32", at(11));
    bench.world.take("a", "10.1.0.5/32");
    bench.world.give("b", "10.1.0.5/32");
    b.say("add 10.1.0.5/32");
    b.wait("registered", &json!({}));
    a.say("remove 10.1.0.5/32");
    let smr = json!({"direction": "sent", "eid": "10.1.0.5/32", "to": "192.0.2.20"});
    a.wait("smr", &smr);
    // Within a second of our own question, and perhaps only the next one is obeyed, which their router
    // sends when it gets a packet that is not for it any more.
    bench.world.reach("us", "10.1.0.5");
    until_used(&ours, "10.1.0.5/32", at(12));
    assert_eq!(bench.world.ping("us", "10.1.0.5", 5), 5);
}

#[test]
fn a_solicitation_right_after_the_answer_is_obeyed_without_a_second_one() {
    let mut bench = Bench::new(at(1), &["--proxy-reply"]);
    let mut a = bench.theirs("a", at(11), &["10.1.0.1/24", "10.1.0.5/32"], &[]);
    let mut b = bench.theirs("b", at(12), &["10.2.0.1/24"], &[]);
    let plan = Plan {
        eids: &["10.4.0.1/24"],
        ..Plan::default()
    };
    let ours = plan.start(&mut bench.world, "us");
    // Known on the other side, so that it is the first echo that resolves and comes back.
    a.say("resolve 10.4.0.1");
    a.wait("resolved", &json!({}));
    b.say("add 10.1.0.5/32");
    b.wait("registered", &json!({}));
    a.say("add 10.1.0.5/32");
    a.wait("registered", &json!({}));
    assert_eq!(bench.world.ping("us", "10.1.0.5", 1), 1);
    until_used(&ours, "10.1.0.5/32", at(11));
    b.say("add 10.1.0.5/32");
    b.wait(
        "map-notify",
        &json!({"eids": ["10.2.0.0/24", "10.1.0.5/32"]}),
    );
    a.say("remove 10.1.0.5/32");
    a.wait("smr", &json!({"direction": "sent", "to": "192.0.2.20"}));
    until_used(&ours, "10.1.0.5/32", at(12));
}

#[test]
fn theirs_follows_a_host_that_moves_between_two_of_ours() {
    for proxy in [true, false] {
        let mut bench = Bench::new(at(1), if proxy { &["--proxy-reply"] } else { &[] });
        let mut theirs = bench.theirs("a", at(11), &["10.1.0.1/24"], &[]);
        let host = Eid::host(0, Ipv4Addr::new(10, 4, 0, 5));
        let old = Plan {
            eids: &["10.4.0.1/24", "10.4.0.5/32"],
            ..Plan::default()
        };
        let new = Plan {
            rloc: at(21),
            eids: &["10.5.0.1/24"],
            ..Plan::default()
        };
        let old = old.start(&mut bench.world, "old");
        let new = new.start(&mut bench.world, "new");
        bench.world.reach("a", "10.4.0.5");
        theirs.wait(
            "resolved",
            &json!({"prefix": "10.4.0.5/32", "locators": ["192.0.2.20 1/100"]}),
        );
        bench.world.take("old", "10.4.0.5/32");
        bench.world.give("new", "10.4.0.5/32");
        new.own_eid_arrived(host);
        until("the new place is registered", || {
            let eids = new.status().eids;
            let host = eids.iter().find(|eid| eid.eid == "10.4.0.5/32");
            host.is_some_and(|host| host.registered == [at(1)])
        });
        let to = Rloc {
            address: at(21),
            priority: 1,
            weight: 100,
        };
        old.own_eid_left(host, vec![to], Duration::from_secs(5));
        bench.world.reach("a", "10.4.0.5");
        let there =
            json!({"invoked": true, "prefix": "10.4.0.5/32", "locators": ["192.0.2.21 1/100"]});
        theirs.wait("resolved", &there);
        assert_eq!(bench.world.ping("a", "10.4.0.5", 5), 5);
    }
}

#[test]
fn each_answers_the_probes_of_the_other_and_notices_when_it_is_gone() {
    let mut bench = Bench::new(at(1), &["--proxy-reply"]);
    let words = ["--probe-interval", "0.5"];
    let mut theirs = bench.theirs("a", at(11), &["10.1.0.1/24"], &words);
    let plan = Plan {
        eids: &["10.4.0.1/24"],
        probe: 1,
        ..Plan::default()
    };
    let ours = plan.start(&mut bench.world, "us");
    bench.world.reach("us", "10.1.0.1");
    for _ in 0..3 {
        theirs.wait("probed", &json!({"locator": "192.0.2.20"}));
    }
    let knows = |up: bool| {
        let locators = ours.status().locators;
        let there = locators.iter().find(|locator| locator.address == at(11));
        there.is_some_and(|there| there.up == up && (!up || there.round_trip_us.is_some()))
    };
    until("theirs has answered a probe", || knows(true));
    drop(theirs);
    until("theirs is down", || knows(false));
}

#[test]
fn an_endpoint_of_ours_that_ends_is_withdrawn_from_their_server() {
    let mut bench = Bench::new(at(1), &[]);
    let plan = Plan {
        eids: &["10.4.0.1/24"],
        ..Plan::default()
    };
    let ours = plan.start(&mut bench.world, "us");
    ours.own_eid_gone(Eid::new(0, Ipv4Addr::new(10, 4, 0, 0), 24));
    let withdrawn = json!({"eid": "10.4.0.0/24", "etr": "192.0.2.20"});
    bench.server.wait("deregistered", &withdrawn);
}
