//! Values as text: `02:00:00:00:00:01`, `10.0.0.0/255.255.255.0`, `0x7`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

use super::{Format, Oxm};
use crate::address::{MacAddr, PortNo};
use crate::wire::Blob;

impl Oxm {
    fn format(&self) -> Format {
        self.field().info().map_or(Format::Hex, |info| info.format)
    }

    fn show(&self, bytes: &[u8], format: Format, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (format, super::value::number(bytes)) {
            (Format::Decimal, Some(n)) => write!(f, "{n}"),
            (Format::Port, Some(n)) if n <= u128::from(u32::MAX) => {
                write!(f, "{}", PortNo(n as u32))
            }
            (Format::Mac, _) => match <[u8; 6]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", MacAddr(octets)),
                Err(_) => write!(f, "{}", Blob::from(bytes)),
            },
            (Format::Ipv4, _) => match <[u8; 4]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", Ipv4Addr::from(octets)),
                Err(_) => write!(f, "{}", Blob::from(bytes)),
            },
            (Format::Ipv6, _) => match <[u8; 16]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", Ipv6Addr::from(octets)),
                Err(_) => write!(f, "{}", Blob::from(bytes)),
            },
            (_, Some(n)) => write!(f, "{n:#x}"),
            (_, None) => write!(f, "0x{}", Blob::from(bytes)),
        }
    }
}

/// The value, and behind a slash the mask if there is one.
impl fmt::Display for Oxm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match (self.format(), self.mask()) {
            (Format::Decimal | Format::Port, Some(_)) => Format::Hex,
            (format, _) => format,
        };
        self.show(self.value(), format, f)?;
        if let Some(mask) = self.mask() {
            f.write_str("/")?;
            self.show(mask, format, f)?;
        }
        Ok(())
    }
}

/// `eth_dst=02:00:00:00:00:01`.
impl fmt::Debug for Oxm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={self}", self.field())
    }
}

/// The value alone: a number for decimal fields, else text.
pub(crate) struct OxmValue<'a>(pub(crate) &'a Oxm);

impl Serialize for OxmValue<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let oxm = self.0;
        if oxm.mask().is_none()
            && let Some(n) = oxm.number().and_then(|n| u64::try_from(n).ok())
        {
            match oxm.format() {
                Format::Decimal => return s.serialize_u64(n),
                Format::Port if n <= u64::from(PortNo::MAX.0) => return s.serialize_u64(n),
                _ => {}
            }
        }
        s.collect_str(oxm)
    }
}

/// `{"eth_dst": "02:00:00:00:00:01"}`.
impl Serialize for Oxm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([(self.field().name(), OxmValue(self))])
    }
}
