//! The trait and its words. Engines live elsewhere.

use crate::{StoreError, Watch};
use async_trait::async_trait;
use std::fmt;

/// Longest key, bytes.
pub const MAX_KEY: usize = 1024;
/// Largest value, bytes; below etcd's default limit of 1.5 MiB for a request.
pub const MAX_VALUE: usize = 1 << 20;

/// A state of the whole store. 0 is the empty store; each transaction that changes something
/// makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision that made the key; a deleted and remade key has a new one.
    pub created: Revision,
    /// The revision of the last put.
    pub modified: Revision,
}

/// What lay below a prefix, all at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The store's revision; watch from here to miss nothing.
    pub revision: Revision,
    /// The keys, in byte order.
    pub items: Vec<KeyValue>,
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key exists.
    Exists(String),
    /// The key does not exist.
    Missing(String),
    /// The key exists and was last put at this revision.
    ModifiedAt(String, Revision),
    /// The key exists and has this value.
    Value(String, Vec<u8>),
}

impl Compare {
    /// The key that the condition speaks of.
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key)
            | Self::Missing(key)
            | Self::ModifiedAt(key, _)
            | Self::Value(key, _) => key,
        }
    }
}

/// A change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Set a key.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Remove a key; nothing happens when it is not there.
    Delete {
        /// The key.
        key: String,
    },
    /// Remove every key that begins so.
    DeletePrefix {
        /// The beginning; empty means everything.
        prefix: String,
    },
}

/// Conditions and changes: the changes are made together, at one revision, if every condition
/// holds, and none of them is made otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    /// Every one must hold.
    pub compare: Vec<Compare>,
    /// Made in this order. A key may be put once.
    pub ops: Vec<Op>,
}

impl Txn {
    /// A transaction without conditions and changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compare.push(compare);
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.ops.push(Op::Put {
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.ops.push(Op::Delete { key: key.into() });
        self
    }

    /// Adds the deletion of all keys below a prefix.
    #[must_use]
    pub fn delete_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.ops.push(Op::DeletePrefix {
            prefix: prefix.into(),
        });
        self
    }
}

/// A revisioned map. See the crate's documentation for what callers may rely on.
#[async_trait]
pub trait Store: Send + Sync {
    /// One key, or none when it does not exist.
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError>;

    /// All keys that begin with `prefix`, in byte order; an empty prefix means all.
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError>;

    /// Makes a transaction and returns the store's revision after it. A transaction that changes
    /// nothing makes no revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the first condition that does not hold.
    async fn txn(&self, txn: Txn) -> Result<Revision, StoreError>;

    /// Tells every change below `prefix` that was made after revision `from`.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when changes after `from` are no longer kept.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, StoreError>;
}
