//! Tables 20 and 21: ARP and neighbour discovery, answered by the switch.
//!
//! Every endpoint's addresses are known, so every question is answered here, also while the one
//! who is asked for is on its way. Nothing of either protocol goes further: questions for
//! addresses of nobody, replies, announcements and advertisements end here. Questions for one's
//! own address (duplicate detection, announcements) get no answer, which is what they hope for.

use super::Endpoint;
use crate::projection::cookie::{Kind, Owner};
use crate::projection::packet::*;
use crate::projection::rule::{Action, Field, Rule};
use crate::projection::{ADVERTISE, ANSWER, ORIGIN};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Questions for one's own address.
const OWN: u16 = 130;
/// Questions without a sender address.
const DETECTION: u16 = 120;
const QUESTION: u16 = 110;
/// The rest of both protocols.
const REST: u16 = 50;

/// What needs no directory: the rest of both protocols ends, and all else goes on.
pub(in crate::projection) fn base() -> Vec<Rule> {
    let label = (Kind::Base, Owner::HOST);
    let end = |fields: &[Field]| Rule::new(label, (ANSWER, REST), fields.iter().copied(), [], None);
    let nd = |kind| {
        [
            Field::EthType(ETH_IPV6),
            Field::IpProto(ICMPV6),
            Field::Icmp6Type(kind),
        ]
    };
    vec![
        end(&[Field::EthType(ETH_ARP)]),
        end(&nd(ND_SOLICIT)),
        end(&nd(ND_ADVERTISE)),
        Rule::new(label, (ANSWER, 0), [], [], Some(ORIGIN)),
        super::end_of(ADVERTISE),
    ]
}

/// The rules of one endpoint.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for ip in at.ipv4() {
        rules.extend(at.port.map(|port| own(at, port, &arp_question(ip))));
        rules.push(arp_reply(at, ip));
    }
    for ip in at.ipv6() {
        rules.extend(at.port.map(|port| own(at, port, &nd_question(ip))));
        rules.extend(nd_reply(at, ip));
    }
    rules
}

fn arp_question(ip: Ipv4Addr) -> Vec<Field> {
    vec![
        Field::EthType(ETH_ARP),
        Field::ArpOp(ARP_REQUEST),
        Field::ArpTargetIp(ip),
    ]
}

fn nd_question(ip: Ipv6Addr) -> Vec<Field> {
    let nd = [
        Field::EthType(ETH_IPV6),
        Field::IpProto(ICMPV6),
        Field::Icmp6Type(ND_SOLICIT),
    ];
    nd.into_iter()
        .chain([Field::Icmp6Code(0), Field::NdTarget(ip)])
        .collect()
}

fn own(at: Endpoint<'_>, port: u32, question: &[Field]) -> Rule {
    let asker = [Field::InPort(port), Field::Vni(at.net.vni)];
    let matching = asker.into_iter().chain(question.iter().copied());
    Rule::new(at.label(Kind::Answer), (ANSWER, OWN), matching, [], None)
}

fn arp_reply(at: Endpoint<'_>, ip: Ipv4Addr) -> Rule {
    let mac = at.entry.mac;
    Rule::new(
        at.label(Kind::Answer),
        (ANSWER, QUESTION),
        [Field::Vni(at.net.vni)].into_iter().chain(arp_question(ip)),
        [
            Action::EthSourceToDestination,
            Action::SetEthSource(mac),
            Action::SetArpOp(ARP_REPLY),
            Action::ArpSenderMacToTarget,
            Action::ArpSenderIpToTarget,
            Action::SetArpSenderMac(mac),
            Action::SetArpSenderIp(ip),
            Action::OutputBack,
        ],
        None,
    )
}

/// RFC 4861 section 7.2.4. The question becomes the answer: its option with the asker's own
/// link-layer address is turned into the one with the target's.
fn nd_reply(at: Endpoint<'_>, ip: Ipv6Addr) -> [Rule; 3] {
    let mac = at.entry.mac;
    let label = at.label(Kind::Answer);
    let question = || [Field::Vni(at.net.vni)].into_iter().chain(nd_question(ip));
    let solicited = Rule::new(
        label,
        (ANSWER, QUESTION),
        question(),
        [
            Action::EthSourceToDestination,
            Action::SetEthSource(mac),
            Action::Ipv6SourceToDestination,
            Action::SetIpv6Source(ip),
            Action::SetTtl(255),
            Action::SetIcmp6Type(ND_ADVERTISE),
            Action::SetNdFlags(ND_SOLICITED | ND_OVERRIDE),
            Action::SetNdOption(ND_OPTION_TARGET),
        ],
        Some(ADVERTISE),
    );
    let completed = Rule::new(
        label,
        (ADVERTISE, QUESTION),
        [
            Field::Vni(at.net.vni),
            Field::EthType(ETH_IPV6),
            Field::IpProto(ICMPV6),
            Field::Icmp6Type(ND_ADVERTISE),
            Field::NdTarget(ip),
        ],
        [Action::SetNdTargetMac(mac), Action::OutputBack],
        None,
    );
    // Somebody tries the address of another one. Such a question has no link-layer option
    // (RFC 4861 section 4.3); other options (RFC 7527's nonce) are left as they are.
    let taken = Rule::new(
        label,
        (ANSWER, DETECTION),
        question().chain([Field::Ipv6Source(Ipv6Addr::UNSPECIFIED)]),
        [
            Action::SetEthDestination(ALL_NODES_MAC),
            Action::SetEthSource(mac),
            Action::SetIpv6Destination(ALL_NODES),
            Action::SetIpv6Source(ip),
            Action::SetTtl(255),
            Action::SetIcmp6Type(ND_ADVERTISE),
            Action::SetNdFlags(ND_OVERRIDE),
            Action::OutputBack,
        ],
        None,
    );
    [solicited, completed, taken]
}
