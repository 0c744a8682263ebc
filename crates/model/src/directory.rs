//! What the directory says: endpoint → (locator, epoch).

use crate::{ClusterName, Encap, HostName, Mac, SecurityRule, VmName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A version of one endpoint's place. Only grows; who sees an older one than it holds ignores it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Where an endpoint is reached now: a host, and the underlay address of its tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Locator {
    /// The host whose switch holds the endpoint's port.
    pub host: HostName,
    /// The underlay address that peers tunnel to.
    pub address: IpAddr,
}

/// What stands for a host where an endpoint is on none of ours, by what it is reached with: LISP's own data
/// packets, or VXLAN-GPE.
const OUTSIDE: &str = "lisp";
const OUTSIDE_GPE: &str = "lisp-gpe";

impl Locator {
    /// Of an endpoint that no host of ours holds: another LISP site does, at this routing locator. Hosts
    /// with a LISP gateway reach it.
    pub fn outside(address: IpAddr) -> Self {
        Self {
            host: HostName::reserved(OUTSIDE),
            address,
        }
    }

    /// The same, where the site's routers also speak VXLAN-GPE, which switches do by themselves.
    pub fn outside_gpe(address: IpAddr) -> Self {
        Self {
            host: HostName::reserved(OUTSIDE_GPE),
            address,
        }
    }

    /// True for an endpoint that no host of ours holds.
    pub fn is_outside(&self) -> bool {
        self.host.is_reserved()
    }

    /// True for one that is reached with VXLAN-GPE.
    pub fn is_gpe(&self) -> bool {
        self.host.as_str() == OUTSIDE_GPE
    }
}

impl HostName {
    /// True for the names that no host may have: they stand for what is outside.
    pub fn is_reserved(&self) -> bool {
        [OUTSIDE, OUTSIDE_GPE].contains(&self.as_str())
    }
}

/// The overlay network of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// The cluster whose network this is.
    pub cluster: ClusterName,
    /// Virtual network identifier on the tunnels, 1 to 2^24-1 (RFC 7348 section 5).
    pub vni: u32,
    /// How frames are carried between hosts.
    pub encap: Encap,
    /// Largest IP packet of a member, bytes.
    pub mtu: u16,
}

/// One endpoint and its place: a row of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The cluster that the endpoint is a member of.
    pub cluster: ClusterName,
    /// The member's name in the cluster.
    pub vm: VmName,
    /// The member's Ethernet address.
    pub mac: Mac,
    /// The member's addresses, IPv4 and IPv6; IPv6 link-local is allowed beside them.
    pub ips: Vec<IpAddr>,
    /// What may be opened to it and by it, wherever it is; everything where there is no rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<SecurityRule>,
    /// Where it is now.
    pub locator: Locator,
    /// The version of `locator` and `security`.
    pub epoch: Epoch,
    /// The controller's mark on what is above, hexadecimal, on rows that it has given to agents: what they give back
    /// later is believed for it. None inside the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

impl Entry {
    /// The key of the row: cluster and member.
    pub fn key(&self) -> (ClusterName, VmName) {
        (self.cluster.clone(), self.vm.clone())
    }

    /// The listed addresses and the link-local one that follows from the MAC (RFC 4291, appendix
    /// A), each once, in order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self.ips.iter().copied();
        let mut all: Vec<_> = listed.chain([IpAddr::V6(self.mac.link_local())]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What one host needs of the directory: the networks it takes part in, and all their endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slice {
    /// The networks with a member on the host.
    pub nets: Vec<Net>,
    /// Every endpoint of those networks.
    pub entries: Vec<Entry>,
}
