//! Endpoint identifiers: a prefix in an instance, however the message spells it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::address::{Address, Mac};
use crate::lcaf::{Lcaf, LcafBody};

/// The address of an identifier. Order: IPv4, IPv6, MAC, and by address within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EidAddress {
    /// IPv4.
    Ipv4(Ipv4Addr),
    /// IPv6.
    Ipv6(Ipv6Addr),
    /// Ethernet.
    Mac(Mac),
}

impl From<IpAddr> for EidAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl From<Ipv4Addr> for EidAddress {
    fn from(address: Ipv4Addr) -> Self {
        Self::Ipv4(address)
    }
}

impl From<Ipv6Addr> for EidAddress {
    fn from(address: Ipv6Addr) -> Self {
        Self::Ipv6(address)
    }
}

impl From<Mac> for EidAddress {
    fn from(address: Mac) -> Self {
        Self::Mac(address)
    }
}

impl From<EidAddress> for Address {
    fn from(address: EidAddress) -> Self {
        match address {
            EidAddress::Ipv4(address) => Self::Ipv4(address),
            EidAddress::Ipv6(address) => Self::Ipv6(address),
            EidAddress::Mac(address) => Self::Mac(address),
        }
    }
}

impl fmt::Display for EidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Mac(address) => address.fmt(f),
        }
    }
}

impl EidAddress {
    /// Bits of the address: 32, 128 or 48.
    #[inline]
    pub fn width(self) -> u8 {
        match self {
            Self::Ipv4(_) => 32,
            Self::Ipv6(_) => 128,
            Self::Mac(_) => 48,
        }
    }

    /// The address as a number, its first bit the highest of the number.
    #[inline]
    pub fn bits(self) -> u128 {
        match self {
            Self::Ipv4(address) => u128::from(address.to_bits()) << 96,
            Self::Ipv6(address) => address.to_bits(),
            Self::Mac(Mac([a, b, c, d, e, g])) => {
                u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, g])) << 80
            }
        }
    }

    /// The address of the same family with these bits, as [`EidAddress::bits`] gives them.
    #[inline]
    pub fn with_bits(self, bits: u128) -> Self {
        match self {
            Self::Ipv4(_) => Self::Ipv4(Ipv4Addr::from_bits((bits >> 96) as u32)),
            Self::Ipv6(_) => Self::Ipv6(Ipv6Addr::from_bits(bits)),
            Self::Mac(_) => {
                let [_, _, a, b, c, d, e, g] = ((bits >> 80) as u64).to_be_bytes();
                Self::Mac(Mac([a, b, c, d, e, g]))
            }
        }
    }
}

/// A prefix in an instance: what a mapping is for. Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eid {
    instance: u32,
    address: EidAddress,
    length: u8,
}

impl Eid {
    /// The prefix of `length` bits around an address; a length beyond the address is cut to it.
    #[inline]
    pub fn new(instance: u32, address: impl Into<EidAddress>, length: u8) -> Self {
        let address = address.into();
        let length = length.min(address.width());
        Self {
            instance,
            address: address.with_bits(address.bits() & mask(length)),
            length,
        }
    }

    /// A single address.
    #[inline]
    pub fn host(instance: u32, address: impl Into<EidAddress>) -> Self {
        Self::new(instance, address, u8::MAX)
    }

    /// What a message says with an address and the length of its prefix. Nothing for addresses that
    /// are no endpoint identifiers here: names, lists, ranges of instances, instances in instances.
    ///
    /// The mask length in an instance id says something only where no address follows (RFC 8060,
    /// section 4.1). With one, some senders put 32 there and some 0.
    pub fn read(address: &Address, length: u8) -> Option<Self> {
        let (instance, address) = match address {
            Address::Lcaf(lcaf) => match &lcaf.body {
                LcafBody::Instance { instance, address } => (*instance, address),
                _ => return None,
            },
            plain => (0, plain),
        };
        let address = match address {
            Address::Ipv4(address) => EidAddress::Ipv4(*address),
            Address::Ipv6(address) => EidAddress::Ipv6(*address),
            Address::Mac(address) => EidAddress::Mac(*address),
            Address::None | Address::Name(_) | Address::Lcaf(_) => return None,
        };
        (length <= address.width()).then(|| Self::new(instance, address, length))
    }

    /// The address for a message. Instance 0 is said without an instance id, as everyone does who
    /// knows no instances.
    pub fn to_address(self) -> Address {
        match self.instance {
            0 => self.address.into(),
            instance => Lcaf::instance(instance, self.address).into(),
        }
    }

    /// Instance id; 0 where none is said.
    #[inline]
    pub fn instance(self) -> u32 {
        self.instance
    }

    /// First address of the prefix.
    #[inline]
    pub fn address(self) -> EidAddress {
        self.address
    }

    /// Bits of the prefix.
    #[inline]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether every address of `other` is in here too.
    #[inline]
    pub fn covers(self, other: Self) -> bool {
        self.instance == other.instance
            && self.address.width() == other.address.width()
            && self.length <= other.length
            && self.address.bits() == other.address.bits() & mask(self.length)
    }
}

/// `length` ones from the highest bit on.
fn mask(length: u8) -> u128 {
    let zeros = 128u32.saturating_sub(u32::from(length));
    u128::MAX.checked_shl(zeros).unwrap_or(0)
}

impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.instance != 0 {
            write!(f, "[{}]", self.instance)?;
        }
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no endpoint identifier; write it like 10.0.0.5, [7]10.0.0.0/24, [7]fd00::5/128 or 02:00:00:00:00:01"
)]
pub struct EidError(String);

/// As it is shown. Without an instance it is 0, without a length a single address.
impl FromStr for Eid {
    type Err = EidError;
    fn from_str(text: &str) -> Result<Self, EidError> {
        let error = || EidError(text.to_owned());
        let (instance, rest) = match text.strip_prefix('[') {
            None => (0, text),
            Some(rest) => {
                let (instance, rest) = rest.split_once(']').ok_or_else(error)?;
                (instance.parse().map_err(|_| error())?, rest)
            }
        };
        let (address, length) = match rest.split_once('/') {
            None => (rest, None),
            Some((address, length)) => (address, Some(length.parse().map_err(|_| error())?)),
        };
        let address = match (address.parse::<IpAddr>(), address.parse::<Mac>()) {
            (Ok(address), _) => EidAddress::from(address),
            (_, Ok(address)) => EidAddress::Mac(address),
            _ => return Err(error()),
        };
        match length {
            None => Ok(Self::host(instance, address)),
            Some(length) if length <= address.width() => Ok(Self::new(instance, address, length)),
            Some(_) => Err(error()),
        }
    }
}

impl Serialize for Eid {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for text in [
            "[7]10.1.0.0/16",
            "fd00::5/128",
            "[16777215]02:00:00:00:00:09/48",
        ] {
            assert_eq!(text.parse::<Eid>().unwrap().to_string(), text);
        }
        let short: Eid = "10.0.0.5".parse().unwrap();
        assert_eq!(short, Eid::host(0, Ipv4Addr::new(10, 0, 0, 5)));
        for wrong in [
            "",
            "[7]",
            "[x]10.0.0.1",
            "10.0.0.1/33",
            "10.0.0/8",
            "10.0.0.1/-1",
        ] {
            assert!(wrong.parse::<Eid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_covers_what_is_in_it_in_the_same_instance_and_family_only() {
        let net = Eid::new(7, Ipv4Addr::new(10, 1, 2, 3), 16);
        assert_eq!(net.to_string(), "[7]10.1.0.0/16");
        assert!(net.covers(net));
        assert!(net.covers(Eid::host(7, Ipv4Addr::new(10, 1, 200, 1))));
        assert!(!net.covers(Eid::host(7, Ipv4Addr::new(10, 2, 0, 1))));
        assert!(!net.covers(Eid::host(8, Ipv4Addr::new(10, 1, 200, 1))));
        assert!(!net.covers(Eid::new(7, Ipv4Addr::new(10, 0, 0, 0), 8)));
        assert!(!Eid::new(7, Ipv4Addr::UNSPECIFIED, 0).covers(Eid::host(7, Ipv6Addr::LOCALHOST)));
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        assert!(Eid::new(0, Mac::default(), 0).covers(Eid::host(0, mac)));
        assert_eq!(Eid::host(0, mac).to_string(), "02:00:00:00:00:09/48");
    }

    #[test]
    fn the_mask_of_an_instance_id_counts_only_where_no_address_follows() {
        let mut written = Lcaf::instance(7, Ipv4Addr::new(10, 1, 2, 3));
        written.header.reserved2 = 32;
        let host = Eid::host(7, Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(Eid::read(&written.into(), 32), Some(host));
        let mut range = Lcaf::instance(0x700, Address::None);
        range.header.reserved2 = 24;
        assert_eq!(Eid::read(&range.into(), 0), None);
    }
}
