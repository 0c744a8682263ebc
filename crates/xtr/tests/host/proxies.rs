//! Hosts outside of the overlay: they reach an endpoint through a proxy, wherever it is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use xtr::config::{Role, Static};

use crate::stage::{INSTANCE, Stage, config, eid4, fixed, host, noise, rloc, rloc4, sh};

/// Place 1 is the proxy in both directions, 2 and 3 are sites, 4 is outside behind the proxy.
#[test]
fn a_connection_from_outside_survives_the_move_of_its_endpoint() {
    let stage = Stage::new(4);
    // Outside has a link to the proxy only.
    sh(&format!(
        "ip -n {out} link set e0 down
         ip link add o0 netns {out} type veth peer name o0 netns {proxy}
         ip -n {out} addr add 172.16.0.2/24 dev o0; ip -n {out} link set o0 up
         ip -n {proxy} addr add 172.16.0.1/24 dev o0; ip -n {proxy} link set o0 up
         ip -n {out} route add default via 172.16.0.1",
        out = stage.name(4),
        proxy = stage.name(1),
    ));
    stage.sh(1, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
    let vm = eid4(50);
    let mut proxy = config(1, rloc4(1));
    proxy.roles = vec![Role::Pitr, Role::Petr];
    proxy.eids.clear();
    proxy.instances[0].addresses.clear();
    proxy.mappings = vec![fixed(vm, rloc4(2))];
    let proxy = stage.start(1, proxy);
    let sites = [2, 3].map(|place| {
        let mut site = config(place, rloc4(place));
        site.instances[0].routes.push("172.16.0.0/24".to_owned());
        // What the mapping system would say of an address that is in no site.
        site.mappings = vec![Static {
            prefix: "172.16.0.0/24".to_owned(),
            instance: INSTANCE,
            rlocs: vec![rloc(rloc4(1))],
        }];
        stage.start(place, site)
    });
    stage.sh(2, &format!("ip addr add {vm}/32 dev lo"));
    sites[0].own_eid_arrived(host(vm));
    let listener = stage
        .inside(2, || TcpListener::bind("10.2.0.50:80"))
        .expect("listen");
    let mut client = stage
        .inside(4, || TcpStream::connect("10.2.0.50:80"))
        .expect("outside reaches the endpoint");
    let (mut served, from) = listener.accept().expect("accept");
    assert_eq!(
        from.ip().to_string(),
        "172.16.0.2",
        "its own address is seen"
    );
    // The server's socket stays at place 2; its packets come and go through place 3 from now on, as
    // those of a VM would that has moved there: 3 hands them over by a link of its own.
    sh(&format!(
        "ip link add m0 netns {a} type veth peer name m0 netns {b}
         ip -n {a} addr add 192.168.9.2/24 dev m0; ip -n {a} link set m0 up
         ip -n {b} addr add 192.168.9.3/24 dev m0; ip -n {b} link set m0 up
         ip -n {b} route add {vm}/32 via 192.168.9.2
         ip -n {a} route replace 172.16.0.0/24 via 192.168.9.3",
        a = stage.name(2),
        b = stage.name(3),
    ));
    for place in [2, 3] {
        stage.sh(place, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.m0.rp_filter=0 net.ipv4.conf.lisp7.rp_filter=0");
    }
    let bytes = noise(300_000);
    let mut got = vec![0; bytes.len()];
    served
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("timeout");
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("timeout");
    for step in 0..4 {
        if step == 2 {
            sites[1].own_eid_arrived(host(vm));
            sites[0].own_eid_left(host(vm), vec![rloc(rloc4(3))], Duration::from_secs(5));
            proxy.set_mapping(host(vm), Some(vec![rloc(rloc4(3))]));
        }
        client.write_all(&bytes).expect("write");
        served.read_exact(&mut got).expect("all of it");
        assert!(got == bytes);
        served.write_all(&bytes).expect("write");
        client.read_exact(&mut got).expect("all of it");
        assert!(got == bytes);
    }
    assert!(crate::stage::count(&sites[1], "decapsulated_packets") > 100);
}
