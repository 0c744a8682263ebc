//! Opening of connections.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};

use super::shared::{Closer, Shared};
use super::stream::Stream;
use super::{Client, ClientError, driver};
use crate::connection::{Config, Connection};

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// Settings of the connection: versions, keepalive.
    pub connection: Config,
    /// How long opening the socket and agreeing on a version may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Events that wait for a slow listener before the oldest is dropped.
    pub event_capacity: usize,
}

impl Default for Options {
    /// Five seconds to connect, thirty for an answer, 1024 events.
    fn default() -> Self {
        Self {
            connection: Config::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            event_capacity: 1024,
        }
    }
}

impl Client {
    /// Connects to `unix:PATH` or `tcp:HOST:PORT`.
    ///
    /// # Errors
    /// The target has another form, cannot be reached, or speaks no version of ours.
    pub async fn connect(target: &str, options: Options) -> Result<Self, ClientError> {
        let limit = options.connect_timeout;
        let open = async {
            let opened = if let Some(path) = target.strip_prefix("unix:") {
                UnixStream::connect(path).await.map(Stream::Unix)
            } else if let Some(address) = target.strip_prefix("tcp:") {
                TcpStream::connect(address).await.and_then(|s| {
                    s.set_nodelay(true)?;
                    Ok(Stream::Tcp(s))
                })
            } else {
                return Err(ClientError::Target(target.to_owned()));
            };
            let stream = opened.map_err(|source| ClientError::Connect {
                target: target.to_owned(),
                source,
            })?;
            Self::over(stream, options).await
        };
        tokio::time::timeout(limit, open)
            .await
            .unwrap_or(Err(ClientError::Timeout(limit)))
    }

    /// Connects to a switch's unix socket: for OVS `RUNDIR/BRIDGE.mgmt`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_unix(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let target = format!("unix:{}", path.as_ref().display());
        Self::connect(&target, Options::default()).await
    }

    /// Connects to a switch that listens on TCP, `HOST:PORT`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_tcp(address: &str) -> Result<Self, ClientError> {
        Self::connect(&format!("tcp:{address}"), Options::default()).await
    }

    async fn over(stream: Stream, options: Options) -> Result<Self, ClientError> {
        let connection = Connection::new(options.connection.clone(), Instant::now());
        let shared = Arc::new(Shared::new(stream, connection, options));
        let mut status = shared.status.subscribe();
        let driver = tokio::spawn(driver::run(Arc::clone(&shared)));
        let client = Self {
            shared,
            _closer: Arc::new(Closer(driver.abort_handle())),
        };
        // The sender lives as long as the client, so waiting cannot fail for its absence.
        if let Ok(status) = status.wait_for(Option::is_some).await
            && let Some(Err(reason)) = status.as_ref()
        {
            return Err(reason.clone().into());
        }
        Ok(client)
    }
}
