//! Values as JSON. Keys and revisions stay as they are.

use crate::{Compare, Revision, Store, StoreError, Txn};
use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

/// A key whose value was read from JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// The key.
    pub key: String,
    /// The value.
    pub value: T,
    /// The revision of the last put; see [`Compare::ModifiedAt`].
    pub modified: Revision,
}

impl Txn {
    /// Adds a put of a value as JSON.
    ///
    /// # Errors
    /// [`StoreError::Json`] when the value has no JSON form, for example a map with keys that are
    /// not text.
    pub fn put_json<T: Serialize + ?Sized>(
        self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<Self, StoreError> {
        let key = key.into();
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(self.put(key, bytes)),
            Err(source) => Err(StoreError::Json { key, source }),
        }
    }
}

/// JSON over any [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// One value, or none when the key does not exist.
    async fn get_json<T: DeserializeOwned + Send>(
        &self,
        key: &str,
    ) -> Result<Option<Row<T>>, StoreError> {
        self.get(key).await?.map(row).transpose()
    }

    /// All values below a prefix, in byte order of their keys, with the store's revision.
    async fn list_json<T: DeserializeOwned + Send>(
        &self,
        prefix: &str,
    ) -> Result<(Vec<Row<T>>, Revision), StoreError> {
        let listing = self.list(prefix).await?;
        let rows = listing
            .items
            .into_iter()
            .map(row)
            .collect::<Result<_, _>>()?;
        Ok((rows, listing.revision))
    }

    /// Puts one value without conditions.
    async fn put_json<T: Serialize + Sync + ?Sized>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<Revision, StoreError> {
        self.txn(Txn::new().put_json(key, value)?).await
    }

    /// Puts one value if the key was last put at `since`, or does not exist when that is none.
    async fn swap_json<T: Serialize + Sync + ?Sized>(
        &self,
        key: &str,
        since: Option<Revision>,
        value: &T,
    ) -> Result<Revision, StoreError> {
        let compare = match since {
            Some(revision) => Compare::ModifiedAt(key.to_owned(), revision),
            None => Compare::Missing(key.to_owned()),
        };
        self.txn(Txn::new().when(compare).put_json(key, value)?)
            .await
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

fn row<T: DeserializeOwned>(found: crate::KeyValue) -> Result<Row<T>, StoreError> {
    match serde_json::from_slice(&found.value) {
        Ok(value) => Ok(Row {
            key: found.key,
            value,
            modified: found.modified,
        }),
        Err(source) => Err(StoreError::Json {
            key: found.key,
            source,
        }),
    }
}
