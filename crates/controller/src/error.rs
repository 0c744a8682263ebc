//! Why the controller does not start, or ends.

use api::ServeError;
use identity::IdentityError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use store::StoreError;

/// Why the controller does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The authority or a certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds contradicts itself.
    #[error(transparent)]
    Directory(#[from] control::directory::InvalidSnapshot),
    /// The API's sockets.
    #[error(transparent)]
    Api(#[from] ServeError),
    /// The agents' port.
    #[error(
        "cannot listen for agents at {address}: {cause}; check that it is this machine's and free"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// The Map-Server's sockets.
    #[error(
        "cannot listen for LISP messages at {address}: {cause}; check that it is this machine's and free"
    )]
    Lisp {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// Solicitations would name no address.
    #[error("the Map-Server has no address of its own: set `address` in [lisp], or listen at one")]
    LispAddress,
    /// Dynamic DNS.
    #[error("dynamic DNS: {0}")]
    Dns(#[from] ::dns::edge::EdgeError),
    /// A folder or file.
    #[error("{}: {cause}; check that it exists and belongs to this user", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Limits that no migration could keep to.
    #[error("the limits of the configuration: {0}")]
    Limits(#[from] model::limits::InvalidLimits),
    /// TCP without a token.
    #[error(
        "api_listen is set without api_token_file: name a file with a token of 16 characters or more"
    )]
    NoToken,
    /// A certificate for every address of the machine.
    #[error("api_listen is {0} and api_name is not set: name what clients reach this machine by")]
    NoName(SocketAddr),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
}
