//! Our router and theirs, both at our Map-Server.

use std::net::Ipv4Addr;
use std::time::Duration;

use lisp::Eid;
use serde_json::json;
use xtr::config::Rloc;

use crate::driver::world::World;
use crate::our_server::{SECRET, SERVER, Served};
use crate::ours::{Plan, at, until, until_used};

#[test]
fn a_host_of_theirs_comes_to_ours_and_goes_back_and_both_kinds_of_others_follow() {
    let mut world = World::new();
    let served = Served::start(&mut world, &[0]);
    let (server, key) = (SERVER.to_string(), world.key(SECRET));
    let fixed = ["--map-server", &server, "--map-resolver", &server];
    let words = [&fixed[..], &["--key-file", &key, "--proxy-reply"]].concat();
    let mut a = world.router("a", at(11), &["10.1.0.1/24", "10.1.0.5/32"], &words);
    let mut c = world.router("c", at(13), &["10.3.0.1/24"], &words);
    for peer in [&mut a, &mut c] {
        peer.wait("registered", &json!({}));
    }
    let modern = |rloc, eids| Plan {
        rloc,
        legacy: false,
        proxy: true,
        eids,
        ..Plan::default()
    };
    let ours = modern(at(20), &["10.4.0.1/24"]).start(&mut world, "us");
    let subscriber = modern(at(21), &["10.5.0.1/24"]).start(&mut world, "sub");
    let host = Eid::host(0, Ipv4Addr::new(10, 1, 0, 5));
    for place in ["c", "sub"] {
        world.reach(place, "10.1.0.5");
    }
    until_used(&subscriber, "10.1.0.5/32", at(11));
    until("ours subscribes", || {
        let mappings = subscriber.status().mappings;
        mappings
            .iter()
            .any(|known| known.eid == "10.1.0.5/32" && known.subscribed)
    });

    world.take("a", "10.1.0.5/32");
    world.give("us", "10.1.0.5/32");
    a.say("remove 10.1.0.5/32");
    a.wait("removed", &json!({}));
    ours.own_eid_arrived(host);
    let there = json!({"prefix": "10.1.0.5/32", "locators": ["192.0.2.20 1/100"]});
    c.wait("resolved", &there);
    until_used(&subscriber, "10.1.0.5/32", at(20));
    for place in ["c", "sub"] {
        world.reach(place, "10.1.0.5");
        assert_eq!(world.ping(place, "10.1.0.5", 5), 5);
    }

    world.take("us", "10.1.0.5/32");
    world.give("a", "10.1.0.5/32");
    a.say("add 10.1.0.5/32");
    a.wait("registered", &json!({}));
    let to = Rloc {
        address: at(11),
        priority: 1,
        weight: 100,
    };
    ours.own_eid_left(host, vec![to], Duration::from_secs(5));
    let back = json!({"prefix": "10.1.0.5/32", "locators": ["192.0.2.11 1/100"]});
    c.wait("resolved", &back);
    until_used(&subscriber, "10.1.0.5/32", at(11));
    for place in ["c", "sub"] {
        world.reach(place, "10.1.0.5");
        assert_eq!(world.ping(place, "10.1.0.5", 5), 5);
    }
    let record = served.mapping(host).expect("it is registered");
    let first = record.locators.first().and_then(|one| one.address.ip());
    assert_eq!(first, Some(at(11)));
}
