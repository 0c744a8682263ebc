//! The listening side: a unix socket for this machine, TLS with a token for others.
//!
//! There is no TCP without TLS. What a request means is in `routes`; here are the sockets, the
//! limits that hold for every connection, and nothing of HTTP beyond them.

mod tls;
mod token;
mod unix;

pub use tls::TlsServer;
pub use unix::UnixServer;

use crate::Service;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Connections at one time on one listener; more wait in the kernel's backlog.
const CONNECTIONS: usize = 512;

/// A client must have sent a request's headers within this time.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// Why a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process answers on the socket.
    #[error(
        "a controller answers at {} already: stop it, or choose another socket for this one",
        path.display()
    )]
    AlreadyServed {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is in the way; it is left alone.
    #[error("{} exists and is no socket: remove it, or choose another place", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Longer than the 107 bytes that Linux allows (unix(7)).
    #[error(
        "the socket path {} is longer than the 100 bytes that can be used: choose a shorter one",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The socket could not be made.
    #[error("cannot listen at {}: {source}; check that its folder exists and is yours", path.display())]
    Unix {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address could not be taken.
    #[error("cannot listen at {address}: {source}; check that it is this machine's and free")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A token that anybody could guess.
    #[error(
        "the API token has fewer than 16 characters: take a longer one, for example 32 random hex digits"
    )]
    WeakToken,
}

/// Serves the API on a unix socket that only this user can open (mode 0600). Takes over a socket
/// that nobody answers on. Runs until dropped; the socket file goes with it.
pub async fn serve_unix(path: &Path, service: Arc<dyn Service>) -> Result<(), ServeError> {
    UnixServer::bind(path).await?.serve(service).await;
    Ok(())
}

/// Serves the API over TLS to clients that carry the bearer token. Runs until dropped.
pub async fn serve_tls(
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
    token: &str,
    service: Arc<dyn Service>,
) -> Result<(), ServeError> {
    TlsServer::bind(address, tls, token)
        .await?
        .serve(service)
        .await;
    Ok(())
}

/// Speaks HTTP/1.1 on one connection until it ends.
async fn converse<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let outcome = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = outcome {
        tracing::debug!(%error, "an API connection ended early");
    }
}

/// Accepting failed: out of file descriptors, mostly. Wait a little instead of spinning.
async fn accept_failed(error: std::io::Error) {
    tracing::warn!(%error, "cannot accept an API connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
