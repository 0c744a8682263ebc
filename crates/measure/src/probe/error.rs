//! Why a probe cannot start.

use std::net::SocketAddr;

/// Why a probe cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The configuration makes no sense.
    #[error("the probe's configuration is refused: {0}")]
    Config(String),
    /// A socket could not be made.
    #[error(
        "cannot open a socket towards {address}: {source}; check addresses and routes of this namespace"
    )]
    Socket {
        /// The VM's address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// A VM did not take its TCP session.
    #[error(
        "'{name}' does not take a TCP session at {address}: {source}; check that it runs and echoes"
    )]
    Connect {
        /// The VM.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// The cause of the last attempt.
        source: std::io::Error,
    },
    /// A thread could not be made.
    #[error("cannot start a thread: {0}; check the limit on processes")]
    Thread(std::io::Error),
}
