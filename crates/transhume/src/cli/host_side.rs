//! What runs as a service, and the diagnosis tools.

use clap::{Args, Subcommand, ValueEnum};
use model::{HostName, SiteName};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Flags go before what the configuration file says.
#[derive(Debug, Args)]
#[command(after_help = "\
Limits and windows are a table of the configuration, until others are set with `transhume limits set`:
  [limits.uplink]
  at_once = 1
  [limits.windows]
  south = ['22:00/04:00']

Example:
  transhume serve --config /etc/transhume/controller.toml")]
pub(crate) struct ServeArgs {
    /// Configuration, TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Socket of the API
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Where agents dial in
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Folder for the store and the CA
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
}

/// Flags go before what the configuration file says.
#[derive(Debug, Args)]
#[command(after_help = "\
A new host needs a token once, from `transhume host join-token`.

In a machine that others move, without a switch and without a controller, the agent watches for another place and renews
address, tunnel and names (docs/watchdog.md):
  transhume agent --role guest-watchdog --config /etc/transhume/watchdog.toml
  transhume agent --role guest-watchdog --status

Example:
  transhume agent --config /etc/transhume/agent.toml")]
pub(crate) struct AgentArgs {
    /// What it is
    #[arg(long, value_enum, default_value_t)]
    pub(crate) role: Role,
    /// Show how the watchdog of this machine stands, where --config or the usual place has its status
    #[arg(long)]
    pub(crate) status: bool,
    /// Configuration, TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The controller's port for agents
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) controller: Option<SocketAddr>,
    /// This host's name
    #[arg(long)]
    pub(crate) host: Option<HostName>,
    /// The site that it belongs to
    #[arg(long)]
    pub(crate) site: Option<SiteName>,
    /// Folder for keys and sockets
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// File with the join token; read only until the host has joined
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The agent of a host: its switch and its VMs
    #[default]
    Host,
    /// In a guest: notices another place, renews address, tunnel and names
    GuestWatchdog,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DecodeCommand {
    /// Read OpenFlow messages as hex, one or several on a line; print JSON, a message a line
    #[command(name = "openflow")]
    OpenFlow(OpenFlowArgs),
    /// Read LISP messages or packets as hex, a UDP payload on a line; print JSON, one a line
    Lisp(LispArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Spaces, tabs and colons between digits do not matter, nor does a leading 0x; empty lines and lines
that begin with # are skipped. A line that cannot be decoded is named on stderr, the others are
still printed, and the exit code is 1.

Examples:
  echo 0400000800000001 | transhume decode openflow
  transhume decode openflow --reencode captured.hex | diff captured.hex -")]
pub(crate) struct OpenFlowArgs {
    /// Print the bytes again, as encoded from what was understood
    #[arg(long)]
    pub(crate) reencode: bool,
    /// File with hex lines; by default, or as -, stdin
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Spaces, tabs and colons between digits do not matter, nor does a leading 0x; empty lines and lines
that begin with # are skipped. A line that cannot be decoded is named on stderr, the others are
still printed, and the exit code is 1. Authentication is shown, not verified.

Examples:
  echo 20000000 0000000000000001 | transhume decode lisp
  tshark -r lisp.pcap -Y lisp -T fields -e udp.payload | transhume decode lisp
  transhume decode lisp --as data packets.hex")]
pub(crate) struct LispArgs {
    /// Print the bytes again, as encoded from what was understood
    #[arg(long)]
    pub(crate) reencode: bool,
    /// What the lines hold
    #[arg(long = "as", value_enum, default_value_t)]
    pub(crate) contents: LispContents,
    /// File with hex lines; by default, or as -, stdin
    pub(crate) file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LispContents {
    /// Control messages: UDP port 4342
    #[default]
    Control,
    /// Data packets: UDP port 4341
    Data,
    /// VXLAN-GPE packets: UDP port 4790
    Gpe,
}
