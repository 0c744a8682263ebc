//! Rules in our own small vocabulary: exactly the fields and actions that the pipeline uses.
//!
//! Why not OpenFlow's own types: a closed vocabulary can be ordered, hashed and interpreted, so
//! that tests prove isolation and delivery on the rules themselves. [`super::wire`] translates.

use super::cookie::{Cookie, Kind, Owner};
use model::Mac;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One condition on a packet. Names of OpenFlow fields as `ovs-fields(7)` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `in_port`.
    InPort(u32),
    /// `reg0`: the packet's network, written by the first table.
    Vni(u32),
    /// `tun_id`.
    TunnelId(u32),
    /// `tun_src` or `tun_ipv6_src`: the host that the packet comes from.
    TunnelSource(IpAddr),
    /// `vlan_tci=0`: no 802.1Q tag.
    Untagged,
    /// `dl_src`.
    EthSource(Mac),
    /// `dl_dst`.
    EthDestination(Mac),
    /// `dl_dst=01:00:00:00:00:00/01:00:00:00:00:00`: multicast and broadcast.
    EthGroup,
    /// `dl_type`.
    EthType(u16),
    /// `nw_proto`.
    IpProto(u8),
    /// `nw_src`.
    Ipv4Source(Ipv4Addr),
    /// `nw_dst`.
    Ipv4Destination(Ipv4Addr),
    /// `ipv6_src`.
    Ipv6Source(Ipv6Addr),
    /// `udp_src`.
    UdpSource(u16),
    /// `udp_dst`.
    UdpDestination(u16),
    /// `icmpv6_type`.
    Icmp6Type(u8),
    /// `icmpv6_code`.
    Icmp6Code(u8),
    /// `arp_op`.
    ArpOp(u16),
    /// `arp_sha`.
    ArpSenderMac(Mac),
    /// `arp_spa`.
    ArpSenderIp(Ipv4Addr),
    /// `arp_tpa`.
    ArpTargetIp(Ipv4Addr),
    /// `nd_target`.
    NdTarget(Ipv6Addr),
    /// `reg1`: the port of the member that the packet is for, where it has security rules.
    For(u32),
    /// `ct_state`: these bits of [`track`], of the bits that count.
    Tracked {
        /// The bits that are set.
        set: u32,
        /// The bits that count.
        of: u32,
    },
    /// `nw_src` in a network.
    Ipv4SourceIn(Ipv4Addr, u8),
    /// `nw_dst` in a network.
    Ipv4DestinationIn(Ipv4Addr, u8),
    /// `ipv6_src` in a network.
    Ipv6SourceIn(Ipv6Addr, u8),
    /// `ipv6_dst` in a network.
    Ipv6DestinationIn(Ipv6Addr, u8),
    /// `tcp_flags=+syn-ack`: the first segment of a connection, RFC 9293 section 3.5.
    TcpOpening,
    /// `tcp_dst`: those bits of it that the mask has.
    TcpDestinationIn(u16, u16),
    /// `udp_dst`: those bits of it that the mask has.
    UdpDestinationIn(u16, u16),
}

/// Bits of `ct_state`, as `ovs-fields(7)` has them.
pub mod track {
    /// The connection is not in the table, or only one side has spoken.
    pub const NEW: u32 = 1;
    /// The packet belongs to a connection of the table.
    pub const ESTABLISHED: u32 = 2;
    /// The packet is about a connection of the table, such as an ICMP error.
    pub const RELATED: u32 = 4;
    /// The packet fits no connection.
    pub const INVALID: u32 = 16;
    /// The packet was looked up.
    pub const TRACKED: u32 = 32;
}

/// One thing done to a packet, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `set_field:VNI->reg0`.
    SetVni(u32),
    /// `set_field:VNI->tun_id`.
    SetTunnelId(u32),
    /// `set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_dst`: needed before a destination of the
    /// other family than the one that is there.
    ClearTunnelDestination,
    /// `set_field:ADDRESS->tun_dst` or `tun_ipv6_dst`.
    SetTunnelDestination(IpAddr),
    /// `set_field:MAC->eth_src`.
    SetEthSource(Mac),
    /// `set_field:MAC->eth_dst`.
    SetEthDestination(Mac),
    /// `move:eth_src->eth_dst`.
    EthSourceToDestination,
    /// `set_field:OP->arp_op`.
    SetArpOp(u16),
    /// `set_field:MAC->arp_sha`.
    SetArpSenderMac(Mac),
    /// `set_field:IP->arp_spa`.
    SetArpSenderIp(Ipv4Addr),
    /// `move:arp_sha->arp_tha`.
    ArpSenderMacToTarget,
    /// `move:arp_spa->arp_tpa`.
    ArpSenderIpToTarget,
    /// `set_field:IP->ipv6_src`.
    SetIpv6Source(Ipv6Addr),
    /// `set_field:IP->ipv6_dst`.
    SetIpv6Destination(Ipv6Addr),
    /// `move:ipv6_src->ipv6_dst`.
    Ipv6SourceToDestination,
    /// `set_field:TTL->nw_ttl`.
    SetTtl(u8),
    /// `set_field:TYPE->icmpv6_type`.
    SetIcmp6Type(u8),
    /// `set_field:FLAGS->nd_reserved`: the word with the R, S and O bits, RFC 4861 section 4.4.
    SetNdFlags(u32),
    /// `set_field:TYPE->nd_options_type`, RFC 4861 section 4.6.
    SetNdOption(u8),
    /// `set_field:MAC->nd_tll`.
    SetNdTargetMac(Mac),
    /// `output:PORT`; nothing happens when the packet came in there.
    Output(u32),
    /// `in_port`: back to where it came from.
    OutputBack,
    /// `set_field:PORT->reg1`.
    SetFor(u32),
    /// `resubmit(,TABLE)`: what that table does with the packet, then on with the next action.
    Through(u8),
    /// `ct(table=TABLE,zone=ZONE)`: looks the connection up, and begins anew in that table.
    Track {
        /// The connections of one member.
        zone: u16,
        /// The table that goes on.
        table: u8,
    },
    /// `ct(commit,zone=ZONE,exec(set_field:MARK->ct_mark))`: the connection is in the table from now on.
    Commit {
        /// The connections of one member.
        zone: u16,
        /// Who opened it.
        by_member: bool,
    },
}

/// A rule of the integration bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Table.
    pub table: u8,
    /// Priority; of the rules of one table that match, the highest decides.
    pub priority: u16,
    /// Says whose rule it is and what it is for, and tells whether an installed one is the same.
    pub cookie: Cookie,
    /// Conditions, sorted; all must hold.
    pub matching: Vec<Field>,
    /// What is done at once.
    pub actions: Vec<Action>,
    /// The table that goes on with the packet.
    pub goto: Option<u8>,
}

/// What makes two rules the same for a switch: a second one replaces the first.
pub type Identity = (u8, u16, Vec<Field>);

impl Rule {
    pub(crate) fn new(
        (kind, owner): (Kind, Owner),
        (table, priority): (u8, u16),
        matching: impl IntoIterator<Item = Field>,
        actions: impl IntoIterator<Item = Action>,
        goto: Option<u8>,
    ) -> Self {
        let mut matching: Vec<Field> = matching.into_iter().collect();
        matching.sort_unstable();
        let actions: Vec<Action> = actions.into_iter().collect();
        let cookie = Cookie::new(kind, owner, &(table, priority, &matching, &actions, goto));
        Self {
            table,
            priority,
            cookie,
            matching,
            actions,
            goto,
        }
    }

    /// What makes two rules the same for a switch.
    pub fn identity(&self) -> Identity {
        (self.table, self.priority, self.matching.clone())
    }
}

/// Rules, at most one of each identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSet {
    rules: BTreeMap<Identity, Rule>,
}

impl RuleSet {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule; one of the same identity is replaced.
    pub fn insert(&mut self, rule: Rule) {
        self.rules.insert(rule.identity(), rule);
    }

    /// The rule of an identity.
    pub fn get(&self, identity: &Identity) -> Option<&Rule> {
        self.rules.get(identity)
    }

    /// The rules by table, priority and match.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Rule> {
        self.rules.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Extend<Rule> for RuleSet {
    fn extend<T: IntoIterator<Item = Rule>>(&mut self, rules: T) {
        rules.into_iter().for_each(|rule| self.insert(rule));
    }
}

impl FromIterator<Rule> for RuleSet {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        let mut set = Self::new();
        set.extend(rules);
        set
    }
}

impl IntoIterator for RuleSet {
    type Item = Rule;
    type IntoIter = std::collections::btree_map::IntoValues<Identity, Rule>;
    fn into_iter(self) -> Self::IntoIter {
        self.rules.into_values()
    }
}
