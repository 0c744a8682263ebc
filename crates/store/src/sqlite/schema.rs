//! The file: opening it, its tables, its format number.
//!
//! `kv` is the present, `log` the recent past for watches, `meta` one row of counters.

use super::Durability;
use crate::{Revision, StoreError};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, params};
use std::path::Path;
use std::time::Duration;

/// Format of the file, in SQLite's `user_version`.
const FORMAT: i64 = 1;
/// Revisions that the log keeps at least.
const KEEP: u64 = 10_000;
/// The log is cut when it is this much longer, so that cutting is rare.
const SLACK: u64 = 1_000;

const TABLES: &str = "
CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (revision INTEGER NOT NULL, seq INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, PRIMARY KEY (revision, seq)) WITHOUT ROWID;
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL, compacted INTEGER NOT NULL);
INSERT INTO meta (id, revision, compacted) VALUES (0, 0, 0);
";

pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse {
            path: path.to_owned(),
        },
        _ => StoreError::Open {
            path: path.to_owned(),
            source,
        },
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    // A predecessor that was just killed may still be in the kernel's hands for a moment.
    connection
        .busy_timeout(Duration::from_millis(200))
        .map_err(failed)?;
    connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(failed)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(failed)?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection
        .pragma_update(None, "synchronous", synchronous)
        .map_err(failed)?;
    let found = prepare(&mut connection).map_err(failed)?;
    if found > FORMAT {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    Ok(connection)
}

pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// Makes the tables in a new file and takes the lock in any; returns the file's format.
fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.set_prepared_statement_cache_capacity(32);
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "user_version", FORMAT)?;
    }
    tx.commit()?;
    Ok(if found == 0 { FORMAT } else { found })
}

pub(super) fn revision(connection: &Connection) -> Result<Revision, StoreError> {
    let mut statement = connection.prepare_cached("SELECT revision FROM meta")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Writes the new revision, and cuts the log when it has grown long.
pub(super) fn set_revision(connection: &Connection, revision: Revision) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE meta SET revision = ?1")?
        .execute(params![revision])?;
    if revision.0.is_multiple_of(SLACK) && revision.0 > KEEP {
        compact(connection, Revision(revision.0 - KEEP))?;
    }
    Ok(())
}

pub(super) fn compact(connection: &Connection, upto: Revision) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM log WHERE revision <= ?1")?
        .execute(params![upto])?;
    connection
        .prepare_cached("UPDATE meta SET compacted = max(compacted, ?1)")?
        .execute(params![upto])?;
    Ok(())
}

/// Refuses a watch whose first changes are gone.
pub(super) fn check_kept(connection: &Connection, from: Revision) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT compacted FROM meta")?;
    let oldest: Revision = statement.query_row([], |row| row.get(0))?;
    if from < oldest {
        Err(StoreError::Compacted { from, oldest })
    } else {
        Ok(())
    }
}

/// SQLite's integers are signed; at a million transactions a second the sign would be reached in
/// 290,000 years.
impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0 as i64))
    }
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(|number| Self(number as u64))
    }
}
