//! Tables 5 and 6: packets out of VXLAN-GPE, from endpoints on no host of ours.
//!
//! They carry no Ethernet header. The sender's address is that of its row, so that only endpoints outside
//! that are reached this way come in this way; the receiver's is its member's. From then on they
//! are as any other tunnel's: a switchover redirects or queues them. One for a member that has left and
//! has no port here any more is sent on as if a local sender had sent it, since a router outside may
//! learn late.

use super::Endpoint;
use crate::projection::cookie::{Kind, Owner};
use crate::projection::packet::{ETH_IPV4, ETH_IPV6};
use crate::projection::rule::{Action, Field, Rule};
use crate::projection::view::HostView;
use crate::projection::{ARRIVALS, CLASSIFY, FROM_OUTSIDE, ORIGIN, TO_MEMBER};
use model::Net;
use std::net::IpAddr;

const PRIORITY: u16 = 100;

/// The network of such packets.
pub(in crate::projection) fn net(view: &HostView, net: &Net) -> Option<Rule> {
    let port = view.gpe?;
    Some(Rule::new(
        (Kind::Classify, Owner::net(&net.cluster)),
        (CLASSIFY, PRIORITY),
        [Field::InPort(port), Field::TunnelId(net.vni)],
        [Action::SetVni(net.vni)],
        Some(FROM_OUTSIDE),
    ))
}

/// The rules of one endpoint: as a sender when it is outside, as a receiver when it is not.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Vec<Rule> {
    if at.view.gpe.is_none() {
        return Vec::new();
    }
    let locator = &at.entry.locator;
    let mac = at.entry.mac;
    let rule = |table, fields: [Field; 2], action, goto| {
        let matching = [Field::Vni(at.net.vni)].into_iter().chain(fields);
        let label = at.label(Kind::Classify);
        Rule::new(label, (table, PRIORITY), matching, [action], Some(goto))
    };
    let ips = at.entry.ips.iter();
    if locator.is_outside() {
        let ips = ips.filter(|_| locator.is_gpe());
        let known = ips.map(|ip| {
            let source = match *ip {
                IpAddr::V4(ip) => [Field::EthType(ETH_IPV4), Field::Ipv4Source(ip)],
                IpAddr::V6(ip) => [Field::EthType(ETH_IPV6), Field::Ipv6Source(ip)],
            };
            rule(FROM_OUTSIDE, source, Action::SetEthSource(mac), TO_MEMBER)
        });
        return known.collect();
    }
    let is_of_here = at.port.is_some() || at.view.arrivals.contains_key(at.key);
    let next = if is_of_here { ARRIVALS } else { ORIGIN };
    let known = ips.map(|ip| {
        let destination = match *ip {
            IpAddr::V4(ip) => [Field::EthType(ETH_IPV4), Field::Ipv4Destination(ip)],
            IpAddr::V6(ip) => [Field::EthType(ETH_IPV6), Field::Ipv6DestinationIn(ip, 128)],
        };
        rule(TO_MEMBER, destination, Action::SetEthDestination(mac), next)
    });
    known.collect()
}

/// The way to an endpoint outside, where it is one that is reached this way.
pub(super) fn way(at: Endpoint<'_>) -> Option<Vec<Action>> {
    let port = at.view.gpe.filter(|_| at.entry.locator.is_gpe())?;
    Some(vec![
        Action::SetTunnelId(at.net.vni),
        Action::SetTunnelDestination(at.entry.locator.address),
        Action::Output(port),
    ])
}
