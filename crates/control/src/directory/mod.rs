//! The directory: endpoint → (locator, epoch).
//!
//! Kept here: which networks and endpoints there are, where each endpoint is, and that no two of
//! them claim the same. Not kept here: whether a host is up, what a VM is made of, who has been
//! told; and nothing is sent or stored, callers do that with what they get back.
//!
//! Epochs only grow, also over the life of an endpoint: one that is unlinked and linked again
//! starts above everything that anybody may still hold of its first life.

mod adopt;
mod claims;
mod error;
mod snapshot;

pub use adopt::Adopted;
pub use error::DirectoryError;
pub use snapshot::{InvalidSnapshot, Snapshot};

use crate::Key;
use claims::{Claims, check_member, check_net};
use model::order::Gone;
use model::{
    ClusterName, Entry, Epoch, HostName, Locator, Member, Net, SecurityRule, Slice, VmName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Largest virtual network identifier: 24 bits, RFC 7348 section 5.
pub const MAX_VNI: u32 = (1 << 24) - 1;
/// Smallest MTU of a network: what IPv6 requires, RFC 8200 section 5.
pub const MIN_MTU: u16 = 1280;

/// Where every endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    nets: BTreeMap<ClusterName, Net>,
    entries: BTreeMap<Key, Entry>,
    claims: Claims,
    /// The highest epoch that an endpoint had when it was unlinked.
    floor: Epoch,
}

impl Directory {
    /// A directory of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a cluster's network known, or changes it. The identifier of a network with members
    /// cannot change: their packets would fall between the old and the new one.
    ///
    /// # Errors
    /// A bad identifier or MTU, an identifier that another cluster has, or one that cannot change.
    pub fn declare(&mut self, net: Net) -> Result<(), DirectoryError> {
        check_net(&net)?;
        if let Some(holder) = self
            .nets
            .values()
            .find(|other| other.vni == net.vni && other.cluster != net.cluster)
        {
            return Err(DirectoryError::VniTaken {
                vni: net.vni,
                holder: holder.cluster.clone(),
            });
        }
        if let Some(before) = self.nets.get(&net.cluster) {
            let moves = before.vni != net.vni || before.encap != net.encap;
            if moves && self.members(&net.cluster).next().is_some() {
                return Err(DirectoryError::NetInUse {
                    cluster: net.cluster,
                });
            }
        }
        self.nets.insert(net.cluster.clone(), net);
        Ok(())
    }

    /// Forgets a cluster's network.
    ///
    /// # Errors
    /// The cluster is not known or has members.
    pub fn retire(&mut self, cluster: &ClusterName) -> Result<Net, DirectoryError> {
        if self.members(cluster).next().is_some() {
            return Err(DirectoryError::NetInUse {
                cluster: cluster.clone(),
            });
        }
        self.nets
            .remove(cluster)
            .ok_or_else(|| DirectoryError::NoSuchCluster(cluster.clone()))
    }

    /// The lowest identifier that no network has; none when all 16 million are taken.
    pub fn free_vni(&self) -> Option<u32> {
        let taken: BTreeSet<u32> = self.nets.values().map(|net| net.vni).collect();
        (1..=MAX_VNI).find(|vni| !taken.contains(vni))
    }

    /// Adds an endpoint. Nothing is changed when it is refused.
    ///
    /// # Errors
    /// The cluster is not known, the member's name or one of its addresses is taken (the error
    /// names the holder), or an address cannot be an endpoint's.
    pub fn link(
        &mut self,
        cluster: &ClusterName,
        member: &Member,
        locator: Locator,
    ) -> Result<Entry, DirectoryError> {
        if !self.nets.contains_key(cluster) {
            return Err(DirectoryError::NoSuchCluster(cluster.clone()));
        }
        check_member(member)?;
        let entry = Entry {
            cluster: cluster.clone(),
            vm: member.name.clone(),
            mac: member.mac,
            ips: member.addresses.iter().map(|cidr| cidr.address).collect(),
            security: member.security.clone(),
            locator,
            epoch: self.floor.next(),
            seal: None,
        };
        if let Some(there) = self.entries.get(&entry.key()) {
            let (cluster, vm) = entry.key();
            return Err(DirectoryError::NameTaken {
                cluster,
                vm,
                host: there.locator.host.clone(),
            });
        }
        self.claims.take(&entry)?;
        self.entries.insert(entry.key(), entry.clone());
        Ok(entry)
    }

    /// Says that an endpoint is now at `locator`: the one act by which anything moves. Also where
    /// it is there already, so that an older order that is still on its way is void.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub fn commit(&mut self, key: &Key, locator: Locator) -> Result<Entry, DirectoryError> {
        let entry = self
            .entries
            .get_mut(key)
            .ok_or_else(|| no_such_member(key))?;
        entry.locator = locator;
        entry.epoch = entry.epoch.next();
        Ok(entry.clone())
    }

    /// Gives an endpoint other security rules, all of them; none opens it. They are part of its row,
    /// and so of every move.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub fn secure(
        &mut self,
        key: &Key,
        security: Vec<SecurityRule>,
    ) -> Result<Entry, DirectoryError> {
        let entry = self
            .entries
            .get_mut(key)
            .ok_or_else(|| no_such_member(key))?;
        entry.security = security;
        entry.epoch = entry.epoch.next();
        Ok(entry.clone())
    }

    /// Says that a host's tunnels have another address from now on; returns the rows that changed.
    pub fn relocate(&mut self, host: &HostName, address: IpAddr) -> Vec<Entry> {
        let elsewhere =
            |entry: &&mut Entry| entry.locator.host == *host && entry.locator.address != address;
        let mut changed = Vec::new();
        for entry in self.entries.values_mut().filter(elsewhere) {
            entry.locator.address = address;
            entry.epoch = entry.epoch.next();
            changed.push(entry.clone());
        }
        changed
    }

    /// Removes an endpoint; what is returned tells every host that had it.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub fn unlink(&mut self, key: &Key) -> Result<Gone, DirectoryError> {
        let entry = self
            .entries
            .remove(key)
            .ok_or_else(|| no_such_member(key))?;
        self.claims.release(&entry);
        self.floor = self.floor.max(entry.epoch);
        Ok(Gone {
            cluster: entry.cluster,
            vm: entry.vm,
            epoch: entry.epoch,
        })
    }

    /// One endpoint.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// One network.
    pub fn net(&self, cluster: &ClusterName) -> Option<&Net> {
        self.nets.get(cluster)
    }

    /// Every network, by cluster.
    pub fn nets(&self) -> impl Iterator<Item = &Net> {
        self.nets.values()
    }

    /// Every endpoint, by cluster and name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The endpoints of one cluster, by name.
    pub fn members(&self, cluster: &ClusterName) -> impl Iterator<Item = &Entry> {
        // No name sorts before "0", the first letter that a name may begin with.
        let first = VmName::new("0").ok().map(|vm| (cluster.clone(), vm));
        let cluster = cluster.clone();
        first
            .into_iter()
            .flat_map(|first| self.entries.range(first..))
            .take_while(move |((other, _), _)| *other == cluster)
            .map(|(_, entry)| entry)
    }

    /// The hosts that have to know a change of this endpoint: those with a member of its cluster.
    /// Before a commit this does not hold a target that is new to the cluster; after it not a
    /// source that has left: tell both answers.
    pub fn affected_hosts(&self, key: &Key) -> BTreeSet<HostName> {
        self.members(&key.0)
            .map(|entry| entry.locator.host.clone())
            .collect()
    }

    /// What a host needs: the networks with a member on it, and all their endpoints.
    pub fn slice_for(&self, host: &HostName) -> Slice {
        let here = self
            .entries
            .values()
            .filter(|entry| entry.locator.host == *host);
        let clusters: BTreeSet<&ClusterName> = here.map(|entry| &entry.cluster).collect();
        self.slice_of(clusters)
    }

    /// The same for chosen networks: what a host needs that is about to have a member of them.
    pub fn slice_of<'a>(&self, clusters: impl IntoIterator<Item = &'a ClusterName>) -> Slice {
        let mut slice = Slice::default();
        for cluster in clusters {
            slice.nets.extend(self.nets.get(cluster).cloned());
            slice.entries.extend(self.members(cluster).cloned());
        }
        slice
    }
}

fn no_such_member((cluster, vm): &Key) -> DirectoryError {
    DirectoryError::NoSuchMember {
        cluster: cluster.clone(),
        vm: vm.clone(),
    }
}
