//! The directory, kept in the store.
//!
//! Every change is stored before it is returned, so before any switch can be told. The rows of other
//! parts that belong to a change go into the same transaction. A change that is not stored is not
//! made; epochs that were used up by it are not used again.

use control::directory::{Adopted, InvalidSnapshot, Snapshot};
use control::{Directory, DirectoryError, Key};
use model::order::Gone;
use model::{ClusterName, Entry, Epoch, HostName, Locator, Member, Net, SecurityRule};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Store, StoreError, StoreExt, Txn};

const NETS: &str = "directory/net/";
const ENTRIES: &str = "directory/entry/";
const FLOOR: &str = "directory/floor";

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The directory refuses it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds.
    #[error(transparent)]
    Contradiction(#[from] InvalidSnapshot),
}

/// The directory with its store.
pub struct Ledger {
    directory: Directory,
    store: Arc<dyn Store>,
}

impl Ledger {
    /// Reads the directory.
    ///
    /// # Errors
    /// The store fails, or what it holds contradicts itself.
    pub async fn load(store: Arc<dyn Store>) -> Result<Self, LoadError> {
        let (nets, _) = store.list_json::<Net>(NETS).await?;
        let (entries, _) = store.list_json::<Entry>(ENTRIES).await?;
        let floor = store.get_json::<Epoch>(FLOOR).await?;
        let snapshot = Snapshot {
            nets: nets.into_iter().map(|row| row.value).collect(),
            entries: entries.into_iter().map(|row| row.value).collect(),
            floor: floor.map(|row| row.value).unwrap_or_default(),
        };
        Ok(Self {
            directory: Directory::try_from(snapshot)?,
            store,
        })
    }

    /// The directory as it is.
    pub fn view(&self) -> &Directory {
        &self.directory
    }

    /// Declares a network and links members of it, all or none.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn link(
        &mut self,
        net: &Net,
        members: &[(Member, Locator)],
        along: Txn,
    ) -> Result<Vec<Entry>, LedgerError> {
        let mut after = self.directory.clone();
        let mut txn = along;
        if after.net(&net.cluster) != Some(net) {
            after.declare(net.clone())?;
            txn = txn.put_json(net_row(&net.cluster), net)?;
        }
        let mut entries = Vec::with_capacity(members.len());
        for (member, locator) in members {
            let entry = after.link(&net.cluster, member, locator.clone())?;
            txn = txn.put_json(entry_row(&entry.key()), &entry)?;
            entries.push(entry);
        }
        self.store.txn(txn).await?;
        self.directory = after;
        Ok(entries)
    }

    /// Unlinks members, all or none.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn unlink(&mut self, keys: &[Key], along: Txn) -> Result<Vec<Gone>, LedgerError> {
        let mut after = self.directory.clone();
        let mut txn = along;
        let mut gone = Vec::with_capacity(keys.len());
        for key in keys {
            gone.push(after.unlink(key)?);
            txn = txn.delete(entry_row(key));
        }
        txn = txn.put_json(FLOOR, &after.floor())?;
        self.store.txn(txn).await?;
        self.directory = after;
        Ok(gone)
    }

    /// Forgets a network without members.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn retire(&mut self, cluster: &ClusterName, along: Txn) -> Result<Net, LedgerError> {
        let mut after = self.directory.clone();
        let net = after.retire(cluster)?;
        self.store.txn(along.delete(net_row(cluster))).await?;
        self.directory = after;
        Ok(net)
    }

    /// Says that an endpoint is now at `locator`.
    ///
    /// # Errors
    /// See [`LedgerError`]; the endpoint stays where it is.
    pub async fn commit(
        &mut self,
        key: &Key,
        locator: Locator,
        along: Txn,
    ) -> Result<Entry, LedgerError> {
        let before = self.directory.get(key).map(|entry| entry.locator.clone());
        // In place: of all changes this one must not cost more with more endpoints.
        let entry = self.directory.commit(key, locator)?;
        let stored = match along.put_json(entry_row(key), &entry) {
            Ok(txn) => self.store.txn(txn).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            if let Some(before) = before {
                // Not told to anybody; the epoch is used up all the same.
                self.directory.commit(key, before)?;
            }
            return Err(error.into());
        }
        Ok(entry)
    }

    /// Gives an endpoint other security rules.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn secure(
        &mut self,
        key: &Key,
        security: Vec<SecurityRule>,
        along: Txn,
    ) -> Result<Entry, LedgerError> {
        let mut after = self.directory.clone();
        let entry = after.secure(key, security)?;
        let txn = along.put_json(entry_row(key), &entry)?;
        self.store.txn(txn).await?;
        self.directory = after;
        Ok(entry)
    }

    /// Says that a host's tunnels have another address from now on; returns the rows that changed.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn relocate(
        &mut self,
        host: &HostName,
        address: IpAddr,
    ) -> Result<Vec<Entry>, LedgerError> {
        let mut after = self.directory.clone();
        let changed = after.relocate(host, address);
        self.put(after, &changed).await?;
        Ok(changed)
    }

    /// Takes over rows that are newer than ours.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is changed.
    pub async fn adopt(&mut self, reported: Vec<Entry>) -> Result<Adopted, LedgerError> {
        let mut after = self.directory.clone();
        let adopted = after.adopt(reported);
        self.put(after, &adopted.taken).await?;
        Ok(adopted)
    }

    async fn put(&mut self, after: Directory, changed: &[Entry]) -> Result<(), LedgerError> {
        if changed.is_empty() {
            return Ok(());
        }
        let mut txn = Txn::new();
        // A row may have changed twice; the store takes each key once, with its last value.
        for key in changed
            .iter()
            .map(Entry::key)
            .collect::<std::collections::BTreeSet<_>>()
        {
            if let Some(entry) = after.get(&key) {
                txn = txn.put_json(entry_row(&key), entry)?;
            }
        }
        self.store.txn(txn).await?;
        self.directory = after;
        Ok(())
    }
}

fn net_row(cluster: &ClusterName) -> String {
    format!("{NETS}{cluster}")
}

fn entry_row((cluster, vm): &Key) -> String {
    format!("{ENTRIES}{cluster}/{vm}")
}
