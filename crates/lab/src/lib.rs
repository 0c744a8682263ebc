//! The lab: a complete multi-site test bed on one machine, without root.
//!
//! A tour, from the bottom:
//!
//! - [`folder`]: the lab folder (sockets, logs, pid files, state), its marker and its lock.
//! - [`process`]: processes by identity, so that a recycled pid is never killed.
//! - [`preflight`]: what the host must have, one clear sentence for each lack.
//! - [`boxed`]: the box, namespaces whose end is the end of everything in them.
//! - [`net`]: the plan of sites, links and addresses, and making it real in a box.
//! - [`wan`]: the relay between the sites: gateway, delay, jitter, rate, loss.
//! - [`testbed`]: all of it together, up and down.
//! - [`parts`]: what runs at the sites: controller, agents, probes.
//! - [`shop`]: the cluster that is moved about.
//! - [`faults`]: what a live move survives.
//! - [`disk`]: images for the disks of its VMs.
//! - [`cli`]: the whole of it, as `transhume lab up` has it.
//! - [`demo`]: the cluster moved there and back under the eyes of a probe, and the report.
//!
//! What runs at the sites is started on top of that:
//!
//! ```no_run
//! use lab::boxed::{Program, SELF_EXE};
//! use lab::testbed::{Options, Testbed};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lab = Testbed::up(&Options::default())?;
//! let agent = Program::new("north", [SELF_EXE, "agent", "--site", "north"]);
//! lab.boxed().spawn("agent-north", &agent)?; // log/agent-north.log, run/agent-north.pid
//! let routes = lab.boxed().run(&Program::new("north", ["ip", "route"]))?;
//! lab::testbed::down(None)?;
//! # Ok(())
//! # }
//! ```
//! - [`bench`]: every figure that is promised, beside its target.
//! - [`compare`]: the same cluster moved by us and by `virsh migrate`.
//!
//! The lab's processes are this very binary, started again with a hidden subcommand: `main` calls
//! [`run_if_hidden`] before anything else.

pub mod bench;
pub mod boxed;
pub mod cli;
pub mod compare;
pub mod demo;
pub mod disk;
pub mod experiment;
pub mod faults;
pub mod folder;
pub mod net;
pub mod parts;
pub mod preflight;
pub mod process;
pub mod shop;
pub mod testbed;
pub mod wan;

/// Runs one of the lab's hidden subcommands when this process was started as one, and returns its
/// exit code; `None` otherwise. Must be the first thing `main` does: one of them unshares
/// namespaces, which a process with more than one thread cannot.
pub fn run_if_hidden() -> Option<i32> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next()?;
    let rest: Vec<_> = args.collect();
    match command.to_str()? {
        boxed::OUTER_COMMAND => Some(boxed::outer_main(&rest)),
        boxed::PROBE_COMMAND => Some(boxed::probe_main()),
        net::INSIDE_COMMAND => Some(net::inside_main()),
        wan::INSIDE_COMMAND => Some(wan::inside_main(&rest)),
        compare::INSIDE_COMMAND => Some(compare::inside_main(&rest)),
        bench::INSIDE_COMMAND => Some(bench::inside_main(&rest)),
        parts::PROBE_COMMAND => Some(parts::probe_main(&rest)),
        _ => None,
    }
}
