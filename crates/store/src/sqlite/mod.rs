//! The embedded engine: one SQLite file, one process, one connection behind a mutex.
//!
//! Why a mutex and no writer thread: a transaction takes less time than handing it to a thread
//! and waiting for the answer. Why an exclusive lock on the file: two controllers on one file
//! would each believe their memory; the second one is told so instead. The lock is the kernel's
//! and goes with the process, however it ends.

mod feed;
mod schema;

use crate::{
    Compare, KeyValue, Listing, MAX_KEY, MAX_VALUE, Op, Revision, Store, StoreError, Txn, Watch,
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What an acknowledged transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, also by kill -9. After a power cut the last transactions may be
    /// missing, but the file is whole. Tens of microseconds a transaction.
    #[default]
    Process,
    /// A power cut as well: each transaction waits for the disk.
    Power,
}

/// The embedded engine. Clones share one connection.
#[derive(Clone)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Mutex<Connection>,
    /// Wakes watchers after a transaction; closed when the last [`Sqlite`] is dropped.
    latest: watch::Sender<Revision>,
}

impl Shared {
    /// A panic cannot leave a transaction half made (it rolls back when dropped), so a poisoned
    /// lock is as good as a fresh one.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sqlite {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a process has it open, [`StoreError::TooNew`] when a later
    /// version wrote it, [`StoreError::Open`] when it cannot be opened or is no store.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, Durability::default())
    }

    /// Opens or makes the file, with a choice of what a transaction survives.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        let connection = schema::open(path.as_ref(), durability)?;
        Self::new(connection)
    }

    /// A store that lives as long as its process, for tests and dry runs.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when SQLite cannot start.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::new(schema::in_memory()?)
    }

    fn new(connection: Connection) -> Result<Self, StoreError> {
        let (latest, _) = watch::channel(schema::revision(&connection)?);
        Ok(Self {
            shared: Arc::new(Shared {
                connection: Mutex::new(connection),
                latest,
            }),
        })
    }

    /// Forgets changes up to `revision`; watches cannot begin before it any more. The engine does
    /// this by itself for all but the last ten thousand or so revisions.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when SQLite fails.
    pub fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let mut connection = self.shared.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let upto = Revision(revision.0.min(schema::revision(&tx)?.0));
        schema::compact(&tx, upto)?;
        tx.commit()?;
        Ok(())
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite")
            .field("revision", &*self.shared.latest.borrow())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        find(&self.shared.lock(), key)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let mut connection = self.shared.lock();
        let tx = connection.transaction()?;
        let revision = schema::revision(&tx)?;
        let mut statement =
            tx.prepare_cached("SELECT key, value, created, modified FROM kv WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key")?;
        let items = statement
            .query_map(params![prefix.as_bytes(), end_of(prefix)], key_value)?
            .collect::<Result<_, _>>()?;
        Ok(Listing { revision, items })
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, StoreError> {
        check(&txn)?;
        let mut connection = self.shared.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for compare in &txn.compare {
            check_condition(&tx, compare)?;
        }
        let before = schema::revision(&tx)?;
        let revision = Revision(before.0 + 1);
        let mut changes = 0u64;
        for op in &txn.ops {
            changes += apply(&tx, op, revision, changes)?;
        }
        if changes == 0 {
            return Ok(before);
        }
        schema::set_revision(&tx, revision)?;
        tx.commit()?;
        // Inside the lock, so that watchers hear of revisions in their order.
        self.shared.latest.send_replace(revision);
        Ok(revision)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, StoreError> {
        let connection = self.shared.lock();
        let latest = schema::revision(&connection)?;
        if from > latest {
            return Err(StoreError::Ahead { from, latest });
        }
        schema::check_kept(&connection, from)?;
        Ok(Watch::new(feed::LogFeed::new(&self.shared, prefix, from)))
    }
}

fn check(txn: &Txn) -> Result<(), StoreError> {
    let check_key = |key: &str| {
        if (1..=MAX_KEY).contains(&key.len()) {
            Ok(())
        } else {
            Err(StoreError::BadKey(key.len()))
        }
    };
    for compare in &txn.compare {
        check_key(compare.key())?;
    }
    let mut put = BTreeSet::new();
    for op in &txn.ops {
        match op {
            Op::Put { key, value } => {
                check_key(key)?;
                if value.len() > MAX_VALUE {
                    return Err(StoreError::TooLarge {
                        key: key.clone(),
                        bytes: value.len(),
                    });
                }
                if !put.insert(key) {
                    return Err(StoreError::PutTwice(key.clone()));
                }
            }
            Op::Delete { key } => check_key(key)?,
            Op::DeletePrefix { .. } => {}
        }
    }
    Ok(())
}

fn check_condition(connection: &Connection, wanted: &Compare) -> Result<(), StoreError> {
    let found = find(connection, wanted.key())?;
    let holds = match (wanted, &found) {
        (Compare::Exists(_), found) => found.is_some(),
        (Compare::Missing(_), found) => found.is_none(),
        (Compare::ModifiedAt(_, revision), Some(found)) => found.modified == *revision,
        (Compare::Value(_, value), Some(found)) => found.value == *value,
        (Compare::ModifiedAt(..) | Compare::Value(..), None) => false,
    };
    if holds {
        Ok(())
    } else {
        Err(StoreError::Conflict {
            wanted: wanted.clone(),
            found: found.map(|f| f.modified),
        })
    }
}

/// Makes one change and returns how many keys it changed; `seq` numbers changes in a transaction.
fn apply(
    connection: &Connection,
    op: &Op,
    revision: Revision,
    seq: u64,
) -> Result<u64, StoreError> {
    match op {
        Op::Put { key, value } => {
            connection
                .prepare_cached(
                    "INSERT INTO kv (key, value, created, modified) VALUES (?1, ?2, ?3, ?3) \
                     ON CONFLICT (key) DO UPDATE SET value = ?2, modified = ?3",
                )?
                .execute(params![key.as_bytes(), value, revision])?;
            log(connection, revision, seq, key.as_bytes(), Some(value))?;
            Ok(1)
        }
        Op::Delete { key } => {
            let gone = connection
                .prepare_cached("DELETE FROM kv WHERE key = ?1")?
                .execute(params![key.as_bytes()])?;
            if gone == 1 {
                log(connection, revision, seq, key.as_bytes(), None)?;
            }
            Ok(gone as u64)
        }
        Op::DeletePrefix { prefix } => {
            let mut statement = connection.prepare_cached(
                "DELETE FROM kv WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) RETURNING key",
            )?;
            let mut keys = statement
                .query_map(params![prefix.as_bytes(), end_of(prefix)], |row| {
                    row.get::<_, Vec<u8>>(0)
                })?
                .collect::<Result<Vec<_>, _>>()?;
            keys.sort();
            for (key, seq) in keys.iter().zip(seq..) {
                log(connection, revision, seq, key, None)?;
            }
            Ok(keys.len() as u64)
        }
    }
}

fn log(
    connection: &Connection,
    revision: Revision,
    seq: u64,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO log (revision, seq, key, value) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![revision, seq as i64, key, value])?;
    Ok(())
}

fn find(connection: &Connection, key: &str) -> Result<Option<KeyValue>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT key, value, created, modified FROM kv WHERE key = ?1")?;
    Ok(statement
        .query_row(params![key.as_bytes()], key_value)
        .optional()?)
}

fn key_value(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    Ok(KeyValue {
        key: text(row.get(0)?),
        value: row.get(1)?,
        created: row.get(2)?,
        modified: row.get(3)?,
    })
}

/// Keys are kept as bytes so that they sort and cut as bytes; only text is ever put.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
}

/// The first byte string after all those that begin with `prefix`; none when there is no end.
fn end_of(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    // Text never holds 0xff, so the last byte can always grow.
    *end.last_mut()? += 1;
    Some(end)
}
