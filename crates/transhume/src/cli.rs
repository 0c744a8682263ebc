//! What can be typed. No behaviour: `command` does what is said here.

mod clusters;
mod dns;
mod experiment;
mod flows;
mod host_side;
mod lab;
mod limits;
mod lisp;
mod migrations;
mod security;
mod underlay;
mod xtr;

pub(crate) use clusters::{ClusterCommand, LinkArgs, OfCluster, UnlinkArgs, UpdateArgs};
pub(crate) use dns::DnsCommand;
pub(crate) use experiment::{ExperimentCommand, Scenario3Args};
pub(crate) use flows::{FlowsArgs, TopologyArgs, TraceArgs};
pub(crate) use host_side::{
    AgentArgs, DecodeCommand, LispArgs, LispContents, OpenFlowArgs, Role, ServeArgs,
};
pub(crate) use lab::{BenchArgs, CompareArgs, DemoArgs, ExecArgs, LabArgs, LabCommand, UpArgs};
pub(crate) use limits::LimitsCommand;
pub(crate) use lisp::{LispCommand, LispMappingCommand, LispSiteCommand, PutMapping, PutSite};
pub(crate) use migrations::{EventArgs, MigrateArgs, MigrationCommand, PlanArgs};
pub(crate) use security::SecurityArgs;
pub(crate) use underlay::{UnderlayCommand, WireguardArgs};
pub(crate) use xtr::{XtrArgs, XtrCommand};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Everything that talks to the machines keeps working: the same addresses, the same connections,
nothing lost.

Begin here:
  transhume lab up                               three sites and a WAN on this machine
  transhume cluster list                         what runs, and where
  transhume plan shop --to south                 what a migration would do
  transhume migrate shop --to south --watch      do it, live
  transhume topology                             where everything is now
  transhume trace shop/shop-1 shop/shop-2        how a packet gets there
  transhume lab down                             and all of it is gone

The controller is the one at --api, else that of the lab, else /run/transhume/api.sock.

Exit codes:
  0 done    1 failed    2 wrong usage or input    3 not found
  4 refused or in conflict, nothing was changed   5 who should answer does not";

const COMPLETION: &str = "\
Example:
  transhume completion bash > ~/.local/share/bash-completion/completions/transhume";

/// Moves running clusters of virtual machines between clouds
#[derive(Debug, Parser)]
#[command(name = "transhume", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// How to print
    #[arg(short, long, global = true, display_order = 100)]
    #[arg(value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Output,

    /// The controller: unix:PATH or https://HOST:PORT
    #[arg(long, global = true, display_order = 101, value_name = "ADDRESS")]
    #[arg(env = "TRANSHUME_API", hide_env_values = true)]
    pub(crate) api: Option<String>,

    /// Certificate (PEM) of the CA of a controller at https://
    #[arg(long, global = true, display_order = 102, value_name = "FILE")]
    #[arg(env = "TRANSHUME_API_CA", hide_env_values = true)]
    pub(crate) api_ca: Option<PathBuf>,

    /// File with the token for a controller at https://, else TRANSHUME_TOKEN
    #[arg(long, global = true, display_order = 103, value_name = "FILE")]
    #[arg(env = "TRANSHUME_API_TOKEN_FILE", hide_env_values = true)]
    pub(crate) api_token_file: Option<PathBuf>,

    /// How to log on stderr; TRANSHUME_LOG says what, for example debug
    #[arg(long, global = true, display_order = 104)]
    #[arg(value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    // For people.
    Table,
    // For programs.
    Json,
    // For graphviz; the topology only.
    Dot,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    // For people.
    Table,
    // For programs.
    Json,
}

impl Output {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Table | Self::Dot => Format::Table,
        }
    }
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // For people.
    Text,
    // For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show, make, change and remove clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Show VMs, and find those that libvirt has
    #[command(subcommand)]
    Vm(VmCommand),
    /// Show endpoints: the directory's rows
    #[command(subcommand)]
    Endpoint(ListOf<OfCluster>),
    /// Show hosts, and let new ones join
    #[command(subcommand)]
    Host(HostCommand),
    /// Show sites: the clouds that our own agents serve
    #[command(subcommand, alias = "cloud")]
    Site(ListOf<Nothing>),
    /// Show sites, hosts, what is on them and goes between them, as a tree or for graphviz
    Topology(TopologyArgs),
    /// Show the rules that a host's switch really has, and what each is for
    Flows(FlowsArgs),
    /// Show the way of a packet from one endpoint to another, rule by rule
    Trace(TraceArgs),

    /// Link one member to a cluster
    Link(LinkArgs),
    /// Change where an endpoint is reached, when something else has moved it
    Update(UpdateArgs),
    /// Unlink one member of a cluster; ends it, if it is a VM
    Unlink(UnlinkArgs),

    /// Say what a migration would do; changes nothing
    Plan(PlanArgs),
    /// Move a cluster to another site, live
    Migrate(MigrateArgs),
    /// Show, watch, pause and cancel migrations
    #[command(subcommand)]
    Migration(MigrationCommand),
    /// Show and change how many migrations run at once, what they may send, and when
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Show and change sites and mappings of the LISP Map-Server
    #[command(subcommand)]
    Lisp(LispCommand),
    /// Show and change what hosts' tunnels run in
    #[command(subcommand)]
    Underlay(UnderlayCommand),
    /// Show names that follow members in the DNS, and publish them again
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Show what happens
    Events(EventArgs),

    /// Run the controller
    Serve(ServeArgs),
    /// Run a host's agent
    Agent(AgentArgs),
    /// What an agent starts to encrypt
    #[command(hide = true)]
    Wireguard(WireguardArgs),
    /// Run a LISP tunnel router, or show what one does
    Xtr(XtrArgs),
    /// A complete test bed on this machine, without root
    Lab(LabArgs),
    /// The experiments of the papers, done again in the lab
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Make bytes of protocols readable
    #[command(subcommand)]
    Decode(DecodeCommand),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETION)]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// `list`, with what narrows it.
#[derive(Debug, Subcommand)]
pub(crate) enum ListOf<T: Args> {
    /// List them
    #[command(alias = "ls")]
    List(T),
}

/// Nothing to narrow.
#[derive(Debug, Args)]
pub(crate) struct Nothing {}

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// List them
    #[command(alias = "ls")]
    List(OfCluster),
    /// Find the domains that libvirt has on a host, with members for a cluster's file
    Find {
        /// The host
        host: model::HostName,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// List hosts
    #[command(alias = "ls")]
    List,
    /// Make a token with which one new host may join
    JoinToken,
    /// Remove a host: its certificate and its keys are good for nothing from then on
    #[command(alias = "rm")]
    Remove {
        /// The host
        host: model::HostName,
        /// Also when members of clusters are there, as on a host that is lost or stolen; they stay members
        #[arg(long)]
        with_members: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
