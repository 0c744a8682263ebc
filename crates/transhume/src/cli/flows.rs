//! The flow view: rules, traces, topology.

use clap::{Args, ValueEnum};
use model::trace::Proto;
use model::{ClusterName, HostName};

const FLOWS: &str = "\
Every rule is compared with what the directory asks for: 'missing', 'changed', 'left over' and
'foreign' ones are marked.

Examples:
  transhume flows north-1 --cluster shop         the rules that serve one cluster
  transhume flows north-1 --table 30 --rates 2   where packets of local senders go, and how many now
  transhume flows north-1 --differing            only what is not as the directory asks";

const TRACE: &str = "\
Asks every switch on the way what it would do with the packet, by the rules that are really
installed. No packet is sent.

Examples:
  transhume trace shop/web1 shop/db1                        an echo request
  transhume trace shop/web1 10.77.0.12 --proto tcp --port 80 --both
  transhume trace shop/web1 shop/db1 --proto arp            who answers the question";

/// Which rules, and how.
#[derive(Debug, Args)]
#[command(after_help = FLOWS)]
pub(crate) struct FlowsArgs {
    /// The host
    pub(crate) host: HostName,
    /// Only rules that serve this cluster
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
    /// Only rules of this table
    #[arg(long, value_name = "N")]
    pub(crate) table: Option<u8>,
    /// Only rules that are not as the directory asks
    #[arg(long)]
    pub(crate) differing: bool,
    /// Count for this long and show rates
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) rates: Option<u32>,
    /// Show them again and again, with rates
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Which packet.
#[derive(Debug, Args)]
#[command(after_help = TRACE)]
pub(crate) struct TraceArgs {
    /// The sender: CLUSTER/MEMBER, or an address
    pub(crate) from: String,
    /// The receiver: CLUSTER/MEMBER, or an address
    pub(crate) to: String,
    /// What is sent
    #[arg(long, value_enum, default_value = "icmp")]
    pub(crate) proto: ProtoArg,
    /// The receiver's port, of tcp and udp
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// A packet of a known connection, where security rules matter, instead of one that opens it
    #[arg(long)]
    pub(crate) established: bool,
    /// The way back as well
    #[arg(long)]
    pub(crate) both: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtoArg {
    // Echo request.
    Icmp,
    // The segment that opens a connection.
    Tcp,
    // A datagram.
    Udp,
    // The question for an address, by ARP or neighbour discovery.
    Arp,
}

impl From<ProtoArg> for Proto {
    fn from(proto: ProtoArg) -> Self {
        match proto {
            ProtoArg::Icmp => Self::Icmp,
            ProtoArg::Tcp => Self::Tcp,
            ProtoArg::Udp => Self::Udp,
            ProtoArg::Arp => Self::Arp,
        }
    }
}

/// How the topology is asked for.
#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    /// Count for this long and show rates
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) rates: Option<u32>,
}

/// Seconds as ms.
fn seconds(text: &str) -> Result<u32, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.1..=60.0).contains(&seconds) {
        true => Ok((seconds * 1000.0) as u32),
        false => Err("give 0.1 to 60 seconds".to_owned()),
    }
}
