//! What hosts' tunnels run in: the secure underlay, and each host's part of it.
//!
//! A host has an *outer* address, which the networks between sites know, and an *inner* one, which only the
//! secure underlay knows. Locators are inner addresses, so a move never needs another key.

use crate::{HostName, SiteName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// How packets between the hosts of two sites are protected.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// WireGuard, by the agent itself.
    #[default]
    Wireguard,
    /// IPsec, by strongSwan.
    Ipsec,
    /// Not at all: who sees the wire reads what guests say. For labs.
    None,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wireguard, Self::Ipsec, Self::None];

    /// Its word in configuration files and on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wireguard => "wireguard",
            Self::Ipsec => "ipsec",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no underlay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no underlay: use wireguard, ipsec or none")]
pub struct InvalidMethod(pub String);

impl FromStr for Method {
    type Err = InvalidMethod;
    fn from_str(text: &str) -> Result<Self, InvalidMethod> {
        let found = Self::ALL.into_iter().find(|method| method.as_str() == text);
        found.ok_or_else(|| InvalidMethod(text.to_owned()))
    }
}

/// A host's part of the secure underlay, as its agent tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its address inside, given by the controller when it joined.
    pub inner: IpAddr,
    /// Where its WireGuard is reached from outside.
    pub outer: SocketAddr,
    /// Its WireGuard public keys, base64; the one that it begins sessions with first. Two while one takes the
    /// place of the other.
    pub keys: Vec<String>,
    /// Whether it may turn up at other outer addresses by itself, as a host behind a NAT does.
    #[serde(default)]
    pub roams: bool,
    /// Whether it has IPsec.
    #[serde(default)]
    pub ipsec: bool,
}

/// Another host, as one host must know it to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name; that of its certificate too.
    pub host: HostName,
    /// How the two protect what they send each other.
    pub method: Method,
    /// Its part.
    #[serde(flatten)]
    pub part: Part,
}

/// Everything that a host must know of the secure underlay. Who is not in it has no access.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Grows with every change; an older one than was taken is ignored.
    pub version: u64,
    /// The other hosts, by name.
    pub peers: Vec<Peer>,
}

/// A step of a key's rotation at its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum KeyStep {
    /// Make a new key and be reached by it too. The same key again where one was made already.
    Make,
    /// Begin sessions with this one of the two from now on.
    Use {
        /// The public key, base64.
        key: String,
    },
    /// Forget all keys but this one.
    Keep {
        /// The public key, base64.
        key: String,
    },
}

/// How it stands between a host and another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The other one.
    pub host: HostName,
    /// How what they send each other is protected.
    pub method: Method,
    /// Where it was heard last.
    pub endpoint: Option<SocketAddr>,
    /// Age of the session's keys, s; none where there is no session.
    pub age_s: Option<u64>,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// Which underlay between which sites.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Where nothing else is said.
    #[serde(default)]
    pub default: Method,
    /// Other ones, by pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
}

/// Two sites and the underlay between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The two; the same one twice for hosts of one site.
    pub sites: [SiteName; 2],
    /// The underlay.
    pub method: Method,
}

impl Policy {
    /// The underlay between two sites.
    pub fn between(&self, one: &SiteName, other: &SiteName) -> Method {
        let meant = |pair: &&Pair| {
            let [a, b] = &pair.sites;
            (a == one && b == other) || (a == other && b == one)
        };
        self.pairs
            .iter()
            .find(meant)
            .map_or(self.default, |pair| pair.method)
    }

    /// Whether nothing is protected anywhere: hosts then need no part in a secure underlay.
    pub fn is_open(&self) -> bool {
        let mut all = self.pairs.iter().map(|pair| pair.method);
        self.default == Method::None && all.all(|method| method == Method::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_goes_before_the_default_in_either_order() {
        let policy: Policy = serde_json::from_str(
            r#"{"pairs": [{"sites": ["north", "south"], "method": "ipsec"}]}"#,
        )
        .unwrap();
        let site = |name: &str| SiteName::new(name).unwrap();
        assert_eq!(
            policy.between(&site("south"), &site("north")),
            Method::Ipsec
        );
        assert_eq!(
            policy.between(&site("south"), &site("office")),
            Method::Wireguard
        );
        assert!(!policy.is_open());
    }

    #[test]
    fn words_of_underlays_are_read_and_others_refused() {
        for method in Method::ALL {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
        assert!("vpn".parse::<Method>().is_err());
    }
}
