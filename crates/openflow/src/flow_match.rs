//! Which packets a rule is for: a list of match fields.
//!
//! Prerequisites (`eth_type` before `ipv4_dst` and so on) are the caller's: switches differ in what
//! they demand, and a rule is refused with an error that reaches the caller.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

use crate::address::{MacAddr, PortNo};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::oxm::show::OxmValue;
use crate::oxm::{Field, FieldValue, Oxm};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all};

/// A match (OpenFlow 1.3.5, 7.2.3.1). Empty, it matches every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// The fields in wire order.
    pub fields: Vec<Oxm>,
}

macro_rules! exact {
    ($($(#[$meta:meta])* $name:ident($field:ident: $t:ty);)*) => {$(
        $(#[$meta])*
        #[must_use]
        pub fn $name(self, value: impl Into<$t>) -> Self {
            let value: $t = value.into();
            self.field(Field::$field, value)
        }
    )*};
}

impl Match {
    /// Matches everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, oxm: Oxm) -> Self {
        self.fields.push(oxm);
        self
    }

    /// Adds an exact field.
    #[must_use]
    pub fn field(self, field: Field, value: impl FieldValue) -> Self {
        self.with(Oxm::new(field, value))
    }

    /// Adds a field of which only the bits of `mask` count.
    #[must_use]
    pub fn masked(self, field: Field, value: impl FieldValue, mask: impl FieldValue) -> Self {
        self.with(Oxm::masked(field, value, mask))
    }

    exact! {
        /// The port the packet came in on.
        in_port(IN_PORT: PortNo);
        /// Ethernet source.
        eth_src(ETH_SRC: MacAddr);
        /// Ethernet destination.
        eth_dst(ETH_DST: MacAddr);
        /// Ethernet type.
        eth_type(ETH_TYPE: u16);
        /// IP protocol; needs the Ethernet type.
        ip_proto(IP_PROTO: u8);
        /// IPv4 source; needs `eth_type(0x0800)`.
        ipv4_src(IPV4_SRC: Ipv4Addr);
        /// IPv4 destination; needs `eth_type(0x0800)`.
        ipv4_dst(IPV4_DST: Ipv4Addr);
        /// IPv6 source; needs `eth_type(0x86dd)`.
        ipv6_src(IPV6_SRC: Ipv6Addr);
        /// IPv6 destination; needs `eth_type(0x86dd)`.
        ipv6_dst(IPV6_DST: Ipv6Addr);
        /// ARP operation; needs `eth_type(0x0806)`.
        arp_op(ARP_OP: u16);
        /// ARP sender's IPv4 address.
        arp_spa(ARP_SPA: Ipv4Addr);
        /// ARP target's IPv4 address.
        arp_tpa(ARP_TPA: Ipv4Addr);
        /// ARP sender's Ethernet address.
        arp_sha(ARP_SHA: MacAddr);
        /// ARP target's Ethernet address.
        arp_tha(ARP_THA: MacAddr);
        /// ICMP type; needs `ip_proto(1)`.
        icmpv4_type(ICMPV4_TYPE: u8);
        /// ICMPv6 type; needs `ip_proto(58)`.
        icmpv6_type(ICMPV6_TYPE: u8);
        /// ICMPv6 code; needs `ip_proto(58)`.
        icmpv6_code(ICMPV6_CODE: u8);
        /// Neighbour discovery target; needs ICMPv6 type 135 or 136.
        nd_target(IPV6_ND_TARGET: Ipv6Addr);
        /// Source link-layer address option; needs ICMPv6 type 135.
        nd_sll(IPV6_ND_SLL: MacAddr);
        /// Target link-layer address option; needs ICMPv6 type 136.
        nd_tll(IPV6_ND_TLL: MacAddr);
        /// TCP source port; needs `ip_proto(6)`.
        tcp_src(TCP_SRC: u16);
        /// TCP destination port; needs `ip_proto(6)`.
        tcp_dst(TCP_DST: u16);
        /// UDP source port; needs `ip_proto(17)`.
        udp_src(UDP_SRC: u16);
        /// UDP destination port; needs `ip_proto(17)`.
        udp_dst(UDP_DST: u16);
        /// Tunnel key: VNI, GRE key.
        tunnel_id(TUNNEL_ID: u64);
        /// Outer IPv4 source of a packet from a tunnel.
        tun_src(TUN_SRC: Ipv4Addr);
        /// Outer IPv4 destination of a packet from a tunnel.
        tun_dst(TUN_DST: Ipv4Addr);
        /// Outer IPv6 source of a packet from a tunnel.
        tun_ipv6_src(TUN_IPV6_SRC: Ipv6Addr);
        /// Outer IPv6 destination of a packet from a tunnel.
        tun_ipv6_dst(TUN_IPV6_DST: Ipv6Addr);
        /// The pipeline's metadata.
        metadata(METADATA: u64);
        /// The mark that the host's stack sees.
        pkt_mark(PKT_MARK: u32);
        /// Conjunction id (ovs-fields(7)).
        conj_id(CONJ_ID: u32);
        /// Zone of connection tracking.
        ct_zone(CT_ZONE: u16);
        /// Mark of the tracked connection.
        ct_mark(CT_MARK: u32);
    }

    /// Packets of VLAN `vid` (0 to 4095). OpenFlow sets the "present" bit 0x1000 in the field.
    #[must_use]
    pub fn vlan_vid(self, vid: u16) -> Self {
        self.field(Field::VLAN_VID, vid | 0x1000)
    }

    /// Packets without a VLAN tag.
    #[must_use]
    pub fn untagged(self) -> Self {
        self.field(Field::VLAN_VID, 0u16)
    }

    /// Frames to a group address: multicast and broadcast.
    #[must_use]
    pub fn eth_multicast(self) -> Self {
        self.masked(Field::ETH_DST, MacAddr::GROUP_BIT, MacAddr::GROUP_BIT)
    }

    /// IPv4 source in a network of `length` bits (0 to 32).
    #[must_use]
    pub fn ipv4_src_net(self, net: Ipv4Addr, length: u8) -> Self {
        self.masked(Field::IPV4_SRC, net, prefix_mask(length, 32))
    }

    /// IPv4 destination in a network of `length` bits (0 to 32).
    #[must_use]
    pub fn ipv4_dst_net(self, net: Ipv4Addr, length: u8) -> Self {
        self.masked(Field::IPV4_DST, net, prefix_mask(length, 32))
    }

    /// IPv6 source in a network of `length` bits (0 to 128).
    #[must_use]
    pub fn ipv6_src_net(self, net: Ipv6Addr, length: u8) -> Self {
        self.masked(Field::IPV6_SRC, net, prefix_mask(length, 128))
    }

    /// IPv6 destination in a network of `length` bits (0 to 128).
    #[must_use]
    pub fn ipv6_dst_net(self, net: Ipv6Addr, length: u8) -> Self {
        self.masked(Field::IPV6_DST, net, prefix_mask(length, 128))
    }

    /// Register `n`, 0 to 15.
    #[must_use]
    pub fn reg(self, n: u8, value: u32) -> Self {
        self.field(Field::reg(n), value)
    }

    /// Some bits of register `n`, 0 to 15.
    #[must_use]
    pub fn reg_masked(self, n: u8, value: u32, mask: u32) -> Self {
        self.masked(Field::reg(n), value, mask)
    }

    /// Some bits of the state of connection tracking (ovs-fields(7), `ct_state`).
    #[must_use]
    pub fn ct_state(self, value: u32, mask: u32) -> Self {
        self.masked(Field::CT_STATE, value, mask)
    }

    /// The field's entry, if the match has one.
    pub fn get(&self, field: Field) -> Option<&Oxm> {
        self.fields.iter().find(|oxm| oxm.field() == field)
    }

    /// The number that a field must have, if it is there without a mask.
    pub fn exact(&self, field: Field) -> Option<u128> {
        self.get(field)
            .filter(|oxm| oxm.mask().is_none())
            .and_then(Oxm::number)
    }

    /// Whether both have the same fields, in whatever order.
    pub fn is_like(&self, other: &Self) -> bool {
        self.fields.len() == other.fields.len()
            && self.fields.iter().all(|oxm| other.fields.contains(oxm))
    }

    /// The fields in a fixed order: two matches that differ only in the order of their fields
    /// become equal. Switches report fields in an order of their own.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.fields.sort_by_key(Oxm::field);
        self
    }
}

impl From<Vec<Oxm>> for Match {
    fn from(fields: Vec<Oxm>) -> Self {
        Self { fields }
    }
}

fn prefix_mask(length: u8, bits: u32) -> u128 {
    let host = bits.saturating_sub(u32::from(length));
    let all = u128::MAX >> (128 - bits.clamp(1, 128));
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

const OXM_MATCH: u16 = 1;

impl Wire for Match {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let kind = r.u16()?;
        let length = usize::from(r.u16()?);
        let Some(body) = length.checked_sub(4).filter(|_| kind == OXM_MATCH) else {
            let kind = if kind == OXM_MATCH {
                DecodeErrorKind::Length {
                    what: "match",
                    length,
                }
            } else {
                DecodeErrorKind::Value {
                    what: "match type",
                    value: kind.into(),
                }
            };
            return Err(at.error(kind));
        };
        let fields = decode_all(&mut r.sub(body)?)?;
        r.pad(length.next_multiple_of(8) - length)?;
        Ok(Self { fields })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(OXM_MATCH);
        w.u16(0);
        encode_all(&self.fields, w);
        w.patch_len(start + 2, start, "a match");
        w.align8(start);
    }
}

/// An object with one member for each field.
impl Serialize for Match {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(
            self.fields
                .iter()
                .map(|oxm| (oxm.field().name(), OxmValue(oxm))),
        )
    }
}
