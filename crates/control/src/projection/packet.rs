//! Numbers that packets carry.

use model::Mac;
use std::net::Ipv6Addr;

/// EtherType of IPv4.
pub(super) const ETH_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub(super) const ETH_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub(super) const ETH_IPV6: u16 = 0x86dd;
/// IP protocol ICMP.
pub(super) const ICMP: u8 = 1;
/// IP protocol TCP.
pub(super) const TCP: u8 = 6;
/// IP protocol UDP.
pub(super) const UDP: u8 = 17;
/// IP protocol ICMPv6.
pub(super) const ICMPV6: u8 = 58;
/// ARP operation request, RFC 826.
pub(super) const ARP_REQUEST: u16 = 1;
/// ARP operation reply, RFC 826.
pub(super) const ARP_REPLY: u16 = 2;
/// ICMPv6 neighbour solicitation, RFC 4861 section 4.3.
pub(super) const ND_SOLICIT: u8 = 135;
/// ICMPv6 neighbour advertisement, RFC 4861 section 4.4.
pub(super) const ND_ADVERTISE: u8 = 136;
/// Option: target link-layer address, RFC 4861 section 4.6.1.
pub(super) const ND_OPTION_TARGET: u8 = 2;
/// The S bit: an answer to a solicitation.
pub(super) const ND_SOLICITED: u32 = 0x4000_0000;
/// The O bit: override what the cache holds.
pub(super) const ND_OVERRIDE: u32 = 0x2000_0000;
/// All nodes of the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The Ethernet address of [`ALL_NODES`], RFC 2464 section 7.
pub(super) const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
/// DHCP client and server ports, RFC 2131 section 4.1.
pub(super) const DHCP_CLIENT: u16 = 68;
pub(super) const DHCP_SERVER: u16 = 67;
