//! What is known, kept in the store, and the orders that follow from a change.

use super::due::Due;
use super::told::Told;
use crate::directory::{Ledger, LoadError};
use crate::{Hosts, clock};
use control::Key;
use model::news::Hello;
use model::order::{Gone, Order};
use model::{Cluster, ClusterName, Encap, Entry, HostName, Member, Net, Slice};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Store, StoreError, StoreExt, Txn};

const CLUSTERS: &str = "cluster/";
const MEMBERS: &str = "member/";
const HOSTS: &str = "host/";
const REMAINS: &str = "remains/";

/// A cluster without its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) name: ClusterName,
    pub(super) vni: u32,
    pub(super) encap: Encap,
}

/// A member as it was linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) cluster: ClusterName,
    pub(super) member: Member,
    /// Hosts where a member that is a host has a port: where it was linked, and where it was placed
    /// by hand since.
    pub(super) linked_at: BTreeSet<HostName>,
}

/// Something of a member that is gone, on a host that was away then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remains {
    pub(super) host: HostName,
    pub(super) cluster: ClusterName,
    pub(super) member: Member,
}

/// What is known.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) clusters: BTreeMap<ClusterName, Described>,
    pub(super) members: BTreeMap<Key, Kept>,
    /// Every host that ever joined, as it last said of itself, without its rows.
    pub(super) hosts: BTreeMap<HostName, Hello>,
    pub(super) remains: Vec<Remains>,
    pub(super) due: Due,
    /// The clusters whose rows a host was given on its present connection.
    holders: BTreeMap<HostName, BTreeSet<ClusterName>>,
    /// Clusters whose rows a host is to have though it has no member of them.
    guests: BTreeMap<HostName, BTreeSet<ClusterName>>,
}

impl State {
    pub(super) async fn load(store: Arc<dyn Store>) -> Result<Self, LoadError> {
        let (clusters, _) = store.list_json::<Described>(CLUSTERS).await?;
        let (members, _) = store.list_json::<Kept>(MEMBERS).await?;
        let (hosts, _) = store.list_json::<Hello>(HOSTS).await?;
        let (remains, _) = store.list_json::<Remains>(REMAINS).await?;
        let ledger = Ledger::load(store).await?;
        let members = members.into_iter().map(|row| row.value);
        Ok(Self {
            ledger,
            clusters: clusters
                .into_iter()
                .map(|row| (row.value.name.clone(), row.value))
                .collect(),
            members: members
                .map(|kept| ((kept.cluster.clone(), kept.member.name.clone()), kept))
                .collect(),
            hosts: hosts
                .into_iter()
                .map(|row| (row.value.host.clone(), row.value))
                .collect(),
            remains: remains.into_iter().map(|row| row.value).collect(),
            due: Due::default(),
            holders: BTreeMap::new(),
            guests: BTreeMap::new(),
        })
    }

    /// One cluster's description, with its members as they were linked.
    pub(super) fn describe(&self, name: &ClusterName) -> Option<Cluster> {
        let described = self.clusters.get(name)?;
        Some(Cluster {
            name: described.name.clone(),
            vni: described.vni,
            encap: described.encap,
            members: self
                .members_of(name)
                .map(|kept| kept.member.clone())
                .collect(),
        })
    }

    pub(super) fn members_of(&self, cluster: &ClusterName) -> impl Iterator<Item = &Kept> {
        self.members
            .values()
            .filter(move |kept| kept.cluster == *cluster)
    }

    /// Whether a host was given a cluster's rows.
    pub(super) fn holds(&self, host: &HostName, cluster: &ClusterName) -> bool {
        self.holders
            .get(host)
            .is_some_and(|clusters| clusters.contains(cluster))
    }

    /// Gives a host that dials in the whole truth: from now on it holds what it needs and no more.
    pub(super) fn replace_anew(&mut self, hosts: &Hosts, host: &HostName) -> Told {
        let mut clusters = self.guests.get(host).cloned().unwrap_or_default();
        let here = self.ledger.view().entries();
        clusters.extend(
            here.filter(|entry| entry.locator.host == *host)
                .map(|entry| entry.cluster.clone()),
        );
        self.holders.insert(host.clone(), clusters);
        let mut told = Told::default();
        self.replace(hosts, host, &mut told);
        told
    }

    /// Gives a host the rows of a cluster, and keeps it informed.
    pub(super) fn admit(
        &mut self,
        hosts: &Hosts,
        host: &HostName,
        cluster: &ClusterName,
        told: &mut Told,
    ) {
        let held = self.holders.entry(host.clone()).or_default();
        if held.insert(cluster.clone()) {
            self.replace(hosts, host, told);
        }
    }

    /// The same, also when it dials in anew, until it is dismissed.
    pub(super) fn invite(
        &mut self,
        hosts: &Hosts,
        host: &HostName,
        cluster: &ClusterName,
        told: &mut Told,
    ) {
        let guest = self.guests.entry(host.clone()).or_default();
        guest.insert(cluster.clone());
        self.admit(hosts, host, cluster, told);
    }

    /// Takes the rows of a cluster from a host again, unless it has members of it.
    pub(super) fn dismiss(
        &mut self,
        hosts: &Hosts,
        host: &HostName,
        cluster: &ClusterName,
        told: &mut Told,
    ) {
        if let Some(guest) = self.guests.get_mut(host) {
            guest.remove(cluster);
        }
        let here = |entry: &Entry| entry.locator.host == *host;
        if self.ledger.view().members(cluster).any(here) {
            return;
        }
        let held = self.holders.get_mut(host);
        if held.is_some_and(|clusters| clusters.remove(cluster)) {
            self.replace(hosts, host, told);
        }
    }

    /// Gives a host the whole truth about all that it holds: also rows that it should have
    /// forgotten are gone then.
    fn replace(&mut self, hosts: &Hosts, host: &HostName, told: &mut Told) {
        let mut slice = match self.holders.get(host) {
            Some(clusters) => self.ledger.view().slice_of(clusters),
            None => Slice::default(),
        };
        let ahead = self.due.adjust(clock::now(), host, &mut slice);
        told.add(host.clone(), hosts.send(host, Order::Replace { slice }));
        for order in ahead {
            told.add(host.clone(), hosts.send(host, order));
        }
    }

    /// Tells every host concerned that rows of one cluster are new or gone: those that hold the
    /// cluster get the rows, those that get their first member of it get all of it.
    pub(super) fn spread(
        &mut self,
        hosts: &Hosts,
        cluster: &ClusterName,
        net: Option<&Net>,
        entries: &[Entry],
        removed: &[Gone],
    ) -> Told {
        let mut told = Told::default();
        let new = self.newcomers(hosts, cluster, entries);
        for host in hosts.connected() {
            if self.holds(&host, cluster) {
                let order = Order::Apply {
                    nets: net.cloned().into_iter().collect(),
                    entries: entries.to_vec(),
                    removed: removed.to_vec(),
                    at: None,
                    migration: None,
                };
                let given = hosts.send(&host, order);
                told.add(host, given);
            }
        }
        for host in new {
            self.admit(hosts, &host, cluster, &mut told);
        }
        told
    }

    /// Connected hosts that rows lead to and that do not hold the cluster yet.
    fn newcomers(
        &self,
        hosts: &Hosts,
        cluster: &ClusterName,
        entries: &[Entry],
    ) -> BTreeSet<HostName> {
        let leads_to = entries.iter().map(|entry| &entry.locator.host);
        leads_to
            .filter(|host| !self.holds(host, cluster) && hosts.is_connected(host))
            .cloned()
            .collect()
    }

    /// What is left of a member somewhere, if anything is.
    pub(super) fn remains_of(&self, (cluster, vm): &Key) -> Option<&Remains> {
        self.remains
            .iter()
            .find(|left| left.cluster == *cluster && left.member.name == *vm)
    }
}

/// Rows of the registry in a transaction of the directory.
pub(super) trait Rows: Sized {
    fn put_cluster(self, cluster: &Described) -> Result<Self, StoreError>;
    fn delete_cluster(self, cluster: &ClusterName) -> Self;
    fn put_member(self, kept: &Kept) -> Result<Self, StoreError>;
    fn delete_member(self, key: &Key) -> Self;
    fn put_host(self, hello: &Hello) -> Result<Self, StoreError>;
    fn delete_host(self, host: &HostName) -> Self;
    fn put_remains(self, remains: &Remains) -> Result<Self, StoreError>;
    fn delete_remains(self, remains: &Remains) -> Self;
}

impl Rows for Txn {
    fn put_cluster(self, cluster: &Described) -> Result<Self, StoreError> {
        self.put_json(format!("{CLUSTERS}{}", cluster.name), cluster)
    }

    fn delete_cluster(self, cluster: &ClusterName) -> Self {
        self.delete(format!("{CLUSTERS}{cluster}"))
    }

    fn put_member(self, kept: &Kept) -> Result<Self, StoreError> {
        self.put_json(
            format!("{MEMBERS}{}/{}", kept.cluster, kept.member.name),
            kept,
        )
    }

    fn delete_member(self, (cluster, vm): &Key) -> Self {
        self.delete(format!("{MEMBERS}{cluster}/{vm}"))
    }

    fn put_host(self, hello: &Hello) -> Result<Self, StoreError> {
        self.put_json(format!("{HOSTS}{}", hello.host), hello)
    }

    fn delete_host(self, host: &HostName) -> Self {
        self.delete(format!("{HOSTS}{host}"))
    }

    fn put_remains(self, remains: &Remains) -> Result<Self, StoreError> {
        self.put_json(remains_row(remains), remains)
    }

    fn delete_remains(self, remains: &Remains) -> Self {
        self.delete(remains_row(remains))
    }
}

fn remains_row(
    Remains {
        host,
        cluster,
        member,
    }: &Remains,
) -> String {
    format!("{REMAINS}{host}/{cluster}/{}", member.name)
}
