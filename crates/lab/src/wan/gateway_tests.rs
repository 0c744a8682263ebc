use std::net::IpAddr;

use super::*;
use crate::wan::frames::tests::{HOST, packet};

const SECOND: Nanos = 1_000_000_000;

/// Ports of the default plan: eth0, eth1, mgmt0 of north, south, office.
const NORTH_ETH0: usize = 0;
const NORTH_MGMT: usize = 2;
const SOUTH_ETH0: usize = 3;
const SOUTH_ETH1: usize = 4;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct Bench {
    plan: Plan,
    gateway: Gateway,
    out: Vec<Outgoing>,
}

impl Bench {
    fn new() -> Self {
        let plan = Plan::default();
        Self {
            gateway: Gateway::new(&plan),
            plan,
            out: Vec::new(),
        }
    }

    fn gateway_mac(&self, port: usize) -> Mac {
        let site = &self.plan.sites[port / 3];
        site.attachment(site.uplinks[port % 3].network).gateway_mac
    }

    /// A host on an uplink sends an IP packet to its gateway.
    fn send(&mut self, port: usize, source: &str, target: &str) -> Received {
        let frame = packet(self.gateway_mac(port), ip(source), ip(target), 64);
        self.gateway.receive(0, port, frame, &mut self.out)
    }

    /// The same, and the WAN carries it in no time.
    fn carry(&mut self, port: usize, source: &str, target: &str) {
        if let Received::Route { to, packet, .. } = self.send(port, source, target) {
            self.gateway.deliver(0, to, packet, &mut self.out);
        }
    }

    fn ports(&mut self) -> Vec<usize> {
        self.out.drain(..).map(|o| o.port).collect()
    }
}

#[test]
fn a_gateway_answers_for_its_own_address_and_for_no_other() {
    let mut bench = Bench::new();
    let asker = "10.10.1.2".parse().unwrap();
    for (target, answers) in [("10.10.1.1", 1), ("10.10.1.3", 0), ("10.20.1.1", 0)] {
        let frame = frames::arp_request(HOST, asker, target.parse().unwrap());
        bench.gateway.receive(0, NORTH_ETH0, frame, &mut bench.out);
        assert_eq!(bench.ports(), vec![NORTH_ETH0; answers], "{target}");
    }
    let frame = frames::solicitation(
        HOST,
        "fd10:1::2".parse().unwrap(),
        "fd10:1::1".parse().unwrap(),
    );
    bench.gateway.receive(0, NORTH_ETH0, frame, &mut bench.out);
    let answer = bench.out.pop().unwrap();
    let mac = bench.gateway_mac(NORTH_ETH0);
    assert_eq!(frames::source(&answer.frame), Some(mac));
}

#[test]
fn a_packet_for_another_site_loses_a_hop_and_finds_its_network() {
    let mut bench = Bench::new();
    for (source, target, site, network) in [
        ("10.10.1.2", "10.10.2.2", 1, Network::Data),
        ("fd10:1::2", "fd20:3::2", 2, Network::Mgmt),
    ] {
        let Received::Route { from, to, packet } = bench.send(NORTH_ETH0, source, target) else {
            panic!("{target} was not routed");
        };
        assert_eq!((from, to, packet.network), (0, site, network));
        assert!(matches!(
            frames::see(&packet.frame),
            Seen::Ip { hops: 63, .. }
        ));
    }
    assert_eq!(
        bench.send(NORTH_ETH0, "10.10.1.2", "192.0.2.1"),
        Received::Handled
    );
    assert_eq!(bench.gateway.drops(0).no_route, 1);
}

#[test]
fn frames_for_others_expired_and_broken_ones_are_dropped_by_cause() {
    let mut bench = Bench::new();
    let (source, target) = (ip("10.10.1.2"), ip("10.10.2.2"));
    let expired = packet(bench.gateway_mac(NORTH_ETH0), source, target, 1);
    let mut broken = expired.clone();
    broken[20] ^= 1;
    let mut all = vec![
        expired,
        broken,
        packet(HOST, source, target, 64),
        vec![1, 2, 3],
    ];
    for frame in all.drain(..) {
        let got = bench.gateway.receive(0, NORTH_ETH0, frame, &mut bench.out);
        assert_eq!(got, Received::Handled);
    }
    let drops = bench.gateway.drops(0);
    assert_eq!(
        (drops.expired, drops.malformed, drops.not_for_us),
        (1, 2, 1)
    );
}

#[test]
fn a_packet_for_an_unknown_host_waits_while_it_is_asked_for_on_every_link() {
    let mut bench = Bench::new();
    bench.carry(NORTH_ETH0, "10.10.1.2", "10.10.2.2");
    assert_eq!(bench.ports(), [SOUTH_ETH0, SOUTH_ETH1]);
    let gateway = "10.10.2.1".parse().unwrap();
    let reply = frames::arp_reply(HOST, "10.10.2.2".parse().unwrap(), Mac([2; 6]), gateway);
    let mut to_gateway = reply.clone();
    let mac = bench.gateway_mac(SOUTH_ETH1);
    frames::set_macs(&mut to_gateway, mac, HOST);
    bench
        .gateway
        .receive(0, SOUTH_ETH1, to_gateway, &mut bench.out);
    let frame = bench.out.pop().unwrap();
    assert_eq!(frame.port, SOUTH_ETH1);
    assert_eq!(frames::destination(&frame.frame), Some(HOST));
}

#[test]
fn a_host_that_never_answers_is_asked_a_few_times_and_given_up() {
    let mut bench = Bench::new();
    bench.carry(NORTH_MGMT, "fd20:1::2", "fd20:2::2");
    let mut asked = bench.ports().len();
    let mut now = 0;
    while let Some(at) = bench.gateway.next() {
        assert!(at > now && at < 10 * SECOND);
        now = at;
        bench.gateway.advance(now, &mut bench.out);
        asked += bench.ports().len();
    }
    assert_eq!(asked, 5);
    assert_eq!(bench.gateway.drops(1).no_neighbour, 1);
}

#[test]
fn data_goes_to_the_link_that_was_used_last_and_fails_over_at_once() {
    let mut bench = Bench::new();
    for port in [SOUTH_ETH0, SOUTH_ETH1] {
        bench.send(port, "10.10.2.2", "10.10.1.2");
        bench.carry(NORTH_ETH0, "10.10.1.2", "10.10.2.2");
        assert_eq!(bench.ports(), [port]);
    }
    bench.gateway.carrier(SOUTH_ETH1, false);
    bench.carry(NORTH_ETH0, "10.10.1.2", "10.10.2.2");
    assert_eq!(bench.ports(), [SOUTH_ETH0]);
    // The bond stays on the link it went to, so we do too.
    bench.gateway.carrier(SOUTH_ETH1, true);
    bench.carry(NORTH_ETH0, "10.10.1.2", "10.10.2.2");
    assert_eq!(bench.ports(), [SOUTH_ETH0]);
    bench.gateway.carrier(SOUTH_ETH0, false);
    bench.gateway.carrier(SOUTH_ETH1, false);
    bench.carry(NORTH_ETH0, "10.10.1.2", "10.10.2.2");
    assert!(bench.ports().is_empty());
    assert_eq!(bench.gateway.drops(1).no_link, 1);
}

#[test]
fn an_address_of_another_network_is_not_learned_from_a_link() {
    let mut bench = Bench::new();
    bench.send(NORTH_ETH0, "10.10.2.2", "10.10.3.2");
    bench.send(NORTH_ETH0, "10.10.1.1", "10.10.3.2");
    bench.carry(NORTH_MGMT, "10.20.1.2", "10.10.2.2");
    // Still unknown, so it is asked for.
    assert_eq!(bench.ports(), [SOUTH_ETH0, SOUTH_ETH1]);
}

#[test]
fn an_echo_request_to_the_gateway_is_answered_on_the_link_it_came_from() {
    let mut bench = Bench::new();
    let mac = bench.gateway_mac(NORTH_MGMT);
    let mut frame = packet(mac, ip("10.20.1.2"), ip("10.20.1.1"), 64);
    let body = frames::ETHERNET;
    frame[body + 9] = 1;
    // The sum grows smaller by what the protocol field does.
    let sum = u16::from_be_bytes([frame[body + 10], frame[body + 11]]) + 16;
    frame[body + 10..body + 12].copy_from_slice(&sum.to_be_bytes());
    frame[body + 20..].copy_from_slice(&[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    bench.gateway.receive(0, NORTH_MGMT, frame, &mut bench.out);
    let reply = bench.out.pop().unwrap();
    assert_eq!(reply.port, NORTH_MGMT);
    assert_eq!(reply.frame[body + 20], 0);
    assert_eq!(frames::destination(&reply.frame), Some(HOST));
    let wanted = Seen::Ip {
        source: ip("10.20.1.1"),
        target: ip("10.20.1.2"),
        hops: 64,
        echo: false,
    };
    assert_eq!(frames::see(&reply.frame), wanted);
}
