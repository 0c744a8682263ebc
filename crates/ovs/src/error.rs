//! What can go wrong on a host, with the way out in each message.

use model::{ClusterName, Encap, VmName};
use std::net::IpAddr;
use std::path::PathBuf;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something on the host could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network namespace could not be made or entered.
    #[error("network namespace: cannot {what}; it needs CAP_SYS_ADMIN (root, or a user namespace)")]
    Namespace {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The thread that works in the namespace has ended.
    #[error("the thread that works in the host's network namespace has ended; restart the agent")]
    NamespaceGone,
    /// A kernel setting could not be written.
    #[error("cannot write {path}; the agent needs CAP_NET_ADMIN in its network namespace")]
    Sysctl {
        /// The file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A network interface is not there.
    #[error("there is no interface '{0}' in the host's network namespace; compare with `ip link`")]
    NoLink(String),
    /// The kernel refused something about links, addresses, routes or neighbours.
    #[error("the kernel refused to {what}")]
    Netlink {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<rtnetlink::Error>,
    },
    /// A tap device could not be made or opened.
    #[error("tap {ifname}: cannot {what}; check that /dev/net/tun can be read and written")]
    Tap {
        /// The device.
        ifname: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The kernel did not take the long queue that a waiting port needs.
    #[error(
        "tap {ifname} has a queue of {found} packets where {wanted} are needed; free the name and link again"
    )]
    Queue {
        /// The device.
        ifname: String,
        /// Its queue, packets.
        found: u32,
        /// The queue that was asked for, packets.
        wanted: u32,
    },
    /// A packet socket failed.
    #[error("packet socket on {ifname}: cannot {what}; it needs CAP_NET_RAW")]
    Packet {
        /// The interface.
        ifname: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program of Open vSwitch could not be started.
    #[error("cannot start {program}; install openvswitch-switch, or look at {log}")]
    Daemon {
        /// The program.
        program: &'static str,
        /// Its log file.
        log: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program of Open vSwitch ended at start, or did not answer in time.
    #[error("{program} did not come up ({why}); look at {log}")]
    DaemonSilent {
        /// The program.
        program: &'static str,
        /// What it said or did.
        why: String,
        /// Its log file.
        log: PathBuf,
    },
    /// The control socket of ovs-vswitchd failed.
    #[error("control socket {path}: {why}; is ovs-vswitchd running?")]
    Control {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// ovs-vswitchd refused a control command.
    #[error("ovs-vswitchd refused '{command}': {answer}")]
    ControlRefused {
        /// The command with its arguments.
        command: String,
        /// Its answer.
        answer: String,
    },
    /// The uplinks carry less than a member's packets need.
    #[error(
        "an MTU of {inner} in the cluster's network needs {needed} on the uplinks ({encap} adds {overhead}), \
         but {uplink} carries {found}: raise it to {needed}, or use an MTU of at most {most} in the cluster"
    )]
    Mtu {
        /// Largest IP packet of a member, bytes.
        inner: u16,
        /// What the tunnel adds, bytes.
        overhead: u16,
        /// The encapsulation's name.
        encap: &'static str,
        /// What the uplinks would have to carry, bytes.
        needed: u32,
        /// The narrowest uplink.
        uplink: String,
        /// What it carries, bytes.
        found: u16,
        /// What a member could use at most, bytes.
        most: u16,
    },
    /// The configuration of the host does not fit together.
    #[error("host configuration: {0}")]
    Config(String),
    /// The switch database failed.
    #[error("switch database: {what}")]
    Database {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The switch refused rules, or its OpenFlow connection failed.
    #[error(
        "OpenFlow: cannot {what}; what should be installed is kept and is installed when the switch answers again"
    )]
    OpenFlow {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// ovs-vswitchd could not make a port.
    #[error("ovs-vswitchd could not make port {ifname}: {why}; look at its log")]
    Port {
        /// The port.
        ifname: String,
        /// What the database says about it.
        why: String,
    },
    /// The member has no port here.
    #[error("member {vm} of cluster {cluster} has no port on this host; link it first")]
    NotLinked {
        /// The cluster.
        cluster: ClusterName,
        /// The member.
        vm: VmName,
    },
    /// The member is linked here in another way.
    #[error("member {vm} of cluster {cluster} is already linked here as {found}; unlink it first")]
    LinkedOtherwise {
        /// The cluster.
        cluster: ClusterName,
        /// The member.
        vm: VmName,
        /// What is there.
        found: String,
    },
    /// An underlay neighbour does not answer.
    #[error(
        "no Ethernet address for underlay neighbour {address} after {waited_ms} ms; is it up, and on the \
         network of the uplinks? A gateway's can be set in the host configuration"
    )]
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// How long was waited.
        waited_ms: u64,
    },
    /// No address of the host can carry tunnels.
    #[error("the host has no underlay address for {0}; add one of that family to `underlay`")]
    NoUnderlay(IpAddr),
    /// What the host keeps of the directory could not be read or written.
    #[error("cannot keep the host's part of the directory in {path}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A packet that is traced has no place to come in.
    #[error(transparent)]
    NoWayIn(#[from] crate::trace::NoWayIn),
    /// No free port number is left.
    #[error("no free OpenFlow port number is left on icint0; unlink members that are not needed")]
    PortsExhausted,
}

impl Error {
    pub(crate) fn not_linked(key: &(ClusterName, VmName)) -> Self {
        Self::NotLinked {
            cluster: key.0.clone(),
            vm: key.1.clone(),
        }
    }

    pub(crate) fn database(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Database {
            what: what.into(),
            source: Box::new(source),
        }
    }

    pub(crate) fn openflow(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::OpenFlow {
            what: what.into(),
            source: Box::new(source),
        }
    }
}

/// The name that messages use for an encapsulation's port.
pub(crate) fn tunnel_name(encap: Encap) -> String {
    format!("enc-{}", encap.as_str())
}
