//! Table 10: what a local sender may send.
//!
//! Only its own Ethernet address, and with it only its own IP addresses; what has to be sent
//! before an address is there (DHCP, ARP probes, duplicate address detection) passes as well.
//! Neighbour advertisements and ARP replies need no rules of their own: the next table lets
//! neither travel. An endpoint that the directory has elsewhere is fenced, unless it is on its way:
//! nothing passes.

use super::Endpoint;
use crate::projection::cookie::Kind;
use crate::projection::packet::*;
use crate::projection::rule::{Field, Rule};
use crate::projection::{ANSWER, GUARD};
use std::net::{Ipv4Addr, Ipv6Addr};

const FENCE: u16 = 200;
const PASS: u16 = 100;

/// The rules of one endpoint.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Vec<Rule> {
    let Some(port) = at.port else {
        return Vec::new();
    };
    if at.view.is_fenced(at.key, at.entry) {
        return vec![Rule::new(
            at.label(Kind::Fence),
            (GUARD, FENCE),
            [Field::InPort(port)],
            [],
            None,
        )];
    }
    let mac = at.entry.mac;
    let pass = |fields: &[Field]| {
        let own = [
            Field::InPort(port),
            Field::Vni(at.net.vni),
            Field::EthSource(mac),
        ];
        let matching = own.into_iter().chain(fields.iter().copied());
        Rule::new(
            at.label(Kind::Guard),
            (GUARD, PASS),
            matching,
            [],
            Some(ANSWER),
        )
    };
    let arp = |sender: Ipv4Addr| {
        pass(&[
            Field::EthType(ETH_ARP),
            Field::ArpSenderMac(mac),
            Field::ArpSenderIp(sender),
        ])
    };
    // RFC 5227 section 2.1.1: a probe has no sender address.
    let mut rules = vec![arp(Ipv4Addr::UNSPECIFIED)];
    for ip in at.ipv4() {
        rules.push(arp(ip));
        rules.push(pass(&[Field::EthType(ETH_IPV4), Field::Ipv4Source(ip)]));
    }
    rules.push(pass(&[
        Field::EthType(ETH_IPV4),
        Field::Ipv4Source(Ipv4Addr::UNSPECIFIED),
        Field::Ipv4Destination(Ipv4Addr::BROADCAST),
        Field::IpProto(UDP),
        Field::UdpSource(DHCP_CLIENT),
        Field::UdpDestination(DHCP_SERVER),
    ]));
    for ip in at.ipv6() {
        rules.push(pass(&[Field::EthType(ETH_IPV6), Field::Ipv6Source(ip)]));
    }
    // RFC 4862 section 5.4.2: so is duplicate address detection. The next table ends it.
    rules.push(pass(&[
        Field::EthType(ETH_IPV6),
        Field::Ipv6Source(Ipv6Addr::UNSPECIFIED),
        Field::IpProto(ICMPV6),
        Field::Icmp6Type(ND_SOLICIT),
        Field::Icmp6Code(0),
    ]));
    rules
}
