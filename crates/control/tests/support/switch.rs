//! What a switch makes of a packet, by its rules alone.
//!
//! Stricter than a switch where a switch would choose for itself: two rules of one priority that
//! both match, fields that the packet does not have, a tunnel with two destinations.

use super::packet::{Packet, Payload, Segment};
use control::projection::{Action, Field, Rule, RuleSet, track};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What comes out of a switch: the port, and the packet as it is then.
pub type Out = (u32, Packet);

/// The connections that a switch knows, by zone: as they were opened.
pub type Table = BTreeSet<(u16, u8, (IpAddr, u16), (IpAddr, u16))>;

/// Runs a packet through the tables from table 0 on, in a switch that knows no connection.
pub fn run(rules: &RuleSet, packet: Packet) -> Vec<Out> {
    run_with(rules, &RefCell::default(), packet)
}

/// The same in a switch that knows some.
pub fn run_with(rules: &RuleSet, known: &RefCell<Table>, mut packet: Packet) -> Vec<Out> {
    let mut out = Vec::new();
    pass(rules, known, 0, &mut packet, &mut out);
    out
}

fn pass(
    rules: &RuleSet,
    known: &RefCell<Table>,
    mut table: u8,
    packet: &mut Packet,
    out: &mut Vec<Out>,
) {
    loop {
        let Some(rule) = lookup(rules, table, packet) else {
            return;
        };
        for action in &rule.actions {
            match *action {
                Action::Through(next) => {
                    assert!(next > table, "tables are only left forwards: {rule:?}");
                    pass(rules, known, next, packet, out);
                }
                Action::Track { zone, table: next } => {
                    assert!(next > table, "tables are only left forwards: {rule:?}");
                    // A copy goes on there; what is here is not looked up.
                    let mut copy = *packet;
                    copy.state = state(&known.borrow(), zone, packet);
                    pass(rules, known, next, &mut copy, out);
                }
                Action::Commit { zone, .. } => {
                    assert_ne!(packet.state & track::TRACKED, 0, "not looked up: {rule:?}");
                    let Payload::Segment(segment) = packet.payload else {
                        panic!("{action:?} on {packet:?}");
                    };
                    if packet.state & track::ESTABLISHED == 0 {
                        let Segment {
                            protocol, src, dst, ..
                        } = segment;
                        known.borrow_mut().insert((zone, protocol, src, dst));
                    }
                }
                _ => act(action, packet, out),
            }
        }
        match rule.goto {
            Some(next) => {
                assert!(next > table, "tables are only left forwards: {rule:?}");
                table = next;
            }
            None => return,
        }
    }
}

fn state(known: &Table, zone: u16, packet: &Packet) -> u32 {
    let Payload::Segment(Segment {
        protocol, src, dst, ..
    }) = packet.payload
    else {
        return track::TRACKED | track::NEW;
    };
    let there =
        known.contains(&(zone, protocol, src, dst)) || known.contains(&(zone, protocol, dst, src));
    track::TRACKED
        | if there {
            track::ESTABLISHED
        } else {
            track::NEW
        }
}

fn within(net: IpAddr, length: u8, ip: IpAddr) -> bool {
    let network: model::security::Network = format!("{net}/{length}").parse().expect("a network");
    network.contains(ip)
}

fn lookup<'a>(rules: &'a RuleSet, table: u8, packet: &Packet) -> Option<&'a Rule> {
    let matches = |rule: &&Rule| {
        rule.table == table && rule.matching.iter().all(|field| holds(field, packet))
    };
    let found: Vec<&Rule> = rules.iter().filter(matches).collect();
    let best = found.iter().map(|rule| rule.priority).max()?;
    let mut first = found.into_iter().filter(|rule| rule.priority == best);
    let rule = first.next()?;
    let second = first.find(|other| (&other.actions, other.goto) != (&rule.actions, rule.goto));
    assert!(
        second.is_none(),
        "two rules claim {packet:?}: {rule:?} and {second:?}"
    );
    Some(rule)
}

fn holds(field: &Field, packet: &Packet) -> bool {
    use Payload::{Arp, Ipv4, Ipv6, Other};
    match (*field, packet.payload) {
        (Field::InPort(port), _) => packet.in_port == port,
        (Field::Vni(vni), _) => packet.reg0 == vni,
        (Field::TunnelId(id), _) => packet.tunnel.id == id,
        (Field::TunnelSource(ip), _) => packet.tunnel.src == Some(ip),
        (Field::Untagged, _) => !packet.tagged,
        (Field::EthSource(mac), _) => packet.eth_src == mac,
        (Field::EthDestination(mac), _) => packet.eth_dst == mac,
        (Field::EthGroup, _) => packet.eth_dst.is_group(),
        (Field::EthType(number), Other(there)) => number == there,
        (Field::EthType(number), Arp { .. }) => number == 0x0806,
        (Field::EthType(number), Ipv4 { .. }) => number == 0x0800,
        (Field::EthType(number), Ipv6 { .. }) => number == 0x86dd,
        (Field::IpProto(number), Ipv4 { udp, .. }) => udp.is_some() && number == 17,
        (Field::IpProto(number), Ipv6 { nd, .. }) => nd.is_some() && number == 58,
        (Field::Ipv4Source(ip), Ipv4 { src, .. }) => src == ip,
        (Field::Ipv4Destination(ip), Ipv4 { dst, .. }) => dst == ip,
        (Field::Ipv6Source(ip), Ipv6 { src, .. }) => src == ip,
        (Field::Ipv6DestinationIn(ip, length), Ipv6 { dst, .. }) => {
            within(ip.into(), length, dst.into())
        }
        (Field::UdpSource(port), Ipv4 { udp, .. }) => udp.is_some_and(|(src, _)| src == port),
        (Field::UdpDestination(port), Ipv4 { udp, .. }) => udp.is_some_and(|(_, dst)| dst == port),
        (Field::Icmp6Type(number), Ipv6 { nd, .. }) => nd.is_some_and(|nd| nd.kind == number),
        (Field::Icmp6Code(number), Ipv6 { nd, .. }) => nd.is_some() && number == 0,
        (Field::NdTarget(ip), Ipv6 { nd, .. }) => nd.is_some_and(|nd| nd.target == ip),
        (Field::For(port), _) => packet.reg1 == port,
        (Field::Tracked { set, of }, _) => packet.state & of == set,
        (Field::EthType(number), Payload::Segment(it)) => {
            number == if it.src.0.is_ipv4() { 0x0800 } else { 0x86dd }
        }
        (Field::IpProto(number), Payload::Segment(it)) => it.protocol == number,
        (Field::Ipv4Source(ip), Payload::Segment(it)) => it.src.0 == ip,
        (Field::Ipv4Destination(ip), Payload::Segment(it)) => it.dst.0 == ip,
        (Field::Ipv6Source(ip), Payload::Segment(it)) => it.src.0 == ip,
        (Field::Ipv4SourceIn(ip, length), Payload::Segment(it)) => {
            within(ip.into(), length, it.src.0)
        }
        (Field::Ipv4DestinationIn(ip, length), Payload::Segment(it)) => {
            within(ip.into(), length, it.dst.0)
        }
        (Field::Ipv6SourceIn(ip, length), Payload::Segment(it)) => {
            within(ip.into(), length, it.src.0)
        }
        (Field::Ipv6DestinationIn(ip, length), Payload::Segment(it)) => {
            within(ip.into(), length, it.dst.0)
        }
        (Field::TcpOpening, Payload::Segment(it)) => it.protocol == 6 && it.opening,
        (Field::TcpDestinationIn(port, mask), Payload::Segment(it)) => {
            it.protocol == 6 && it.dst.1 & mask == port
        }
        (Field::UdpDestinationIn(port, mask), Payload::Segment(it)) => {
            it.protocol == 17 && it.dst.1 & mask == port
        }
        (Field::UdpSource(port), Payload::Segment(it)) => it.protocol == 17 && it.src.1 == port,
        (Field::UdpDestination(port), Payload::Segment(it)) => {
            it.protocol == 17 && it.dst.1 == port
        }
        (Field::ArpOp(number), Arp { op, .. }) => op == number,
        (Field::ArpSenderMac(mac), Arp { sha, .. }) => sha == mac,
        (Field::ArpSenderIp(ip), Arp { spa, .. }) => spa == ip,
        (Field::ArpTargetIp(ip), Arp { tpa, .. }) => tpa == ip,
        // Fields are sorted, so the EtherType was looked at first and did not hold.
        _ => false,
    }
}

fn act(action: &Action, packet: &mut Packet, out: &mut Vec<Out>) {
    use Payload::{Arp, Ipv6};
    let tunnel = &mut packet.tunnel;
    match (*action, &mut packet.payload) {
        (Action::SetVni(vni), _) => packet.reg0 = vni,
        (Action::SetFor(port), _) => packet.reg1 = port,
        (Action::SetTunnelId(id), _) => tunnel.id = id,
        (Action::ClearTunnelDestination, _) => (tunnel.dst4, tunnel.dst6) = (None, None),
        (Action::SetTunnelDestination(IpAddr::V4(ip)), _) => tunnel.dst4 = Some(ip),
        (Action::SetTunnelDestination(IpAddr::V6(ip)), _) => tunnel.dst6 = Some(ip),
        (Action::SetEthSource(mac), _) => packet.eth_src = mac,
        (Action::SetEthDestination(mac), _) => packet.eth_dst = mac,
        (Action::EthSourceToDestination, _) => packet.eth_dst = packet.eth_src,
        (Action::SetArpOp(number), Arp { op, .. }) => *op = number,
        (Action::SetArpSenderMac(mac), Arp { sha, .. }) => *sha = mac,
        (Action::SetArpSenderIp(ip), Arp { spa, .. }) => *spa = ip,
        (Action::ArpSenderMacToTarget, Arp { sha, tha, .. }) => *tha = *sha,
        (Action::ArpSenderIpToTarget, Arp { spa, tpa, .. }) => *tpa = *spa,
        (Action::SetIpv6Source(ip), Ipv6 { src, .. }) => *src = ip,
        (Action::SetIpv6Destination(ip), Ipv6 { dst, .. }) => *dst = ip,
        (Action::Ipv6SourceToDestination, Ipv6 { src, dst, .. }) => *dst = *src,
        (Action::SetTtl(value), Ipv6 { ttl, .. }) => *ttl = value,
        (Action::SetIcmp6Type(kind), Ipv6 { nd: Some(nd), .. }) => nd.kind = kind,
        (Action::SetNdFlags(flags), Ipv6 { nd: Some(nd), .. }) => nd.flags = flags,
        (Action::SetNdOption(kind), Ipv6 { nd: Some(nd), .. }) => {
            nd.option = nd.option.map(|(_, mac)| (kind, mac));
        }
        (Action::SetNdTargetMac(mac), Ipv6 { nd: Some(nd), .. }) => {
            assert_eq!(nd.kind, 136, "only an advertisement has a target address");
            nd.option = nd
                .option
                .map(|(kind, there)| (kind, if kind == 2 { mac } else { there }));
        }
        // OpenFlow 1.3.5, 5.11: plain output never goes back where the packet came from.
        (Action::Output(port), _) if port == packet.in_port => {}
        (Action::Output(port), _) => out.push((port, *packet)),
        (Action::OutputBack, _) => out.push((packet.in_port, *packet)),
        (action, payload) => panic!("{action:?} on {payload:?}"),
    }
}
