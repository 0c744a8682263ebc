//! Ethernet addresses and port numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::DecodeError;
use crate::wire::{Reader, Wire, Writer};

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All ones.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The group bit alone: as value and mask it matches every multicast and broadcast frame.
    pub const GROUP_BIT: Self = Self([1, 0, 0, 0, 0, 0]);
    /// All zeros.
    pub const ZERO: Self = Self([0; 6]);
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> Self {
        mac.0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Ethernet address; write it like 02:00:00:00:00:01")]
pub struct MacAddrError(String);

impl FromStr for MacAddr {
    type Err = MacAddrError;
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let error = || MacAddrError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            Err(error())
        } else {
            Ok(Self(octets))
        }
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Wire for MacAddr {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.array()?))
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.0);
    }
}

/// A port number of OpenFlow 1.1 and later: 32 bits, the last 256 with names.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl PortNo {
    /// Highest number of an ordinary port.
    pub const MAX: Self = Self(0xffff_ff00);
    /// The port that the packet came in on. Output to it must be said explicitly.
    pub const IN_PORT: Self = Self(0xffff_fff8);
    /// To the first flow table (packet-out only).
    pub const TABLE: Self = Self(0xffff_fff9);
    /// The switch's own learning pipeline.
    pub const NORMAL: Self = Self(0xffff_fffa);
    /// All ports of the VLAN but the one it came from.
    pub const FLOOD: Self = Self(0xffff_fffb);
    /// All ports but the one it came from.
    pub const ALL: Self = Self(0xffff_fffc);
    /// A packet-in to the controller.
    pub const CONTROLLER: Self = Self(0xffff_fffd);
    /// The bridge's own port.
    pub const LOCAL: Self = Self(0xffff_fffe);
    /// Any port, or none: wildcard in requests.
    pub const ANY: Self = Self(0xffff_ffff);

    /// The name of a reserved number.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::IN_PORT => "in_port",
            Self::TABLE => "table",
            Self::NORMAL => "normal",
            Self::FLOOD => "flood",
            Self::ALL => "all",
            Self::CONTROLLER => "controller",
            Self::LOCAL => "local",
            Self::ANY => "any",
            _ => return None,
        })
    }
}

impl From<u32> for PortNo {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<PortNo> for u32 {
    fn from(port: PortNo) -> Self {
        port.0
    }
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PortNo {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => s.serialize_str(name),
            None => s.serialize_u32(self.0),
        }
    }
}

impl Wire for PortNo {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.u32()?))
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.u32(self.0);
    }
}
