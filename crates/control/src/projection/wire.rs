//! Our rules as OpenFlow messages.

use super::change::Change;
use super::cookie::Cookie;
use super::rule::{Action, Field, Rule};
use model::Mac;
use openflow::action::{Conntrack, CtFlags, CtZone};
use openflow::{Action as OfAction, Field as OfField, FlowMod, MacAddr, Match};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of the flags of a TCP segment, RFC 9293 section 3.1.
const TCP_SYN: u16 = 2;
const TCP_ACK: u16 = 16;

/// Marks of a connection.
const BY_MEMBER: u32 = 1;
const BY_REMOTE: u32 = 2;

impl Rule {
    /// The message that adds the rule, or puts it in the place of one of the same identity.
    pub fn add(&self) -> FlowMod {
        let message = FlowMod::add()
            .table(self.table)
            .priority(self.priority)
            .cookie(self.cookie.0)
            .matching(matching(&self.matching));
        let message = match self.actions.is_empty() {
            true => message,
            false => message.apply(self.actions.iter().flat_map(actions)),
        };
        match self.goto {
            Some(table) => message.goto(table),
            None => message,
        }
    }

    /// The message that takes away the rule of this identity, if it is one of ours.
    pub fn delete_strict(&self) -> FlowMod {
        let (cookie, mask) = Cookie::OURS;
        FlowMod::delete_strict()
            .table(self.table)
            .priority(self.priority)
            .only_cookie(cookie, mask)
            .matching(matching(&self.matching))
    }
}

impl Change {
    /// The message that makes the change.
    pub fn flow_mod(&self) -> FlowMod {
        match self {
            Self::Add(rule) => rule.add(),
            Self::Remove(rule) => rule.delete_strict(),
            Self::RemoveLeftover { table, cookie } => FlowMod::delete()
                .table(*table)
                .only_cookie(cookie.0, u64::MAX),
        }
    }
}

fn matching(fields: &[Field]) -> Match {
    fields.iter().fold(Match::new(), |to, field| match *field {
        Field::InPort(port) => to.in_port(port),
        Field::Vni(vni) => to.reg(0, vni),
        Field::TunnelId(id) => to.tunnel_id(u64::from(id)),
        Field::TunnelSource(IpAddr::V4(ip)) => to.tun_src(ip),
        Field::TunnelSource(IpAddr::V6(ip)) => to.tun_ipv6_src(ip),
        Field::Untagged => to.untagged(),
        Field::EthSource(mac) => to.eth_src(address(mac)),
        Field::EthDestination(mac) => to.eth_dst(address(mac)),
        Field::EthGroup => to.eth_multicast(),
        Field::EthType(number) => to.eth_type(number),
        Field::IpProto(number) => to.ip_proto(number),
        Field::Ipv4Source(ip) => to.ipv4_src(ip),
        Field::Ipv4Destination(ip) => to.ipv4_dst(ip),
        Field::Ipv6Source(ip) => to.ipv6_src(ip),
        Field::UdpSource(port) => to.udp_src(port),
        Field::UdpDestination(port) => to.udp_dst(port),
        Field::Icmp6Type(number) => to.icmpv6_type(number),
        Field::Icmp6Code(number) => to.icmpv6_code(number),
        Field::ArpOp(number) => to.arp_op(number),
        Field::ArpSenderMac(mac) => to.arp_sha(address(mac)),
        Field::ArpSenderIp(ip) => to.arp_spa(ip),
        Field::ArpTargetIp(ip) => to.arp_tpa(ip),
        Field::NdTarget(ip) => to.nd_target(ip),
        Field::For(port) => to.reg(1, port),
        Field::Tracked { set, of } => to.ct_state(set, of),
        Field::Ipv4SourceIn(ip, length) => to.ipv4_src_net(ip, length),
        Field::Ipv4DestinationIn(ip, length) => to.ipv4_dst_net(ip, length),
        Field::Ipv6SourceIn(ip, length) => to.ipv6_src_net(ip, length),
        Field::Ipv6DestinationIn(ip, length) => to.ipv6_dst_net(ip, length),
        Field::TcpOpening => to.masked(OfField::NXM_TCP_FLAGS, TCP_SYN, TCP_SYN | TCP_ACK),
        Field::TcpDestinationIn(port, mask) => to.masked(OfField::TCP_DST, port, mask),
        Field::UdpDestinationIn(port, mask) => to.masked(OfField::UDP_DST, port, mask),
    })
}

fn actions(action: &Action) -> Vec<OfAction> {
    use OfAction as Of;
    vec![match *action {
        Action::SetVni(vni) => Of::set_reg(0, vni),
        Action::SetTunnelId(id) => Of::set_tunnel_id(u64::from(id)),
        Action::ClearTunnelDestination => {
            return vec![
                Of::set_tun_dst(Ipv4Addr::UNSPECIFIED),
                Of::set_tun_ipv6_dst(Ipv6Addr::UNSPECIFIED),
            ];
        }
        Action::SetTunnelDestination(IpAddr::V4(ip)) => Of::set_tun_dst(ip),
        Action::SetTunnelDestination(IpAddr::V6(ip)) => Of::set_tun_ipv6_dst(ip),
        Action::SetEthSource(mac) => Of::set_eth_src(address(mac)),
        Action::SetEthDestination(mac) => Of::set_eth_dst(address(mac)),
        Action::EthSourceToDestination => Of::copy(OfField::NXM_ETH_SRC, OfField::NXM_ETH_DST),
        Action::SetArpOp(number) => Of::set_field(OfField::ARP_OP, number),
        Action::SetArpSenderMac(mac) => Of::set_field(OfField::ARP_SHA, address(mac)),
        Action::SetArpSenderIp(ip) => Of::set_field(OfField::ARP_SPA, ip),
        Action::ArpSenderMacToTarget => Of::copy(OfField::NXM_ARP_SHA, OfField::NXM_ARP_THA),
        Action::ArpSenderIpToTarget => Of::copy(OfField::NXM_ARP_SPA, OfField::NXM_ARP_TPA),
        Action::SetIpv6Source(ip) => Of::set_field(OfField::IPV6_SRC, ip),
        Action::SetIpv6Destination(ip) => Of::set_field(OfField::IPV6_DST, ip),
        Action::Ipv6SourceToDestination => Of::copy(OfField::NXM_IPV6_SRC, OfField::NXM_IPV6_DST),
        Action::SetTtl(ttl) => Of::set_field(OfField::NW_TTL, ttl),
        Action::SetIcmp6Type(number) => Of::set_field(OfField::ICMPV6_TYPE, number),
        Action::SetNdFlags(flags) => Of::set_field(OfField::ND_RESERVED, flags),
        Action::SetNdOption(number) => Of::set_field(OfField::ND_OPTIONS_TYPE, number),
        Action::SetNdTargetMac(mac) => Of::set_field(OfField::IPV6_ND_TLL, address(mac)),
        Action::Output(port) => Of::output(port),
        Action::OutputBack => Of::output_in_port(),
        Action::SetFor(port) => Of::set_reg(1, port),
        Action::Through(table) => Of::resubmit(table),
        Action::Track { zone, table } => Of::ct(Conntrack {
            zone: CtZone::Number(zone),
            recirc_table: table,
            ..Conntrack::default()
        }),
        Action::Commit { zone, by_member } => commit(zone, by_member),
    }]
}

/// Puts a connection into the table. The mark says who opened it: the table itself only knows whose
/// packet came first, and of one that came here with its member that is anybody's.
pub(crate) fn commit(zone: u16, by_member: bool) -> OfAction {
    let mark = if by_member { BY_MEMBER } else { BY_REMOTE };
    OfAction::ct(Conntrack {
        flags: CtFlags::COMMIT,
        zone: CtZone::Number(zone),
        actions: vec![OfAction::set_field(OfField::CT_MARK, mark)],
        ..Conntrack::default()
    })
}

fn address(mac: Mac) -> MacAddr {
    MacAddr(mac.0)
}
