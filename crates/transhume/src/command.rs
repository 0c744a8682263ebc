//! What each command does: ask, then show.

mod clusters;
mod decode;
mod dns;
mod flows;
mod inventory;
mod journeys;
mod lab;
mod limits;
mod lisp;
mod security;
mod services;
mod underlay;
mod watchdog;
mod xtr;

use crate::cli::{Cli, Command, Format, HostCommand, ListOf, Output, Role, VmCommand};
use crate::failure::{Exit, Failure};
use crate::{connect, logging};
use api::Client;
use clap::CommandFactory;
use std::future::Future;

/// What a client's command needs.
pub(crate) struct Asking {
    pub(crate) client: Client,
    pub(crate) format: Format,
}

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let service = matches!(
        command,
        Command::Serve(_) | Command::Agent(_) | Command::Xtr(_) | Command::Wireguard(_)
    );
    logging::start(global.log_format, if service { "info" } else { "warn" });
    let format = global.output.format();
    let dot = global.output == Output::Dot;
    if dot && !matches!(command, Command::Topology(_)) {
        return Err(Failure::new(
            Exit::Usage,
            "only the topology can be drawn with `-o dot`",
            "use `-o table` or `-o json` here",
        ));
    }
    let ask = || {
        Ok::<_, Failure>(Asking {
            client: connect::client(&global)?,
            format,
        })
    };
    match command {
        Command::Cluster(command) => wait(clusters::run(ask()?, command)),
        Command::Link(args) => wait(clusters::link(ask()?, args)),
        Command::Update(args) => wait(clusters::update(ask()?, args)),
        Command::Unlink(args) => wait(clusters::unlink(ask()?, args)),
        Command::Vm(VmCommand::List(of)) => wait(inventory::vms(ask()?, of)),
        Command::Vm(VmCommand::Find { host }) => wait(inventory::find(ask()?, host)),
        Command::Endpoint(ListOf::List(of)) => wait(inventory::endpoints(ask()?, of)),
        Command::Host(HostCommand::List) => wait(inventory::hosts(ask()?)),
        Command::Host(HostCommand::JoinToken) => wait(inventory::join_token(ask()?)),
        Command::Host(HostCommand::Remove { host, with_members }) => {
            wait(underlay::remove(ask()?, host, with_members))
        }
        Command::Site(ListOf::List(_)) => wait(inventory::sites(ask()?)),
        Command::Topology(args) => wait(flows::topology(ask()?, args, dot)),
        Command::Flows(args) => wait(flows::flows(ask()?, args)),
        Command::Trace(args) => wait(flows::trace(ask()?, args)),
        Command::Plan(args) => wait(journeys::plan(ask()?, args)),
        Command::Migrate(args) => wait(journeys::migrate(ask()?, args)),
        Command::Migration(command) => wait(journeys::run(ask()?, command)),
        Command::Limits(command) => wait(limits::run(ask()?, command)),
        Command::Lisp(command) => wait(lisp::run(ask()?, command)),
        Command::Underlay(command) => wait(underlay::run(ask()?, command)),
        Command::Dns(command) => wait(dns::run(ask()?, command)),
        Command::Events(args) => wait(journeys::events(ask()?, args)),
        Command::Serve(args) => services::serve(args),
        Command::Agent(args) if args.role == Role::GuestWatchdog => watchdog::run(args, format),
        Command::Agent(args) => services::agent(args),
        Command::Wireguard(args) => services::wireguard(args),
        Command::Xtr(args) => xtr::run(args, format),
        Command::Experiment(command) => lab::experiment(command, format),
        Command::Lab(args) => lab::run(args, format),
        Command::Decode(command) => decode::run(command),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "transhume", &mut script);
            crate::output::text(&String::from_utf8_lossy(&script))
        }
    }
}

/// Runs a client's command; one thread is enough for it.
fn wait(doing: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::of(Exit::Failed, &error))?
        .block_on(doing)
}
