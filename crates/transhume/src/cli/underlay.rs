//! What hosts' tunnels run in.

use clap::{Args, Subcommand};
use model::HostName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum UnderlayCommand {
    /// Show who takes part, and how it stands between hosts
    Show,
    /// Replace keys while packets flow
    #[command(after_help = ROTATE)]
    Rotate {
        /// Hosts; all of them, one after the other, when none is named
        hosts: Vec<HostName>,
    },
}

const ROTATE: &str = "\
A new key is known everywhere before it is used, and the old one is forgotten after that. A host
that is away holds this up; both keys are good until it is back, and the command is given again.

Example:
  transhume underlay rotate north-1";

/// Started by the agent.
#[derive(Debug, Args)]
pub(crate) struct WireguardArgs {
    /// Folder with what it is started with
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}
