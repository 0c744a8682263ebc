//! Traces recorded of Open vSwitch 3.1.0, with the rules of `docs/dataplane.md`.

use super::*;
use model::trace::{Packet, What};

fn view() -> HostView {
    let mut view = HostView::new("north-1".parse().unwrap(), [10, 0, 0, 1].into());
    let key = |vm: &str| ("shop".parse().unwrap(), vm.parse().unwrap());
    view.ports.insert(key("web1"), 16);
    view.ports.insert(key("web2"), 17);
    view.tunnels.insert(model::Encap::Vxlan, 1);
    view.nets.insert(
        "shop".parse().unwrap(),
        model::Net {
            cluster: "shop".parse().unwrap(),
            vni: 7001,
            encap: model::Encap::Vxlan,
            mtu: 1400,
        },
    );
    view
}

fn probe(enters: Enters, what: What) -> Probe {
    Probe {
        cluster: "shop".parse().unwrap(),
        enters,
        packet: Packet {
            from_mac: model::Mac([2, 0, 0, 0, 0, 1]),
            to_mac: model::Mac([2, 0, 0, 0, 0, 3]),
            from: [10, 77, 0, 1].into(),
            to: [10, 77, 0, 3].into(),
            what,
            established: false,
        },
    }
}

fn member() -> Enters {
    Enters::Member {
        vm: "web1".parse().unwrap(),
    }
}

fn ends(text: &str, enters: Enters) -> Vec<End> {
    let probe = probe(enters, What::Icmp);
    let port = match probe.enters {
        Enters::Tunnel { .. } => 1,
        _ => 16,
    };
    traced(&view(), &probe, port, &parse(text), &[]).ends
}

#[test]
fn a_packet_for_another_host_ends_in_its_tunnel() {
    let to = IpAddr::from([10, 0, 0, 2]);
    let expected = [End::Tunnel {
        to,
        redirected: false,
        gpe: false,
    }];
    assert_eq!(
        ends(include_str!("recorded/tunnel.txt"), member()),
        expected
    );
}

#[test]
fn a_tunnel_without_a_neighbour_swallows_its_packet() {
    let ends = ends(include_str!("recorded/swallowed.txt"), member());
    assert!(
        matches!(&ends[..], [End::Dropped { because }] if because.contains("(10.0.0.9)")),
        "{ends:?}"
    );
}

#[test]
fn a_question_is_answered_by_the_switch() {
    assert_eq!(
        ends(include_str!("recorded/arp.txt"), member()),
        [End::Answered]
    );
}

#[test]
fn a_redirect_sends_on_to_the_new_place() {
    let from = IpAddr::from([10, 0, 0, 3]);
    let to = IpAddr::from([10, 0, 0, 2]);
    let ends = ends(
        include_str!("recorded/redirect.txt"),
        Enters::Tunnel { from },
    );
    assert!(
        matches!(&ends[..], [End::Tunnel { to: it, .. }] if *it == to),
        "{ends:?}"
    );
}

#[test]
fn copies_go_to_every_host_whose_neighbour_is_known() {
    let to = IpAddr::from([10, 0, 0, 2]);
    let expected = [End::Tunnel {
        to,
        redirected: false,
        gpe: false,
    }];
    assert_eq!(
        ends(include_str!("recorded/copies.txt"), member()),
        expected
    );
}

#[test]
fn what_security_rules_let_through_ends_at_the_port() {
    let ends = ends(include_str!("recorded/secured.txt"), member());
    assert!(
        matches!(&ends[..], [End::Member { vm, .. }] if vm.as_str() == "web2"),
        "{ends:?}"
    );
}

#[test]
fn what_no_rule_matches_is_dropped_and_the_table_is_named() {
    let ends = ends(include_str!("recorded/nobody.txt"), member());
    let expected = [End::Dropped {
        because: "no rule of table 5 matches".to_owned(),
    }];
    assert_eq!(ends, expected);
}

#[test]
fn a_packet_is_said_in_the_switchs_words() {
    let (port, text) = flow::flow(
        &view(),
        &[[10, 0, 0, 1].into()],
        &probe(
            Enters::Tunnel {
                from: [10, 0, 0, 2].into(),
            },
            What::Tcp {
                from_port: 4,
                to_port: 80,
            },
        ),
    )
    .unwrap();
    assert_eq!(port, 1);
    assert_eq!(
        text,
        "in_port=1,tun_id=7001,tun_src=10.0.0.2,tun_dst=10.0.0.1,tcp,dl_src=02:00:00:00:00:01,\
         dl_dst=02:00:00:00:00:03,nw_src=10.77.0.1,nw_dst=10.77.0.3,nw_ttl=64,tcp_src=4,tcp_dst=80,\
         tcp_flags=syn"
    );
    let nobody = probe(
        Enters::Member {
            vm: "db".parse().unwrap(),
        },
        What::Icmp,
    );
    assert_eq!(
        flow::flow(&view(), &[], &nobody),
        Err(NoWayIn::NoPort("db".parse().unwrap()))
    );
}
