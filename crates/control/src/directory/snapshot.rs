//! The directory as plain data, for the store.
//!
//! Rows can be stored one by one: a snapshot is put together from them again. What is read is
//! checked as if it were linked anew, so a store that was edited by hand cannot make two endpoints
//! claim one address.

use super::claims::check_net;
use super::{Directory, DirectoryError};
use model::{Entry, Epoch, Net};
use serde::{Deserialize, Serialize};

/// The whole directory as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The networks.
    pub nets: Vec<Net>,
    /// The endpoints.
    pub entries: Vec<Entry>,
    /// The highest epoch of what was unlinked; store it with every unlink.
    pub floor: Epoch,
}

/// A snapshot that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored directory contradicts itself: {0}; remove one of the two rows from the store")]
pub struct InvalidSnapshot(#[from] pub DirectoryError);

impl Directory {
    /// The highest epoch of what was unlinked.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// Everything, as plain data.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            nets: self.nets.values().cloned().collect(),
            entries: self.entries.values().cloned().collect(),
            floor: self.floor,
        }
    }
}

impl TryFrom<Snapshot> for Directory {
    type Error = InvalidSnapshot;

    fn try_from(snapshot: Snapshot) -> Result<Self, InvalidSnapshot> {
        let mut directory = Self {
            floor: snapshot.floor,
            ..Self::default()
        };
        for net in snapshot.nets {
            check_net(&net)?;
            directory.declare(net)?;
        }
        for entry in snapshot.entries {
            let key = entry.key();
            if !directory.nets.contains_key(&entry.cluster) {
                return Err(DirectoryError::NoSuchCluster(entry.cluster).into());
            }
            if let Some(there) = directory.entries.get(&key) {
                let host = there.locator.host.clone();
                return Err(DirectoryError::NameTaken {
                    cluster: key.0,
                    vm: key.1,
                    host,
                }
                .into());
            }
            directory.claims.take(&entry)?;
            directory.entries.insert(key, entry);
        }
        Ok(directory)
    }
}
