//! Addresses as LISP writes them: an address family number (AFI) and what it says.
//!
//! Endpoint identifiers and locators have the same form. An identifier that is a prefix has its
//! length elsewhere in the message; [`Eid`](crate::Eid) brings the two together.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::lcaf::Lcaf;
use crate::wire::{Blob, Reader, Writer};

/// Address family numbers of IANA's registry that LISP uses.
pub mod afi {
    /// No address follows.
    pub const NONE: u16 = 0;
    /// IPv4.
    pub const IPV4: u16 = 1;
    /// IPv6.
    pub const IPV6: u16 = 2;
    /// A name that ends with a zero byte (RFC 9735).
    pub const NAME: u16 = 17;
    /// LISP canonical address format (RFC 8060).
    pub const LCAF: u16 = 16387;
    /// 48-bit MAC (RFC 7042).
    pub const MAC: u16 = 16389;
}

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Ethernet address; write it like 02:00:00:00:00:01")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(error()),
        }
    }
}

/// An address with its family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Address {
    /// There is none: AFI 0.
    #[default]
    None,
    /// IPv4.
    Ipv4(Ipv4Addr),
    /// IPv6.
    Ipv6(Ipv6Addr),
    /// Ethernet.
    Mac(Mac),
    /// A name, without the zero byte that ends it on the wire.
    Name(Blob),
    /// A structured address: with an instance id, behind NAT, a list, and others.
    Lcaf(Box<Lcaf>),
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::Ipv4(address)
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Self::Ipv6(address)
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl From<Mac> for Address {
    fn from(address: Mac) -> Self {
        Self::Mac(address)
    }
}

impl From<Lcaf> for Address {
    fn from(address: Lcaf) -> Self {
        Self::Lcaf(Box::new(address))
    }
}

impl Address {
    /// The address if it is a plain IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ipv4(address) => Some((*address).into()),
            Self::Ipv6(address) => Some((*address).into()),
            _ => None,
        }
    }

    /// Bits that a prefix of this address can have; nothing where prefixes make no sense here.
    pub fn width(&self) -> Option<u8> {
        match self {
            Self::Ipv4(_) => Some(32),
            Self::Ipv6(_) => Some(128),
            Self::Mac(_) => Some(48),
            Self::Lcaf(lcaf) => lcaf.inner().and_then(Self::width),
            Self::None | Self::Name(_) => None,
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let start = r.clone();
        Ok(match r.u16(field)? {
            afi::NONE => Self::None,
            afi::IPV4 => Self::Ipv4(r.array::<4>(field)?.into()),
            afi::IPV6 => Self::Ipv6(r.array::<16>(field)?.into()),
            afi::MAC => Self::Mac(Mac(r.array(field)?)),
            afi::NAME => {
                let here = r.peek();
                let need = here.len() + 1;
                let end = here.iter().position(|byte| *byte == 0);
                let name = r.take(field, end.unwrap_or(need))?;
                r.u8(field)?;
                Self::Name(name.into())
            }
            afi::LCAF => Self::Lcaf(Box::new(Lcaf::decode(r)?)),
            afi => return Err(start.error(field, DecodeErrorKind::AddressFamily { afi })),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::None => w.u16(afi::NONE),
            Self::Ipv4(address) => {
                w.u16(afi::IPV4);
                w.bytes(&address.octets());
            }
            Self::Ipv6(address) => {
                w.u16(afi::IPV6);
                w.bytes(&address.octets());
            }
            Self::Mac(address) => {
                w.u16(afi::MAC);
                w.bytes(&address.0);
            }
            Self::Name(name) => {
                if let Some(at) = name.iter().position(|byte| *byte == 0) {
                    w.fail(EncodeError::Name { at });
                }
                w.u16(afi::NAME);
                w.bytes(name);
                w.u8(0);
            }
            Self::Lcaf(lcaf) => {
                w.u16(afi::LCAF);
                w.nested(|w| lcaf.encode(w));
            }
        }
    }

    /// Reads an address behind the length of its prefix, which must not be longer than it.
    pub(crate) fn decode_prefix(
        r: &mut Reader<'_>,
        field: &'static str,
        length: u8,
    ) -> Result<Self, DecodeError> {
        let start = r.clone();
        let address = Self::decode(r, field)?;
        match address.width() {
            Some(limit) if length > limit => {
                Err(start.error(field, DecodeErrorKind::MaskLength { length, limit }))
            }
            _ => Ok(address),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => s.serialize_none(),
            Self::Ipv4(address) => s.collect_str(address),
            Self::Ipv6(address) => s.collect_str(address),
            Self::Mac(address) => s.collect_str(address),
            Self::Name(name) => {
                let mut map = s.serialize_map(Some(1))?;
                match std::str::from_utf8(name) {
                    Ok(text) => map.serialize_entry("name", text)?,
                    Err(_) => map.serialize_entry("name_hex", name)?,
                }
                map.end()
            }
            Self::Lcaf(lcaf) => lcaf.serialize(s),
        }
    }
}
