//! Other people's programs, run in a network namespace: to their end ([`Host::run`]), or beside us
//! ([`Daemon`]).
//!
//! What is not here: what they are told, and when one is started again.

mod host;
mod process;

pub use host::Host;
pub use process::Daemon;

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace is not there.
    #[error("{path}: {cause}; check that the network namespace exists")]
    Netns {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A program cannot be started.
    #[error(
        "{program} cannot be started: {cause}; install it (scripts/setup.sh names the package)"
    )]
    Program {
        /// Which.
        program: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A program that ran to its end did not succeed.
    #[error("`{what}` was refused: {why}")]
    Refused {
        /// The command.
        what: String,
        /// Its own words.
        why: String,
    },
}
