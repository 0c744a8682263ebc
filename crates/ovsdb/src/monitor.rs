//! Monitored tables: a snapshot and its changes, over every reconnect.

use std::{collections::BTreeMap, fmt, sync::atomic::Ordering};

use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;

use crate::{
    client::Client,
    connection::RawUpdate,
    error::Error,
    op::Condition,
    protocol::UpdateFormat,
    schema::Schema,
    snapshot::{Change, Columns, Snapshot},
};

/// Updates that may wait for a slow reader; beyond, it gets one resync in their place.
const QUEUE: usize = 1024;

/// What to monitor.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct MonitorSpec {
    db: String,
    columns: Columns,
    conditions: BTreeMap<String, Vec<Condition>>,
}

impl MonitorSpec {
    /// Nothing yet, of a database.
    pub fn new(db: &str) -> Self {
        Self {
            db: db.to_owned(),
            columns: Columns::new(),
            conditions: BTreeMap::new(),
        }
    }

    /// All columns of a table.
    pub fn table(mut self, table: &str) -> Self {
        self.columns.insert(table.to_owned(), None);
        self
    }

    /// These columns of a table; the fewer, the less is sent.
    pub fn columns<'a>(mut self, table: &str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = columns.into_iter().map(str::to_owned).collect();
        self.columns.insert(table.to_owned(), Some(columns));
        self
    }

    /// Only rows of a table for which this or another condition holds.
    pub fn when(mut self, table: &str, condition: Condition) -> Self {
        self.conditions
            .entry(table.to_owned())
            .or_default()
            .push(condition);
        self
    }

    fn requests(&self) -> Json {
        let mut requests = Map::new();
        for (table, columns) in &self.columns {
            let mut request = Map::new();
            if let Some(columns) = columns {
                request.insert("columns".to_owned(), json!(columns));
            }
            if let Some(conditions) = self.conditions.get(table) {
                request.insert(
                    "where".to_owned(),
                    conditions.iter().map(Condition::to_json).collect(),
                );
            }
            requests.insert(table.clone(), json!([request]));
        }
        Json::Object(requests)
    }
}

/// News from a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorEvent {
    /// One transaction's changes.
    Update(Vec<Change>),
    /// The tables were read anew, after a reconnect or because the reader had fallen behind; these are the
    /// changes since the last event, possibly none. [`Monitor::snapshot`] is complete.
    Resync(Vec<Change>),
}

impl MonitorEvent {
    /// The changes of either kind.
    pub fn changes(&self) -> &[Change] {
        match self {
            Self::Update(changes) | Self::Resync(changes) => changes,
        }
    }
}

/// A running monitor. Dropping it ends it at the server too.
pub struct Monitor {
    client: Client,
    spec: MonitorSpec,
    snapshot: Snapshot,
    feed: Option<Feed>,
}

/// The monitor of one connection.
struct Feed {
    registration: Registration,
    schema: Schema,
    updates: mpsc::Receiver<RawUpdate>,
}

struct Registration {
    client: Client,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.client.shared().cancel_monitor(self.id);
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("client", &self.client)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl Monitor {
    pub(crate) async fn start(client: Client, spec: MonitorSpec) -> Result<Self, Error> {
        let mut monitor = Self {
            client,
            spec,
            snapshot: Snapshot::default(),
            feed: None,
        };
        monitor.read_anew().await?;
        Ok(monitor)
    }

    /// The tables as of the last event.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Waits for the next change, through disconnections of any length. May be cancelled without loss.
    ///
    /// # Errors
    /// When the server refuses the monitor after a reconnect ([`Error::Rpc`]) or its answer cannot be read. The
    /// next call tries again.
    pub async fn next(&mut self) -> Result<MonitorEvent, Error> {
        loop {
            let Some(feed) = &mut self.feed else {
                match self.read_anew().await {
                    Ok(changes) => return Ok(MonitorEvent::Resync(changes)),
                    Err(Error::Unreachable { .. } | Error::Disconnected { .. }) => continue,
                    Err(e) => return Err(e),
                }
            };
            let Some(RawUpdate { format, tables }) = feed.updates.recv().await else {
                self.feed = None;
                continue;
            };
            match self
                .snapshot
                .update(&feed.schema, &self.spec.columns, format, &tables)
            {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => return Ok(MonitorEvent::Update(changes)),
                Err(e) => {
                    tracing::warn!(error = %e, id = feed.registration.id, "reading the tables anew");
                    self.feed = None;
                }
            }
        }
    }

    /// Waits until the snapshot satisfies a test; at once if it does.
    ///
    /// # Errors
    /// As [`Monitor::next`].
    pub async fn wait_until(
        &mut self,
        mut test: impl FnMut(&Snapshot) -> bool,
    ) -> Result<(), Error> {
        while !test(&self.snapshot) {
            self.next().await?;
        }
        Ok(())
    }

    /// Registers with the server and takes over its first answer.
    async fn read_anew(&mut self) -> Result<Vec<Change>, Error> {
        let schema = self.client.get_schema(&self.spec.db).await?;
        let id = self
            .client
            .shared()
            .next_monitor
            .fetch_add(1, Ordering::Relaxed);
        let registration = Registration {
            client: self.client.clone(),
            id,
        };
        let (sender, updates) = mpsc::channel(QUEUE);
        let params = json!([self.spec.db, id, self.spec.requests()]);
        let reader = Some((id, sender.clone()));
        let (format, tables) = match self
            .client
            .request_for("monitor_cond", params, reader)
            .await
        {
            Ok(tables) => (UpdateFormat::Differences, tables),
            Err(Error::Rpc { error, .. })
                if error.error == "unknown method" && self.spec.conditions.is_empty() =>
            {
                let params = json!([self.spec.db, id, self.spec.requests()]);
                (
                    UpdateFormat::Rows,
                    self.client
                        .request_for("monitor", params, Some((id, sender)))
                        .await?,
                )
            }
            Err(e) => return Err(e),
        };
        let mut snapshot = Snapshot::default();
        snapshot.update(&schema, &self.spec.columns, format, &tables)?;
        let changes = self.snapshot.difference(&snapshot);
        self.snapshot = snapshot;
        self.feed = Some(Feed {
            registration,
            schema,
            updates,
        });
        Ok(changes)
    }
}
