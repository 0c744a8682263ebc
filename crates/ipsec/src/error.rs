//! What goes wrong with IPsec.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with IPsec.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the caller asks for cannot be.
    #[error("{0}")]
    Config(String),
    /// A file or folder of the run directory.
    #[error("{path}: {cause}; check that the folder exists and belongs to this user")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A program cannot be started, or refused.
    #[error(transparent)]
    Program(#[from] daemon::Error),
    /// The kernel has no ESP and it was demanded.
    #[error(
        "this kernel has no ESP with XFRM interfaces; load esp4 and xfrm_interface, or use IPsec in user space"
    )]
    NoKernelEsp,
    /// charon ended, or gave no answer, while it was started.
    #[error("strongSwan's charon did not start: {0}")]
    Start(String),
    /// The conversation with charon broke.
    #[error(
        "strongSwan's charon gave no answer to {command}: {why}; it is started again when it has ended"
    )]
    Silent {
        /// The VICI command.
        command: String,
        /// Why.
        why: String,
    },
    /// charon does not want what it was told.
    #[error("strongSwan's charon refused {command}: {why}")]
    Vici {
        /// The VICI command.
        command: String,
        /// Its words.
        why: String,
    },
    /// The part that looks after charon has ended.
    #[error("IPsec was ended; start it again")]
    Ended,
}
