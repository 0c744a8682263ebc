//! Addresses that belong to a peer.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ip_network::IpNetwork;

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no prefix; write an address, or one with its length as in 10.0.0.0/8")]
pub struct NoPrefix(String);

/// A range of addresses: an address and how many bits of it count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNetwork);

impl Prefix {
    /// A range; bits behind the length are forgotten. Nothing if the length is more than the address has.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        IpNetwork::new_truncate(address, length).ok().map(Self)
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.0.network_address()
    }

    /// Bits that count.
    pub fn length(&self) -> u8 {
        self.0.netmask()
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    pub(crate) fn network(self) -> IpNetwork {
        self.0
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::host(address)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, NoPrefix> {
        let wrong = || NoPrefix(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let Some(length) = length else {
            return Ok(Self::host(address));
        };
        let length = length.parse().map_err(|_| wrong())?;
        Self::new(address, length).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_written_and_looked_into() {
        let prefix: Prefix = "10.1.2.3/8".parse().unwrap();
        assert_eq!(prefix.to_string(), "10.0.0.0/8");
        assert!(prefix.contains([10, 200, 0, 1].into()));
        assert!(!prefix.contains([11, 0, 0, 1].into()));
        assert!(!prefix.contains("::".parse().unwrap()));
        let host: Prefix = "fd00::7".parse().unwrap();
        assert_eq!(
            (host.to_string().as_str(), host.length()),
            ("fd00::7/128", 128)
        );
        for wrong in [
            "",
            "10.0.0.0/33",
            "fd00::/129",
            "ten/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }
}
