//! What a watch tells. How an engine finds it out is the engine's business ([`Feed`]).

use crate::{Revision, StoreError};
use async_trait::async_trait;

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key was put.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: String,
    },
}

impl Change {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What one transaction changed below the watched prefix; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The transaction's revision.
    pub revision: Revision,
    /// Its changes, in the order in which it made them.
    pub changes: Vec<Change>,
}

/// The engine's half of a watch.
#[async_trait]
pub(crate) trait Feed: Send {
    /// Waits for the next transaction with a change below the prefix.
    async fn next(&mut self) -> Result<Batch, StoreError>;
}

/// Changes below a prefix, one transaction after the other.
pub struct Watch(Box<dyn Feed>);

impl Watch {
    pub(crate) fn new(feed: impl Feed + 'static) -> Self {
        Self(Box::new(feed))
    }

    /// Waits for the next batch. Cancel-safe: a batch is not lost when the future is dropped.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the watcher was too slow for what the engine keeps, and
    /// [`StoreError::Closed`] when the store is gone.
    pub async fn next(&mut self) -> Result<Batch, StoreError> {
        self.0.next().await
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").finish()
    }
}
