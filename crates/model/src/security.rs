//! Security rules of a member: who may open a connection to it, and to whom it may open one.
//!
//! A member without rules talks to everybody in its network. One with rules is closed, in both
//! directions, but for what a rule allows; whatever answers an allowed connection passes by itself.
//! The rules belong to the member and not to a host: they are where it is.
//!
//! They are written in words, in files and on every wire: `ingress tcp 80 from any`, `ingress udp 5000-5010 from
//! 10.77.0.0/24`, `ingress icmp from members`, `egress tcp 5432 to member shop-2`, `egress any to any`.

use crate::{InvalidName, VmName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Most rules of one member; each is some rules of its switch.
pub const MOST_RULES: usize = 256;

/// Who opens the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The other side does.
    Ingress,
    /// The member does.
    Egress,
}

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Protocol {
    /// All of IPv4 and IPv6.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, and ICMPv6.
    Icmp,
}

/// Ports that a connection may be opened to, from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Addresses of a network: the bits after the prefix are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Remote {
    /// Anybody.
    #[default]
    Any,
    /// Every member of the cluster.
    Members,
    /// One member of the cluster, whatever its addresses are.
    Member(VmName),
    /// Whoever has an address of this network.
    Cidr(Network),
}

/// One thing that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecurityRule {
    /// Who opens the connection.
    pub direction: Direction,
    /// What is carried.
    pub protocol: Protocol,
    /// The ports that it is opened to; all when left out. Only with `tcp` and `udp`.
    pub ports: Option<Ports>,
    /// The other side.
    pub remote: Remote,
}

/// Text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Not ports.
    #[error("'{0}' is not a port or a range of ports: write 80, or 5000-5010, from 1 to 65535")]
    Ports(String),
    /// Not a network.
    #[error("'{0}' is not a network: write it as in 10.77.0.0/24 or fd77::/64")]
    Network(String),
    /// An address of a network.
    #[error(
        "'{given}' is an address in a network: write {network} for all of it, or {given_alone}"
    )]
    HostBits {
        /// What was written.
        given: String,
        /// The network that it lies in.
        network: String,
        /// The address alone, as a network.
        given_alone: String,
    },
    /// Not a rule.
    #[error(
        "'{0}' is not a rule: write it as in 'ingress tcp 80 from any' or 'egress udp 53 to 10.77.0.1/32'"
    )]
    Rule(String),
    /// Ports of something that has none.
    #[error("a rule for {0} cannot name ports: leave them out, or say tcp or udp")]
    NoPorts(&'static str),
    /// Not a member's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Direction {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl Protocol {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    /// Whether its connections have ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    /// Whether an IP protocol number, of either family, is meant.
    pub fn is(self, number: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Tcp => number == 6,
            Self::Udp => number == 17,
            Self::Icmp => number == 1 || number == 58,
        }
    }
}

impl Ports {
    /// From `first` to `last`; none when that is empty, or begins at 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (1..=last).contains(&first).then_some(Self { first, last })
    }

    /// The lowest and the highest.
    pub fn bounds(self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// Whether a port is among them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Network {
    /// The network's own address, and the length of its prefix in bits.
    pub fn parts(self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl SecurityRule {
    /// Refuses what no packet can be held against.
    ///
    /// # Errors
    /// Ports of a protocol that has none.
    pub fn check(&self) -> Result<(), InvalidRule> {
        match self.ports {
            Some(_) if !self.protocol.has_ports() => {
                Err(InvalidRule::NoPorts(self.protocol.as_str()))
            }
            _ => Ok(()),
        }
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
            IpAddr::V4((u32::from(v4) & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128)));
            IpAddr::V6((u128::from(v6) & mask.unwrap_or(0)).into())
        }
    }
}

impl FromStr for Ports {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let bounds = first.parse().ok().zip(last.parse().ok());
        bounds
            .and_then(|(first, last)| Self::new(first, last))
            .ok_or_else(|| InvalidRule::Ports(text.to_owned()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for Network {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let cidr: crate::cluster::Cidr = text
            .parse()
            .map_err(|_| InvalidRule::Network(text.to_owned()))?;
        let network = Self {
            address: masked(cidr.address, cidr.prefix),
            prefix: cidr.prefix,
        };
        if network.address == cidr.address {
            return Ok(network);
        }
        let longest = if cidr.address.is_ipv4() { 32 } else { 128 };
        Err(InvalidRule::HostBits {
            given: text.to_owned(),
            network: network.to_string(),
            given_alone: format!("{}/{longest}", cidr.address),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Members => f.write_str("members"),
            Self::Member(name) => write!(f, "member {name}"),
            Self::Cidr(network) => write!(f, "{network}"),
        }
    }
}

impl fmt::Display for SecurityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.direction.as_str(), self.protocol.as_str())?;
        if let Some(ports) = self.ports {
            write!(f, " {ports}")?;
        }
        let word = match self.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        write!(f, " {word} {}", self.remote)
    }
}

impl FromStr for SecurityRule {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let bad = || InvalidRule::Rule(text.to_owned());
        let mut words = text.split_whitespace().peekable();
        let (direction, word) = match words.next() {
            Some("ingress") => (Direction::Ingress, "from"),
            Some("egress") => (Direction::Egress, "to"),
            _ => return Err(bad()),
        };
        let protocol = match words.next() {
            Some("any") => Protocol::Any,
            Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            Some("icmp") => Protocol::Icmp,
            _ => return Err(bad()),
        };
        let ports = match words.peek() {
            Some(next) if *next != word => {
                let ports = next.parse()?;
                words.next();
                Some(ports)
            }
            _ => None,
        };
        let remote = match (words.next(), words.next()) {
            (None, _) => Remote::Any,
            (Some(given), _) if given != word => return Err(bad()),
            (_, Some("any")) => Remote::Any,
            (_, Some("members")) => Remote::Members,
            (_, Some("member")) => Remote::Member(VmName::new(words.next().ok_or_else(bad)?)?),
            (_, Some(network)) => Remote::Cidr(network.parse()?),
            (_, None) => return Err(bad()),
        };
        if words.next().is_some() {
            return Err(bad());
        }
        let rule = Self {
            direction,
            protocol,
            ports,
            remote,
        };
        rule.check()?;
        Ok(rule)
    }
}

impl TryFrom<String> for SecurityRule {
    type Error = InvalidRule;
    fn try_from(text: String) -> Result<Self, InvalidRule> {
        text.parse()
    }
}

impl From<SecurityRule> for String {
    fn from(rule: SecurityRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> impl Strategy<Value = SecurityRule> {
        let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
        let protocol = prop_oneof![
            Just(Protocol::Any),
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Icmp)
        ];
        let ports = (any::<bool>(), 1..=u16::MAX, 1..=u16::MAX);
        let network = (any::<std::net::IpAddr>(), 0..=128u8).prop_map(|(address, prefix)| {
            let prefix = prefix % if address.is_ipv4() { 33 } else { 129 };
            Network {
                address: masked(address, prefix),
                prefix,
            }
        });
        let remote = prop_oneof![
            Just(Remote::Any),
            Just(Remote::Members),
            Just(Remote::Member(VmName::new("shop-2").unwrap())),
            network.prop_map(Remote::Cidr),
        ];
        (direction, protocol, ports, remote).prop_map(|(direction, protocol, ports, remote)| {
            let (named, a, b) = ports;
            SecurityRule {
                direction,
                protocol,
                ports: (named && protocol.has_ports())
                    .then(|| Ports::new(a.min(b), a.max(b)))
                    .flatten(),
                remote,
            }
        })
    }

    proptest! {
        #[test]
        fn a_rule_survives_words_and_json(rule in rules()) {
            prop_assert_eq!(&rule.to_string().parse::<SecurityRule>().unwrap(), &rule);
            let json = serde_json::to_string(&rule).unwrap();
            prop_assert_eq!(&serde_json::from_str::<SecurityRule>(&json).unwrap(), &rule);
        }

        #[test]
        fn any_text_is_a_rule_or_an_error(text in ".*") {
            let _ = text.parse::<SecurityRule>();
        }

        #[test]
        fn any_words_are_a_rule_or_an_error(words in prop::collection::vec(
            prop::sample::select(vec!["ingress", "egress", "tcp", "any", "80", "0-5", "from", "to", "member", "10.0.0.0/8"]), 0..7)
        ) {
            let _ = words.join(" ").parse::<SecurityRule>();
        }
    }

    #[test]
    fn what_is_left_out_means_all_of_it() {
        let rule: SecurityRule = "egress any to any".parse().unwrap();
        assert_eq!(rule, "egress any".parse().unwrap());
        assert_eq!((rule.ports, rule.remote), (None, Remote::Any));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_out() {
        for (text, part) in [
            ("ingress tcp 90-80 from any", "5000-5010"),
            ("ingress tcp 0 from any", "1 to 65535"),
            ("ingress icmp 8 from any", "cannot name ports"),
            ("ingress tcp 80 to any", "is not a rule"),
            ("ingress tcp 80 from 10.77.0.5/24", "write 10.77.0.0/24"),
            ("egress any from any", "is not"),
        ] {
            let said = text.parse::<SecurityRule>().unwrap_err().to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn a_network_holds_its_own_addresses_and_no_others() {
        let network: Network = "10.77.0.0/24".parse().unwrap();
        assert!(network.contains("10.77.0.255".parse().unwrap()));
        assert!(!network.contains("10.77.1.0".parse().unwrap()));
        assert!(!network.contains("fd77::1".parse().unwrap()));
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("fd77::1".parse().unwrap()));
        assert!(!all.contains("10.77.1.0".parse().unwrap()));
    }
}
