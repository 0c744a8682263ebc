//! Watches: a reader of the log that sleeps until the revision grows.
//!
//! The log is the queue, so a slow watcher costs no memory and a fast one misses nothing.

use super::{Shared, end_of, schema, text};
use crate::watch::Feed;
use crate::{Batch, Change, Revision, StoreError};
use async_trait::async_trait;
use rusqlite::params;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

pub(super) struct LogFeed {
    /// Weak, so that a watch does not keep a closed store's file locked.
    shared: Weak<Shared>,
    latest: watch::Receiver<Revision>,
    prefix: Vec<u8>,
    end: Option<Vec<u8>>,
    /// Everything up to here was told or does not concern the prefix.
    seen: Revision,
}

impl LogFeed {
    pub(super) fn new(shared: &Arc<Shared>, prefix: &str, from: Revision) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            latest: shared.latest.subscribe(),
            prefix: prefix.as_bytes().to_vec(),
            end: end_of(prefix),
            seen: from,
        }
    }

    /// The next batch that is already there.
    fn read(&mut self) -> Result<Option<Batch>, StoreError> {
        let shared = self.shared.upgrade().ok_or(StoreError::Closed)?;
        let connection = shared.lock();
        schema::check_kept(&connection, self.seen)?;
        let latest = schema::revision(&connection)?;
        let mut statement = connection.prepare_cached(
            "SELECT revision, key, value FROM log WHERE revision = \
               (SELECT min(revision) FROM log WHERE revision > ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)) \
             AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY seq",
        )?;
        let mut rows = statement.query(params![self.seen, self.prefix, self.end])?;
        let mut changes = Vec::new();
        let mut revision = latest;
        while let Some(row) = rows.next()? {
            revision = row.get(0)?;
            let key = text(row.get(1)?);
            changes.push(match row.get::<_, Option<Vec<u8>>>(2)? {
                Some(value) => Change::Put { key, value },
                None => Change::Delete { key },
            });
        }
        self.seen = revision;
        Ok(if changes.is_empty() {
            None
        } else {
            Some(Batch { revision, changes })
        })
    }
}

#[async_trait]
impl Feed for LogFeed {
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            // Marked before reading, so that a transaction in between wakes us again.
            self.latest.mark_unchanged();
            if let Some(batch) = self.read()? {
                return Ok(batch);
            }
            self.latest
                .changed()
                .await
                .map_err(|_| StoreError::Closed)?;
        }
    }
}
