//! What can go wrong with devices and sockets.

use std::io;
use std::net::SocketAddr;

/// Why a device or a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TUN or TAP cannot be made or used.
    #[error(
        "cannot {what} for the {kind} {name:?}: {source}; be root in the network namespace, and let /dev/net/tun be writable"
    )]
    Device {
        /// TUN or TAP.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A socket cannot be opened.
    #[error(
        "cannot use UDP at {address}: {source}; is the address this host's, and is the port free?"
    )]
    Socket {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}
