//! The `transhume` binary: argument parsing and output only.
//!
//! - `cli` says what can be typed, `command` does it: each command asks the controller through
//!   [`api::Client`], or hands over to the crate that does the work (`serve`, `agent`, `lab`,
//!   `decode`).
//! - `show` turns answers into tables and sentences, `watch` follows a migration.
//! - `failure` says how commands end: the exit codes, and one clear sentence with the way out.

mod cli;
mod command;
mod connect;
mod failure;
mod logging;
mod output;
mod show;
mod units;
mod watch;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The lab starts this program again as the first process of its box; nothing may come before.
    if let Some(code) = lab::run_if_hidden() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let cli = cli::Cli::parse();
    let format = cli.global.output.format();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}
