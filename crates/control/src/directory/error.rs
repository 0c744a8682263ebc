//! Why the directory refuses something, and the way out.

use model::{ClusterName, Epoch, HostName, Mac, VmName};
use std::net::IpAddr;

/// A change that was refused. The directory is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The cluster is not known.
    #[error("there is no cluster '{0}': create it first")]
    NoSuchCluster(ClusterName),
    /// The cluster has no such member.
    #[error("cluster '{cluster}' has no member '{vm}': link it first, or correct the name")]
    NoSuchMember {
        /// The cluster.
        cluster: ClusterName,
        /// The name that was given.
        vm: VmName,
    },
    /// The member's name is taken.
    #[error(
        "cluster '{cluster}' has a member '{vm}' already, on host '{host}': unlink that one first, or choose another name"
    )]
    NameTaken {
        /// The cluster.
        cluster: ClusterName,
        /// The name.
        vm: VmName,
        /// Where its holder is.
        host: HostName,
    },
    /// An Ethernet address is taken.
    #[error(
        "Ethernet address {mac} is member '{holder}' of cluster '{cluster}': give the new member another one"
    )]
    MacTaken {
        /// The address.
        mac: Mac,
        /// The cluster.
        cluster: ClusterName,
        /// Who has it.
        holder: VmName,
    },
    /// An IP address is taken.
    #[error(
        "address {ip} belongs to member '{holder}' of cluster '{cluster}': give the new member another one"
    )]
    IpTaken {
        /// The address.
        ip: IpAddr,
        /// The cluster.
        cluster: ClusterName,
        /// Who has it.
        holder: VmName,
    },
    /// A virtual network identifier is taken.
    #[error(
        "virtual network {vni} belongs to cluster '{holder}': choose another one, or leave it out and one is chosen"
    )]
    VniTaken {
        /// The identifier.
        vni: u32,
        /// The cluster that has it.
        holder: ClusterName,
    },
    /// A virtual network identifier that tunnels cannot carry.
    #[error("virtual network {0} does not exist: use 1 to {max}, or leave it out and one is chosen", max = super::MAX_VNI)]
    BadVni(u32),
    /// An MTU that is too small.
    #[error("an MTU of {0} leaves no room for IPv6: give the uplinks a larger MTU, so that members get at least {min}", min = super::MIN_MTU)]
    BadMtu(u16),
    /// The network has members.
    #[error("cluster '{cluster}' has members: unlink them first")]
    NetInUse {
        /// The cluster.
        cluster: ClusterName,
    },
    /// An Ethernet address that no endpoint can have.
    #[error(
        "member '{vm}' cannot have Ethernet address {mac}: use one of a single station, for example 52:54:00:00:00:01"
    )]
    BadMac {
        /// The member.
        vm: VmName,
        /// The address.
        mac: Mac,
    },
    /// An IP address that no endpoint can have.
    #[error(
        "member '{vm}' cannot have address {ip}: use one of a single host (not multicast, loopback, unspecified or a network's own)"
    )]
    BadIp {
        /// The member.
        vm: VmName,
        /// The address.
        ip: IpAddr,
    },
    /// One member gives an address twice.
    #[error("member '{vm}' gives address {ip} twice: give it once")]
    IpTwice {
        /// The member.
        vm: VmName,
        /// The address.
        ip: IpAddr,
    },
    /// An agent reports an epoch that cannot have been given out.
    #[error("epoch {} was never given out: remove the agent's state file and let it dial in again", .0.0)]
    BadEpoch(Epoch),
}
