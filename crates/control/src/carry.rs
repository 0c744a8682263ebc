//! Connections that come to a host with their member.
//!
//! A member's security rules are in its row of the directory and go where it goes. What its switch
//! knew of connections under way does not: the new one would take their next packets for strays. So
//! the old host tells them, and the new one gets two rules for each, one a direction, that put the
//! connection into its table with the first packet it sees of it. They are not part of the
//! projection: they belong to a moment, end by themselves when the connection stays silent as long
//! as the old table would have waited, and have cookies of their own, so that nobody takes them for
//! rules left over.
//!
//! [`permits`] says whether a connection is one that the member's rules allow: after a change of
//! them, those that are not are cut.

use crate::projection::{CARRIED, ENTERED, HostView, Key, LEAVING, ORIGIN, commit, zone};
use model::security::{Direction, Remote};
use model::{Connection, Flow, SecurityRule};
use openflow::{Action, FlowMod, Match};
use std::net::IpAddr;

/// "tc" in the highest bits: never taken for one of the projection's.
const TAG: u64 = 0x7463 << 48;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Cookie and mask of all rules for connections that came with the member behind this port.
pub fn selector(port: u32) -> (u64, u64) {
    (TAG | u64::from(port), u64::MAX)
}

/// The port that such a rule is for; none for any other cookie.
pub fn port_of(cookie: u64) -> Option<u32> {
    (cookie & (0xffff << 48) == TAG).then_some(cookie as u32)
}

/// The messages that make a connection go on at the port of its member; none for one that is over.
pub fn carry(view: &HostView, key: &Key, connection: &Connection) -> Vec<FlowMod> {
    let Some((vni, port)) = place(view, key) else {
        return Vec::new();
    };
    if connection.expires_s == 0 {
        return Vec::new();
    }
    let flow = &connection.flow;
    let silence = connection.expires_s.min(u32::from(u16::MAX)) as u16;
    both(vni, port, flow)
        .into_iter()
        .map(|(table, matching)| {
            let rule = FlowMod::add()
                .table(table)
                .priority(CARRIED)
                .cookie(selector(port).0)
                .idle_timeout(silence)
                .matching(matching);
            let commit = commit(zone(port), flow.by_member);
            match table {
                LEAVING => rule.apply([commit]).goto(ORIGIN),
                _ => rule.apply([commit, Action::output(port)]),
            }
        })
        .collect()
}

/// The messages that take those rules away again.
pub fn drop_carried(view: &HostView, key: &Key, flow: &Flow) -> Vec<FlowMod> {
    let Some((vni, port)) = place(view, key) else {
        return Vec::new();
    };
    let (cookie, mask) = selector(port);
    let rules = both(vni, port, flow).into_iter();
    rules
        .map(|(table, matching)| {
            FlowMod::delete_strict()
                .table(table)
                .priority(CARRIED)
                .only_cookie(cookie, mask)
                .matching(matching)
        })
        .collect()
}

/// The message that takes away every such rule of a port.
pub fn drop_all(port: u32) -> FlowMod {
    let (cookie, mask) = selector(port);
    FlowMod::delete().only_cookie(cookie, mask)
}

fn place(view: &HostView, key: &Key) -> Option<(u32, u32)> {
    let port = *view.ports.get(key)?;
    Some((view.nets.get(&key.0)?.vni, port))
}

/// What the member sends, and what is sent to it.
fn both(vni: u32, port: u32, flow: &Flow) -> Vec<(u8, Match)> {
    let base = Match::new().reg(0, vni);
    let (here, there) = (
        (flow.member, flow.member_port),
        (flow.remote, flow.remote_port),
    );
    let leaving = addressed(
        base.clone().in_port(port),
        flow,
        here,
        there,
        flow.by_member,
    );
    let entering = addressed(base.reg(1, port), flow, there, here, !flow.by_member);
    let known = |rule: (u8, Option<Match>)| Some((rule.0, rule.1?));
    [(LEAVING, leaving), (ENTERED, entering)]
        .into_iter()
        .filter_map(known)
        .collect()
}

/// One direction; none where the addresses are of two families.
fn addressed(
    base: Match,
    flow: &Flow,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    of_opener: bool,
) -> Option<Match> {
    let matching = match (from.0, to.0) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => base
            .eth_type(0x0800u16)
            .ip_proto(flow.protocol)
            .ipv4_src(src)
            .ipv4_dst(dst),
        (IpAddr::V6(src), IpAddr::V6(dst)) => base
            .eth_type(0x86ddu16)
            .ip_proto(flow.protocol)
            .ipv6_src(src)
            .ipv6_dst(dst),
        _ => return None,
    };
    Some(match flow.protocol {
        TCP => matching.tcp_src(from.1).tcp_dst(to.1),
        UDP => matching.udp_src(from.1).udp_dst(to.1),
        // Echo and its reply, RFC 792 and RFC 4443: the only ones that a table keeps.
        ICMP => matching.icmpv4_type(if of_opener { 8u8 } else { 0 }),
        ICMPV6 => matching.icmpv6_type(if of_opener { 128u8 } else { 129 }),
        _ => matching,
    })
}

/// Whether a member's security rules allow a connection.
pub fn permits(view: &HostView, key: &Key, flow: &Flow) -> bool {
    let Some(entry) = view.entries.get(key) else {
        return false;
    };
    entry.security.is_empty()
        || entry
            .security
            .iter()
            .any(|rule| allows(view, key, rule, flow))
}

fn allows(view: &HostView, key: &Key, rule: &SecurityRule, flow: &Flow) -> bool {
    let mut members = view.members(&key.0);
    rule.protocol.is(flow.protocol)
        && (rule.direction == Direction::Egress) == flow.by_member
        && rule
            .ports
            .is_none_or(|ports| ports.contains(flow.opened_to()))
        && match &rule.remote {
            Remote::Any => true,
            Remote::Cidr(network) => network.contains(flow.remote),
            Remote::Members => members.any(|(_, entry)| entry.addresses().contains(&flow.remote)),
            Remote::Member(name) => members
                .any(|((_, vm), entry)| vm == name && entry.addresses().contains(&flow.remote)),
        }
}
