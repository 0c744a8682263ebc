//! Clusters, their members, and the hosts that ever joined; what becomes of them, and who is told.
//!
//! | module | job |
//! |---|---|
//! | `state` | what is known, kept in the store, and the orders that follow from a change |
//! | `apply` | a cluster brought to its description, or removed |
//! | `link` | members linked and, when anything fails, unlinked again |
//! | `unlink` | members unlinked |
//! | `place` | the one act by which an endpoint moves, by hand or by the engine |
//! | `secure` | a member's security rules |
//! | `outside` | endpoints on no host of ours, from what other LISP sites register |
//! | `remove` | a host that shall have no access any more |
//! | `arrive` | a host dials in: learn from it, give it the whole truth |
//! | `due` | changes of place that are told and not due yet |
//! | `views` | what people are shown |
//! | `mtu` | the MTU of a network |
//!
//! Two locks. *Gates*, one a cluster: links share it, what changes the cluster as a whole has it
//! alone, and it is held over the whole operation. *State*: held while the directory changes, is
//! stored, and the orders that follow are given (not answered), so that every host sees changes in
//! the directory's order.

mod apply;
mod arrive;
mod due;
mod link;
mod mtu;
mod outside;
mod place;
mod remove;
mod secure;
mod state;
mod told;
mod unlink;
mod views;

pub(crate) use arrive::ArrivalError;
pub use place::Committed;

use crate::directory::LoadError;
use crate::lisp::Turns;
use crate::lock;
use crate::underlay::Underlay;
use crate::{Events, Hosts, problems};
use api::Problem;
use control::Key;
use model::{ClusterName, Entry, HostName, MigrationId, Net, SiteName};
use state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use store::Store;
use tokio::sync::{Mutex as AsyncMutex, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

type Gate = Arc<RwLock<()>>;

/// Clusters, members and hosts. Clones share it.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    hosts: Hosts,
    events: Events,
    underlay: Underlay,
    store: Arc<dyn Store>,
    state: AsyncMutex<State>,
    gates: Mutex<BTreeMap<ClusterName, Gate>>,
    turns: Turns,
    /// Clusters that a migration has for itself.
    reserved: Mutex<BTreeMap<ClusterName, MigrationId>>,
}

impl Registry {
    /// Reads what the store holds.
    ///
    /// # Errors
    /// The store fails, or what it holds contradicts itself.
    pub async fn load(
        store: Arc<dyn Store>,
        hosts: Hosts,
        events: Events,
        underlay: Underlay,
    ) -> Result<Self, LoadError> {
        let state = State::load(store.clone()).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                hosts,
                events,
                underlay,
                store,
                state: AsyncMutex::new(state),
                gates: Mutex::default(),
                turns: Turns::default(),
                reserved: Mutex::default(),
            }),
        })
    }

    /// When changes of place are due for those who only read the store.
    pub fn turns(&self) -> Turns {
        self.inner.turns.clone()
    }

    /// Gives a cluster to a migration alone: until [`Registry::release`] nobody links, unlinks,
    /// places or deletes.
    ///
    /// # Errors
    /// Another migration has it, or there is no such cluster.
    pub async fn reserve(
        &self,
        cluster: &ClusterName,
        migration: MigrationId,
    ) -> Result<(), Problem> {
        let gate = self.gate(cluster).write_owned().await;
        self.known(cluster).await?;
        self.not_reserved(cluster)?;
        lock(&self.inner.reserved).insert(cluster.clone(), migration);
        drop(gate);
        Ok(())
    }

    /// Gives a cluster free again.
    pub fn release(&self, cluster: &ClusterName) {
        lock(&self.inner.reserved).remove(cluster);
    }

    /// The migration that has a cluster.
    pub fn reserved_by(&self, cluster: &ClusterName) -> Option<MigrationId> {
        lock(&self.inner.reserved).get(cluster).cloned()
    }

    /// One cluster's description, with its members as they were linked.
    pub async fn cluster(&self, name: &ClusterName) -> Option<model::Cluster> {
        self.inner.state.lock().await.describe(name)
    }

    /// One cluster's network.
    pub async fn net(&self, cluster: &ClusterName) -> Option<Net> {
        self.inner
            .state
            .lock()
            .await
            .ledger
            .view()
            .net(cluster)
            .cloned()
    }

    /// Where one endpoint is.
    pub async fn entry(&self, key: &Key) -> Option<Entry> {
        self.inner
            .state
            .lock()
            .await
            .ledger
            .view()
            .get(key)
            .cloned()
    }

    /// Where a cluster's endpoints are.
    pub async fn entries(&self, cluster: &ClusterName) -> Vec<Entry> {
        self.inner
            .state
            .lock()
            .await
            .ledger
            .view()
            .members(cluster)
            .cloned()
            .collect()
    }

    /// The connected hosts that hold a cluster's rows: all that a change of it is told to.
    pub async fn holders(&self, cluster: &ClusterName) -> BTreeSet<HostName> {
        let state = self.inner.state.lock().await;
        let connected = self.inner.hosts.connected();
        connected
            .into_iter()
            .filter(|host| state.holds(host, cluster))
            .collect()
    }

    /// The site of a host that ever joined.
    pub async fn site_of(&self, host: &HostName) -> Option<SiteName> {
        self.inner
            .state
            .lock()
            .await
            .hosts
            .get(host)
            .map(|hello| hello.site.clone())
    }

    /// The hosts of a site that ever joined.
    pub async fn hosts_at(&self, site: &SiteName) -> Vec<HostName> {
        let state = self.inner.state.lock().await;
        let at = state.hosts.values().filter(|hello| hello.site == *site);
        at.map(|hello| hello.host.clone()).collect()
    }

    fn gate(&self, cluster: &ClusterName) -> Gate {
        lock(&self.inner.gates)
            .entry(cluster.clone())
            .or_default()
            .clone()
    }

    /// For what may go on beside others of its kind.
    async fn enter(&self, cluster: &ClusterName) -> Result<OwnedRwLockReadGuard<()>, Problem> {
        let held = self.gate(cluster).read_owned().await;
        self.not_reserved(cluster)?;
        Ok(held)
    }

    /// For what must be alone.
    async fn enter_alone(
        &self,
        cluster: &ClusterName,
    ) -> Result<OwnedRwLockWriteGuard<()>, Problem> {
        let held = self.gate(cluster).write_owned().await;
        self.not_reserved(cluster)?;
        Ok(held)
    }

    fn not_reserved(&self, cluster: &ClusterName) -> Result<(), Problem> {
        match self.reserved_by(cluster) {
            None => Ok(()),
            Some(id) => Err(Problem::conflict(
                format!("Cluster '{cluster}' is being moved by migration '{id}'."),
                format!("Wait for its end, or go back with `transhume migration cancel {id}`."),
            )),
        }
    }

    async fn known(&self, cluster: &ClusterName) -> Result<(), Problem> {
        if self.inner.state.lock().await.clusters.contains_key(cluster) {
            return Ok(());
        }
        Err(no_such_cluster(cluster))
    }
}

pub(crate) fn no_such_cluster(cluster: &ClusterName) -> Problem {
    Problem::not_found(
        format!("There is no cluster '{cluster}'."),
        "See the clusters with `transhume cluster list`.",
    )
}

pub(crate) fn no_such_member(cluster: &ClusterName, member: &model::VmName) -> Problem {
    Problem::not_found(
        format!("Cluster '{cluster}' has no member '{member}'."),
        format!("See its members with `transhume cluster show {cluster}`."),
    )
}

impl From<crate::directory::LedgerError> for Problem {
    fn from(error: crate::directory::LedgerError) -> Self {
        match error {
            crate::directory::LedgerError::Directory(error) => problems::directory(&error),
            crate::directory::LedgerError::Store(error) => problems::store(&error),
        }
    }
}
