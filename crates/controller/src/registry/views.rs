//! What people are shown.

use super::Registry;
use super::state::State;
use crate::problems;
use api::Problem;
use api::view::{Cluster, Endpoint, Host, Site, Vm};
use control::Key;
use futures::future::join_all;
use model::libvirt::Found;
use model::news::{Answer, VmHere};
use model::order::Order;
use model::vm::VmState;
use model::{ClusterName, HostName, MemberKind, SiteName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The kind of cloud that sites are.
const PROVIDER: &str = "kvm";
/// A host that says nothing for this long is shown as it last said.
const ASK_FOR: Duration = Duration::from_secs(2);

impl Registry {
    /// Every cluster, by name.
    pub async fn show_clusters(&self) -> Vec<Cluster> {
        let state = self.inner.state.lock().await;
        state
            .clusters
            .keys()
            .filter_map(|name| self.show(&state, name))
            .collect()
    }

    /// One cluster.
    pub async fn show_cluster(&self, name: &ClusterName) -> Option<Cluster> {
        let state = self.inner.state.lock().await;
        self.show(&state, name)
    }

    fn show(&self, state: &State, name: &ClusterName) -> Option<Cluster> {
        let view = state.ledger.view();
        let vms = state
            .members_of(name)
            .filter(|kept| is_vm(&kept.member.kind));
        let sites: BTreeSet<SiteName> = vms
            .filter_map(|kept| view.get(&(name.clone(), kept.member.name.clone())))
            .filter_map(|entry| state.site(&entry.locator.host))
            .collect();
        Some(Cluster {
            spec: state.describe(name)?,
            mtu: view.net(name)?.mtu,
            sites: sites.into_iter().collect(),
            migration: self.reserved_by(name),
        })
    }

    /// Every host that ever joined, by name.
    pub async fn show_hosts(&self) -> Vec<Host> {
        let state = self.inner.state.lock().await;
        let vms = state.vms_by_host();
        let shown = state.hosts.values().map(|hello| Host {
            name: hello.host.clone(),
            site: hello.site.clone(),
            up: self.inner.hosts.is_connected(&hello.host),
            underlay: hello.underlay,
            vms: vms.get(&hello.host).copied().unwrap_or_default(),
            abilities: hello.abilities.clone(),
        });
        shown.collect()
    }

    /// The domains that libvirt has on a host.
    ///
    /// # Errors
    /// When the host is not there, or has no libvirt.
    pub async fn find_domains(&self, host: &HostName) -> Result<Vec<Found>, Problem> {
        self.inner.state.lock().await.connected(self, host)?;
        match self.inner.hosts.order(host, Order::FindDomains).await {
            Ok(Answer::Domains { domains }) => Ok(domains),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(problems::order(&error)),
        }
    }

    /// Every site, by name.
    pub async fn show_sites(&self) -> Vec<Site> {
        let mut sites: BTreeMap<SiteName, Site> = BTreeMap::new();
        for host in self.show_hosts().await {
            let site = sites.entry(host.site.clone()).or_insert_with(|| Site {
                name: host.site,
                provider: PROVIDER.to_owned(),
                up: false,
                hosts: Vec::new(),
                vms: 0,
            });
            site.up |= host.up;
            site.vms += host.vms;
            site.hosts.push(host.name);
        }
        sites.into_values().collect()
    }

    /// Every row of the directory.
    pub async fn show_endpoints(&self) -> Vec<Endpoint> {
        let state = self.inner.state.lock().await;
        let rows = state.ledger.view().entries().filter_map(|entry| {
            Some(Endpoint {
                entry: entry.clone(),
                site: state.site(&entry.locator.host)?,
            })
        });
        rows.collect()
    }

    /// Every VM of every cluster, with what its agent says now, or last said when it is away.
    pub async fn show_vms(&self) -> Vec<Vm> {
        self.ask_for_vms().await;
        let state = self.inner.state.lock().await;
        let vms = state.members.iter().filter_map(|(key, kept)| {
            let MemberKind::Vm { spec } = &kept.member.kind else {
                return None;
            };
            let host = state.ledger.view().get(key)?.locator.host.clone();
            Some(Vm {
                cluster: key.0.clone(),
                name: key.1.clone(),
                site: state.site(&host)?,
                state: state.vm_state(key, &host),
                host,
                mac: kept.member.mac,
                addresses: kept.member.addresses.clone(),
                vcpus: spec.vcpus,
                memory_mib: spec.memory_mib,
                migration: self.reserved_by(&key.0),
            })
        });
        vms.collect()
    }

    async fn ask_for_vms(&self) {
        let asked = self
            .inner
            .hosts
            .connected()
            .into_iter()
            .map(|host| async move {
                let answer = self.inner.hosts.order(&host, Order::ListVms);
                match tokio::time::timeout(ASK_FOR, answer).await {
                    Ok(Ok(Answer::Vms { vms })) => Some((host, vms)),
                    _ => None,
                }
            });
        let answers: Vec<(HostName, Vec<VmHere>)> =
            join_all(asked).await.into_iter().flatten().collect();
        let mut state = self.inner.state.lock().await;
        for (host, vms) in answers {
            if let Some(hello) = state.hosts.get_mut(&host) {
                hello.vms = vms;
            }
        }
    }
}

impl State {
    pub(super) fn site(&self, host: &HostName) -> Option<SiteName> {
        match host.is_reserved() {
            true => super::outside::site(),
            false => self.hosts.get(host).map(|hello| hello.site.clone()),
        }
    }

    fn vms_by_host(&self) -> BTreeMap<HostName, u32> {
        let mut counted = BTreeMap::new();
        let vms = self
            .members
            .iter()
            .filter(|(_, kept)| is_vm(&kept.member.kind));
        for entry in vms.filter_map(|(key, _)| self.ledger.view().get(key)) {
            *counted.entry(entry.locator.host.clone()).or_default() += 1;
        }
        counted
    }

    /// What a VM does: where the directory says that it is, else wherever it runs (a migration may
    /// be between the two), else nowhere.
    fn vm_state(&self, (cluster, vm): &Key, at: &HostName) -> VmState {
        let state_on = |host: &HostName| {
            let here = self.hosts.get(host)?.vms.iter();
            let mut meant = here.filter(|here| here.cluster == *cluster && here.vm == *vm);
            meant.next().map(|here| here.state)
        };
        let elsewhere = || {
            let running = |host: &HostName| state_on(host) == Some(VmState::Running);
            self.hosts.keys().any(running).then_some(VmState::Running)
        };
        match state_on(at) {
            Some(VmState::Gone) | None => elsewhere().unwrap_or(VmState::Gone),
            Some(state) => state,
        }
    }
}

fn is_vm(kind: &MemberKind) -> bool {
    matches!(kind, MemberKind::Vm { .. })
}
