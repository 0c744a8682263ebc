//! Ethernet addresses. IP addresses are the standard library's.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// An Ethernet address (IEEE 802 MAC-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an Ethernet address: write six hex pairs, as in 52:54:00:12:34:56")]
pub struct InvalidMac(pub String);

impl Mac {
    /// True for group addresses (multicast and broadcast), which no endpoint can have.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The IPv6 link-local address that an interface with this address gives itself by default
    /// (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, g] = self.0;
        Ipv6Addr::from([
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 2,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            g,
        ])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let bad = || InvalidMac(text.to_owned());
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(bad()),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;
    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_has_the_link_local_address_that_linux_gives_it() {
        let mac: Mac = "52:54:00:77:00:01".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5054:ff:fe77:1");
    }

    #[test]
    fn a_mac_survives_text_and_bad_text_is_refused() {
        let mac: Mac = "52:54:00:77:00:0a".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:77:00:0a");
        for bad in [
            "",
            "52:54:00:77:00",
            "52:54:00:77:00:0a:01",
            "5:54:00:77:00:0a",
            "zz:54:00:77:00:0a",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
