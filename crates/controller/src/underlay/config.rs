//! Which underlay between which sites.

use model::cluster::Cidr;
use model::underlay::{Method, Pair, Policy};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Configuration of the secure underlay; WireGuard between all sites where nothing is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderlayConfig {
    /// The underlay between two sites where `pairs` says nothing. `none` for all of them is for labs: what VMs say to
    /// each other then crosses the WAN in clear.
    #[serde(default)]
    pub default: Method,
    /// Other ones between some sites.
    #[serde(default)]
    pub pairs: Vec<Pair>,
    /// The network of the addresses inside, IPv4; it must be free at every site. By default the range that
    /// carriers have for themselves (RFC 6598).
    #[serde(default = "pool")]
    pub pool: Cidr,
}

fn pool() -> Cidr {
    Cidr {
        address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)),
        prefix: 10,
    }
}

impl Default for UnderlayConfig {
    fn default() -> Self {
        Self {
            default: Method::default(),
            pairs: Vec::new(),
            pool: pool(),
        }
    }
}

impl UnderlayConfig {
    /// Which underlay between which sites.
    pub fn policy(&self) -> Policy {
        Policy {
            default: self.default,
            pairs: self.pairs.clone(),
        }
    }
}
