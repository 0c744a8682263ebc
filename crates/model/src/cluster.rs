//! Clusters and their members, as a user describes them and as the registry keeps them.

use crate::{ClusterName, HostName, Mac, SecurityRule, VmName, vm::VmSpec};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How the frames of a cluster travel between hosts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// VXLAN, RFC 7348: 50 bytes over IPv4, 70 over IPv6.
    #[default]
    Vxlan,
    /// GRE with key, RFC 2890: 42 bytes over IPv4, 62 over IPv6.
    Gre,
    /// Geneve without options, RFC 8926: 50 bytes over IPv4, 70 over IPv6.
    Geneve,
}

impl Encap {
    /// Bytes that the tunnel adds to an IP packet of a member, Ethernet header included.
    pub fn overhead(self, underlay_is_v6: bool) -> u16 {
        let v4 = match self {
            Self::Vxlan | Self::Geneve => 50,
            Self::Gre => 42,
        };
        if underlay_is_v6 { v4 + 20 } else { v4 }
    }

    /// The name that users write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Gre => "gre",
            Self::Geneve => "geneve",
        }
    }
}

/// What stands behind an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MemberKind {
    /// A VM that an agent runs; it has a port of its own and can move.
    Vm {
        /// How the VM is built, alike at every site.
        spec: VmSpec,
    },
    /// The host itself, through an internal port (paper A's vint0); it does not move by itself.
    Host,
}

/// One member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Name, unique in the cluster.
    pub name: VmName,
    /// The host where it was linked first; the directory tells where it is now.
    pub host: HostName,
    /// Ethernet address, unique in the cluster.
    pub mac: Mac,
    /// Addresses with prefix length, for example `10.77.0.11/24`; unique in the cluster.
    pub addresses: Vec<Cidr>,
    /// VMs of the cluster that switch over before this one when it moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<VmName>,
    /// What may be opened to it and by it; everything where there is no rule.
    #[serde(default)]
    pub security: Vec<SecurityRule>,
    /// What stands behind the endpoint.
    #[serde(flatten)]
    pub kind: MemberKind,
}

/// A cluster: one overlay network and its members, moved as one gang.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Name, unique.
    pub name: ClusterName,
    /// Virtual network identifier; the registry chooses one when it is 0.
    #[serde(default)]
    pub vni: u32,
    /// How frames travel between hosts.
    #[serde(default)]
    pub encap: Encap,
    /// The members.
    pub members: Vec<Member>,
}

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The member's own address (not the network's).
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

/// Text that is not an address with prefix length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address with prefix length: write it as in 10.77.0.11/24 or fd77::11/64")]
pub struct InvalidCidr(pub String);

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl std::str::FromStr for Cidr {
    type Err = InvalidCidr;
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let bad = || InvalidCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;
    fn try_from(text: String) -> Result<Self, InvalidCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}
