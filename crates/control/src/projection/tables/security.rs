//! Tables 25, 45 and 46: security rules, for members that have some.
//!
//! A member without rules never comes here: its packets go from table 20 to 30 and from 30 or 40 to its
//! port, as if these tables did not exist. One with rules has connections of its own in the
//! switch's table (a zone, numbered as its port): what it sends is looked up on the way from 20 to
//! 25, what is for it on the way from 45 to 46. A connection that a rule allows is put into the
//! table by its first packet; from then on both directions pass.
//!
//! TCP connections begin with the segment that opens one. The switch would also take up a connection in the
//! middle, and then a rule that was taken away would come back by the other side's next segment.
//! Connections that came here with their member are the exception: see [`crate::carry`].

use super::Endpoint;
use crate::projection::cookie::Kind;
use crate::projection::packet::*;
use crate::projection::rule::{Action, Field, Rule, track};
use crate::projection::view::{Arrivals, HostView};
use crate::projection::{ANSWER, ENTERED, ENTERING, LEAVING, ORIGIN};
use model::security::{Direction, Ports, Protocol, Remote};
use model::{Net, SecurityRule};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Below everything that table answers or ends.
const DIVERT: u16 = 10;
const LOOKUP: u16 = 100;
/// Connections that came with their member.
pub(crate) const CARRIED: u16 = 300;
const KNOWN: u16 = 200;
const OPENING: u16 = 110;
/// TCP that neither opens a connection nor belongs to one.
const STRAY: u16 = 105;
const ALLOWED: u16 = 100;

/// The zone of a member's connections.
pub(crate) fn zone(port: u32) -> u16 {
    // Ports end at 0xff00, OpenFlow 1.3.5 section 7.2.1.
    port as u16
}

/// Where what is for a member is handed over: to its port here, or to these tables before it.
pub(super) fn deliver(at: Endpoint<'_>, port: u32) -> (Vec<Action>, Option<u8>) {
    match at.secured() {
        Some(own) => (vec![Action::SetFor(own)], Some(ENTERING)),
        None => (vec![Action::Output(port)], None),
    }
}

/// The same as one of several copies.
pub(super) fn copy_to(view: &HostView, key: &super::Key, port: u32) -> Vec<Action> {
    match Endpoint::of(view, key).and_then(|at| at.secured()) {
        Some(own) => vec![Action::SetFor(own), Action::Through(ENTERING)],
        None => vec![Action::Output(port)],
    }
}

/// The rules of one endpoint that depend on nobody else.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Vec<Rule> {
    let Some(port) = at.secured() else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    let label = at.label(Kind::Security);
    for eth in [ETH_IPV4, ETH_IPV6] {
        let look = |table| Action::Track {
            zone: zone(port),
            table,
        };
        let own = [
            Field::InPort(port),
            Field::Vni(at.net.vni),
            Field::EthType(eth),
        ];
        rules.push(Rule::new(
            label,
            (ANSWER, DIVERT),
            own,
            [look(LEAVING)],
            None,
        ));
        let own = [
            Field::For(port),
            Field::Vni(at.net.vni),
            Field::EthType(eth),
        ];
        rules.push(Rule::new(
            label,
            (ENTERING, LOOKUP),
            own,
            [look(ENTERED)],
            None,
        ));
    }
    for direction in [Direction::Egress, Direction::Ingress] {
        for bit in [track::ESTABLISHED, track::RELATED] {
            let state = Field::Tracked {
                set: track::TRACKED | bit,
                of: track::TRACKED | bit | track::INVALID,
            };
            rules.push(pass(at, port, direction, KNOWN, vec![state], false));
        }
        for eth in [ETH_IPV4, ETH_IPV6] {
            let (table, side, ..) = way(at, port, direction);
            let stray = [
                side,
                Field::Vni(at.net.vni),
                Field::EthType(eth),
                Field::IpProto(TCP),
            ];
            rules.push(Rule::new(label, (table, STRAY), stray, [], None));
        }
    }
    let independent = |rule: &&SecurityRule| !of_members(rule);
    for rule in at.entry.security.iter().filter(independent) {
        rules.extend(allow(at, port, rule));
    }
    rules
}

/// The rules of members that are here which speak of other members: they change with the network.
pub(in crate::projection) fn net(view: &HostView, net: &Net) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (key, entry) in view.members(&net.cluster) {
        if entry.security.iter().any(of_members)
            && let Some(at) = Endpoint::of(view, key)
            && let Some(port) = at.secured()
        {
            for rule in entry.security.iter().filter(|rule| of_members(rule)) {
                rules.extend(allow(at, port, rule));
            }
        }
    }
    rules
}

fn of_members(rule: &SecurityRule) -> bool {
    matches!(rule.remote, Remote::Members | Remote::Member(_))
}

/// Table, whose packets, what is done with what passes, and where that goes on.
fn way(
    at: Endpoint<'_>,
    port: u32,
    direction: Direction,
) -> (u8, Field, Option<Action>, Option<u8>) {
    match direction {
        Direction::Egress => (LEAVING, Field::InPort(port), None, Some(ORIGIN)),
        Direction::Ingress => {
            let out = match at.view.arrivals.get(at.key) {
                Some(Arrivals::Gate { ofport }) => *ofport,
                _ => port,
            };
            (ENTERED, Field::For(port), Some(Action::Output(out)), None)
        }
    }
}

fn pass(
    at: Endpoint<'_>,
    port: u32,
    direction: Direction,
    priority: u16,
    fields: Vec<Field>,
    opens: bool,
) -> Rule {
    let (table, side, out, goto) = way(at, port, direction);
    let commit = opens.then_some(Action::Commit {
        zone: zone(port),
        by_member: direction == Direction::Egress,
    });
    Rule::new(
        at.label(Kind::Security),
        (table, priority),
        [side, Field::Vni(at.net.vni)].into_iter().chain(fields),
        commit.into_iter().chain(out),
        goto,
    )
}

/// What one security rule lets begin.
fn allow(at: Endpoint<'_>, port: u32, rule: &SecurityRule) -> Vec<Rule> {
    let state = Field::Tracked {
        set: track::TRACKED | track::NEW,
        of: track::TRACKED | track::NEW | track::INVALID,
    };
    let mut rules = Vec::new();
    for (eth, side) in remotes(at, rule) {
        let base = [state, Field::EthType(eth)].into_iter().chain(side);
        let base: Vec<Field> = base.collect();
        let mut add = |priority, more: &[Field]| {
            let fields = base.iter().chain(more).copied().collect();
            rules.push(pass(at, port, rule.direction, priority, fields, true));
        };
        let icmp = if eth == ETH_IPV4 { ICMP } else { ICMPV6 };
        match rule.protocol {
            Protocol::Any => {
                add(OPENING, &[Field::IpProto(TCP), Field::TcpOpening]);
                add(ALLOWED, &[]);
            }
            Protocol::Icmp => add(ALLOWED, &[Field::IpProto(icmp)]),
            Protocol::Tcp => {
                for part in parts(rule.ports) {
                    let ports = part.map(|(port, mask)| Field::TcpDestinationIn(port, mask));
                    let opening = [Field::IpProto(TCP), Field::TcpOpening];
                    let fields: Vec<Field> = opening.into_iter().chain(ports).collect();
                    add(OPENING, &fields);
                }
            }
            Protocol::Udp => {
                for part in parts(rule.ports) {
                    let ports = part.map(|(port, mask)| Field::UdpDestinationIn(port, mask));
                    let fields: Vec<Field> =
                        [Field::IpProto(UDP)].into_iter().chain(ports).collect();
                    add(ALLOWED, &fields);
                }
            }
        }
    }
    rules
}

/// The other sides that a rule speaks of: EtherType, and the address if not all are meant.
fn remotes(at: Endpoint<'_>, rule: &SecurityRule) -> BTreeSet<(u16, Option<Field>)> {
    let side = |address: IpAddr, length: u8| match (address, length) {
        (IpAddr::V4(_), 0) => (ETH_IPV4, None),
        (IpAddr::V6(_), 0) => (ETH_IPV6, None),
        (IpAddr::V4(ip), length) => (
            ETH_IPV4,
            Some(match rule.direction {
                Direction::Ingress => Field::Ipv4SourceIn(ip, length),
                Direction::Egress => Field::Ipv4DestinationIn(ip, length),
            }),
        ),
        (IpAddr::V6(ip), length) => (
            ETH_IPV6,
            Some(match rule.direction {
                Direction::Ingress => Field::Ipv6SourceIn(ip, length),
                Direction::Egress => Field::Ipv6DestinationIn(ip, length),
            }),
        ),
    };
    match &rule.remote {
        Remote::Any => [(ETH_IPV4, None), (ETH_IPV6, None)].into(),
        Remote::Cidr(network) => {
            let (address, length) = network.parts();
            [side(address, length)].into()
        }
        Remote::Members | Remote::Member(_) => {
            let meant = |name| match &rule.remote {
                Remote::Member(one) => one == name,
                _ => true,
            };
            let members = at.view.members(&at.key.0);
            members
                .filter(|((_, name), _)| meant(name))
                .flat_map(|(_, entry)| entry.addresses())
                .map(|ip| side(ip, if ip.is_ipv4() { 32 } else { 128 }))
                .collect()
        }
    }
}

/// Ports as blocks that a mask can say; one block of all where none are named.
fn parts(ports: Option<Ports>) -> Vec<Option<(u16, u16)>> {
    let Some(ports) = ports else {
        return vec![None];
    };
    let (first, last) = ports.bounds();
    let (mut from, last) = (u32::from(first), u32::from(last));
    let mut parts = Vec::new();
    while from <= last {
        // The largest block that begins here and ends in time.
        let mut size = 1 << from.trailing_zeros().min(16);
        while from + size - 1 > last {
            size /= 2;
        }
        parts.push(Some((from as u16, !(size - 1) as u16)));
        from += size;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_of_ports_are_the_ports_and_no_others(a in 1..=u16::MAX, b in 1..=u16::MAX, near in 0..100u16) {
            let ports = Ports::new(a.min(b), a.max(b)).unwrap();
            let (first, last) = ports.bounds();
            let blocks = parts(Some(ports));
            prop_assert!(blocks.len() <= 30);
            for port in [a, b, first.saturating_sub(near), first.saturating_add(near), last.saturating_add(near), last - near.min(last)] {
                let among = blocks.iter().flatten().filter(|(value, mask)| port & mask == *value).count();
                prop_assert_eq!(among, usize::from(ports.contains(port)), "{}", port);
            }
        }
    }
}
