//! What a host's ports carry, and what it sends to each other host.

use crate::flows::{Counted, Rate};
use crate::{ClusterName, Encap, VmName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A host's ports and tunnels at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    /// Ports of both bridges.
    pub ports: Vec<PortSeen>,
    /// Hosts and routers that this host has rules towards.
    pub tunnels: Vec<TunnelSeen>,
}

/// A port of a switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortSeen {
    /// Its interface.
    pub name: String,
    /// What it is for.
    pub role: PortRole,
    /// Whether its link is up.
    pub up: bool,
    /// What has come in by it.
    pub received: Counted,
    /// What has gone out by it.
    pub sent: Counted,
    /// Dropped, both ways, packets.
    pub dropped: u64,
    /// What comes in now; none without a second reading.
    #[serde(default)]
    pub receives: Option<Rate>,
    /// What goes out now; none without a second reading.
    #[serde(default)]
    pub sends: Option<Rate>,
}

/// What a port is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum PortRole {
    /// A link to the underlay.
    Uplink,
    /// The tunnels of an encapsulation.
    Tunnels {
        /// The encapsulation.
        encap: Encap,
    },
    /// VXLAN-GPE to routers outside.
    Gpe,
    /// A member's.
    Member {
        /// Its cluster.
        cluster: ClusterName,
        /// The member.
        vm: VmName,
    },
    /// A network's LISP gateway.
    Gateway {
        /// Its cluster.
        cluster: ClusterName,
    },
    /// Anything else.
    Other,
}

/// What a host sends towards another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunnelSeen {
    /// The other end's underlay address.
    pub to: IpAddr,
    /// The network whose packets they are.
    pub cluster: ClusterName,
    /// How they are carried: `vxlan`, `gre`, `geneve`, `gpe`.
    pub carried: String,
    /// Whether the switch knows the neighbour that they go through. Without it they are swallowed.
    pub neighbour: bool,
    /// What has been sent, by the rules that lead there now.
    pub sent: Counted,
    /// What is sent now; none without a second reading.
    #[serde(default)]
    pub sends: Option<Rate>,
}
