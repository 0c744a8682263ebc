//! What goes wrong with a bridge.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with a bridge.
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
    /// openvpn ended while it was started.
    #[error("openvpn did not start: {0}")]
    Start(String),
    /// openvpn's management interface gave no answer.
    #[error("openvpn gave no answer: {0}; it is started again when it has ended")]
    Silent(String),
    /// The part that looks after openvpn has ended.
    #[error("the bridge was ended; start it again")]
    Ended,
}
