//! The papers' experiments.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Paper B's third scenario: live moves of VMs of its sizes, found through LISP
    Scenario3(Scenario3Args),
}

#[derive(Debug, Args)]
#[command(after_help = "\
A VM is twice on this machine while it moves: sizes for which there is no memory are left out, and said.

Examples:
  transhume experiment scenario3
  transhume experiment scenario3 --runs 2 --most-mib 2048 --report scenario3.json")]
pub(crate) struct Scenario3Args {
    /// Moves of each size, there and back in turn
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// Random data in each guest's memory, MiB, of which 500 pages are rewritten each second
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) used_mib: u32,
    /// Largest memory of a VM that is tried, MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) most_mib: u32,
    /// Write the rows here as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// The lab's folder [default: one of its own]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Folder with the guest: vmlinux and initramfs.cpio [default: target/guest]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) guest: Option<PathBuf>,
}
