//! The LISP tunnel router.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Without a command: run the router in this network namespace until it is interrupted.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
A host that is endpoint 10.2.0.5 of instance 7, wherever it is, behind locator 192.0.2.1:
  rlocs = [{ address = '192.0.2.1' }]
  xtr_id = '1f'
  site_id = 9
  map_resolvers = [{ address = '203.0.113.1' }]
  eids = [{ prefix = '10.2.0.5/32', instance = 7 }]
  socket = '/run/transhume/xtr.sock'
  state = '/var/lib/transhume/xtr.json'

  [[instances]]
  id = 7
  tun = 'lisp7'
  addresses = ['10.2.0.5/32']     # left out where endpoints are behind this host
  routes = ['10.2.0.0/16']        # what is sent into the overlay

  [[map_servers]]
  address = '203.0.113.1'
  key_file = '/etc/transhume/lisp.key'

All keys are in docs/xtr.md. Needs /dev/net/tun and the right to make network devices: root, or the
root of a user namespace.

Examples:
  transhume xtr --config xtr.toml
  transhume xtr status
  transhume xtr status -o json | jq '.packets | with_entries(select(.key | startswith(\"drop\")))'")]
pub(crate) struct XtrArgs {
    /// What to do instead of running the router
    #[command(subcommand)]
    pub(crate) command: Option<XtrCommand>,
    /// Configuration, TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum XtrCommand {
    /// Show endpoints, map-cache, locators and counters of a running router
    Status {
        /// Its socket
        #[arg(long, value_name = "PATH", default_value = "/run/transhume/xtr.sock")]
        socket: PathBuf,
    },
}
