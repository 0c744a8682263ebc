//! What can go wrong, and the way out.

use crate::{Compare, MAX_KEY, MAX_VALUE, Revision};
use std::path::PathBuf;

/// A store call that did not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A condition does not hold: somebody else was first.
    #[error("the store has changed: {wanted:?} does not hold (found {found:?}); read '{}' again and decide anew", wanted.key())]
    Conflict {
        /// The first condition that failed.
        wanted: Compare,
        /// When the key was last put, if it exists.
        found: Option<Revision>,
    },
    /// The changes that a watch asks for are no longer kept.
    #[error(
        "changes after revision {from} are no longer kept (oldest is {oldest}): list again and watch from the listing's revision"
    )]
    Compacted {
        /// What was asked for.
        from: Revision,
        /// The oldest revision that a watch can begin from.
        oldest: Revision,
    },
    /// A watch from a revision that does not exist yet.
    #[error(
        "revision {from} does not exist yet (the store is at {latest}): the store is not the one that this revision came from; list again"
    )]
    Ahead {
        /// What was asked for.
        from: Revision,
        /// Where the store is.
        latest: Revision,
    },
    /// A key is empty or too long.
    #[error("a key of {0} bytes cannot be stored: use 1 to {MAX_KEY} bytes")]
    BadKey(usize),
    /// A value is too large.
    #[error(
        "the value of '{key}' has {bytes} bytes, more than {MAX_VALUE}: store it as several keys"
    )]
    TooLarge {
        /// The key.
        key: String,
        /// Size of the value.
        bytes: usize,
    },
    /// One transaction puts a key twice.
    #[error("one transaction puts '{0}' twice: put it once, with the last value")]
    PutTwice(String),
    /// A value is not the JSON that its reader expects.
    #[error(
        "the value of '{key}' cannot be read: {source}; it was written by another version, or by hand"
    )]
    Json {
        /// The key.
        key: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The file belongs to a running process.
    #[error("{} is in use by another process: stop it first, or choose another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is of a later version.
    #[error("{} was written by a newer version (format {found}, this one knows {known}): run that version, or choose another file", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The format that this version writes.
        known: i64,
    },
    /// The file cannot be opened.
    #[error("cannot open the store {}: {source}; check that its folder exists, is writable and holds no other kind of file by that name", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The engine failed.
    #[error(
        "the store failed: {0}; check the disk, then start again: what was acknowledged is kept"
    )]
    Engine(#[from] rusqlite::Error),
    /// The store was closed while a watch waited.
    #[error("the store was closed: open it again and watch from the last revision seen")]
    Closed,
}
