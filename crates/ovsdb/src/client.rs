//! The client: requests over a connection that is opened again whenever it breaks.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Value as Json, json};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use crate::{
    connection::{DEFAULTS, RawUpdate, Shared},
    error::Error,
    monitor::{Monitor, MonitorSpec},
    op::{Op, OpResult, Select, read_results},
    remote::Remote,
    row::Row,
    schema::Schema,
};

/// Limits of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a request waits for a connection before [`Error::Unreachable`]; 10 s.
    pub connect_timeout: Duration,
    /// How long one attempt to connect may take, TLS included; 5 s.
    pub attempt_timeout: Duration,
    /// After this much silence the server is asked for an echo, after as much again the connection is closed; 5 s.
    pub probe_interval: Duration,
    /// Pause after the first failed attempt; doubles up to `backoff_max`; 10 ms.
    pub backoff_min: Duration,
    /// Longest pause between attempts; 1 s.
    pub backoff_max: Duration,
    /// Longest accepted message in bytes; 256 MiB. The first answer to a monitor holds all its rows.
    pub message_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        DEFAULTS
    }
}

/// State of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not connected; the client tries.
    Connecting {
        /// Failed attempts in a row.
        attempts: u32,
        /// Why the last attempt failed or the last connection ended.
        cause: String,
    },
    /// Connected.
    Connected {
        /// Counts the connections from 1.
        generation: u64,
    },
}

/// A client of one server. Clones share its connection, which is kept open and opened again until the last
/// clone and the last [`Monitor`] are dropped.
///
/// All methods may be called from many tasks at once and may be cancelled; what was sent may then still be
/// done. None but the waiting for a connection has a deadline.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.remote())
    }
}

impl Client {
    /// Connects with the default [`Options`].
    ///
    /// # Errors
    /// As [`Client::connect_with`].
    pub async fn connect(remote: Remote) -> Result<Self, Error> {
        Self::connect_with(remote, Options::default()).await
    }

    /// Connects; waits while nobody listens.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after `connect_timeout`.
    pub async fn connect_with(remote: Remote, options: Options) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(remote, options));
        let task = tokio::spawn(shared.clone().run()).abort_handle();
        let client = Self {
            handle: Arc::new(Handle { shared, task }),
        };
        client.connected().await?;
        Ok(client)
    }

    /// The state of the connection, and its changes.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared().state.subscribe()
    }

    /// Where the server is.
    pub fn remote(&self) -> &Remote {
        &self.shared().remote
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after `connect_timeout`.
    pub async fn connected(&self) -> Result<(), Error> {
        let waited = self.shared().options.connect_timeout;
        let mut state = self.state();
        let connected = state.wait_for(|state| matches!(state, ConnectionState::Connected { .. }));
        match tokio::time::timeout(waited, connected).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let cause = match &*self.shared().state.borrow() {
                    ConnectionState::Connecting { cause, .. } => cause.clone(),
                    ConnectionState::Connected { .. } => String::new(),
                };
                Err(Error::Unreachable {
                    remote: self.remote().to_string(),
                    waited,
                    cause,
                })
            }
        }
    }

    /// Any request of RFC 7047 4.1; `params` is an array.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Disconnected`], [`Error::Rpc`].
    pub async fn request(&self, method: &str, params: Json) -> Result<Json, Error> {
        self.request_for(method, params, None).await
    }

    pub(crate) async fn request_for(
        &self,
        method: &str,
        params: Json,
        monitor: Option<(u64, mpsc::Sender<RawUpdate>)>,
    ) -> Result<Json, Error> {
        let answer = loop {
            match self.shared().send(method, params.clone(), monitor.clone()) {
                Some(answer) => break answer,
                None => self.connected().await?,
            }
        };
        match answer.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(Error::Rpc {
                method: method.to_owned(),
                error,
            }),
            Err(_) => Err(Error::Disconnected {
                remote: self.remote().to_string(),
                method: method.to_owned(),
            }),
        }
    }

    /// Names of the server's databases.
    ///
    /// # Errors
    /// As [`Client::request`], and [`Error::Shape`].
    pub async fn list_dbs(&self) -> Result<Vec<String>, Error> {
        let result = self.request("list_dbs", json!([])).await?;
        serde_json::from_value(result).map_err(|e| Error::Shape {
            method: "list_dbs".to_owned(),
            what: e.to_string(),
        })
    }

    /// The schema of a database.
    ///
    /// # Errors
    /// As [`Client::request`], and [`Error::Shape`].
    pub async fn get_schema(&self, db: &str) -> Result<Schema, Error> {
        Schema::from_json(&self.request("get_schema", json!([db])).await?)
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn echo(&self) -> Result<(), Error> {
        self.request("echo", json!([])).await.map(drop)
    }

    /// Runs operations as one transaction: all of them or none. One result for each.
    ///
    /// # Errors
    /// [`Error::Transaction`] when it failed and nothing was done; else as [`Client::request`], where
    /// [`Error::Disconnected`] means that it may have been done.
    pub async fn transact(
        &self,
        db: &str,
        ops: impl IntoIterator<Item = impl Into<Op>>,
    ) -> Result<Vec<OpResult>, Error> {
        let mut params = vec![json!(db)];
        params.extend(ops.into_iter().map(|op| op.into().into_json()));
        let count = params.len() - 1;
        read_results(&self.request("transact", Json::Array(params)).await?, count)
    }

    /// Reads rows, in a transaction of its own.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn select(&self, db: &str, select: Select) -> Result<Vec<Row>, Error> {
        Ok(self
            .transact(db, [select])
            .await?
            .pop()
            .unwrap_or_default()
            .rows)
    }

    /// Starts to monitor; returns with the first snapshot.
    ///
    /// # Errors
    /// As [`Client::request`], and those of reading the answer.
    pub async fn monitor(&self, spec: MonitorSpec) -> Result<Monitor, Error> {
        Monitor::start(self.clone(), spec).await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}
