//! What can go wrong at the edges.

use std::io;
use std::path::PathBuf;

/// Why a router cannot start or do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TUN cannot be made or used, or a socket cannot be opened.
    #[error(transparent)]
    Offload(#[from] offload::Error),
    /// The kernel refuses a link, an address or a route.
    #[error("the kernel refuses to {what}: {source}")]
    Netlink {
        /// What was asked.
        what: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The router is not running any more.
    #[error("the router has stopped; start it again")]
    Stopped,
}
