//! A host dials in: learn from it what it knows better, give it the whole truth, clear up what was
//! left on it while it was away.

use super::Registry;
use super::link::end_of;
use super::state::{Remains, Rows};
use super::told::Told;
use crate::directory::LedgerError;
use crate::hosts::{Connection, HostChange};
use model::event::What;
use model::order::{Down, Order, PROTOCOL};
use model::{Entry, HostName, Member, MemberKind, Net};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Txn;

/// Why a host that dials in is turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivalError {
    /// The directory or the store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Its part of the secure underlay.
    #[error(transparent)]
    Underlay(#[from] crate::underlay::UnderlayError),
    /// It claims another host's locator.
    #[error(
        "host '{host}' claims the locator {address} of host '{other}'; give each host an underlay address of its own, and remove a host that is gone with `transhume host remove {other}`"
    )]
    Taken {
        /// Who claims it.
        host: HostName,
        /// What.
        address: std::net::IpAddr,
        /// Whose it is.
        other: HostName,
    },
}

impl Registry {
    /// Takes a host's new connection. `reported` are the rows that its switch holds.
    pub(crate) async fn host_up(
        &self,
        connection: &Arc<Connection>,
        reported: Vec<Entry>,
    ) -> Result<(), ArrivalError> {
        let hosts = &self.inner.hosts;
        let hello = connection.hello();
        let host = &hello.host;
        self.inner.underlay.greet(hello).await?;
        let mut state = self.inner.state.lock().await;
        let mut others = state.hosts.values().filter(|other| other.host != *host);
        if let Some(other) = others.find(|other| other.underlay == hello.underlay) {
            return Err(ArrivalError::Taken {
                host: host.clone(),
                address: hello.underlay,
                other: other.host.clone(),
            });
        }
        let (reported, forged) = hosts.unsealed(reported);
        for entry in &forged {
            let ours = state.ledger.view().get(&entry.key());
            if ours.is_none_or(|ours| entry.epoch > ours.epoch) {
                tracing::warn!(%host, cluster = %entry.cluster, vm = %entry.vm, locator = %entry.locator.host, "claims a place for an endpoint that this controller never gave; it is not believed");
            }
        }
        let known = |entry: &Entry| state.members.contains_key(&entry.key());
        let (ours, strange): (Vec<Entry>, Vec<Entry>) = reported.into_iter().partition(known);
        let strange = strange
            .iter()
            .filter(|entry| entry.epoch > state.ledger.view().floor());
        for entry in strange {
            tracing::warn!(%host, cluster = %entry.cluster, vm = %entry.vm, "holds a row of a member that nobody knows");
        }
        let adopted = state.ledger.adopt(ours).await?;
        for (entry, error) in &adopted.refused {
            tracing::warn!(%host, cluster = %entry.cluster, vm = %entry.vm, %error, "a row that it holds is not taken over");
        }
        let moved = state.ledger.relocate(host, hello.underlay).await?;
        self.inner.store.txn(Txn::new().put_host(hello)?).await?;
        state.hosts.insert(host.clone(), hello.clone());

        // Welcome comes first on the wire: nobody else knows the connection yet.
        let welcome = connection.outbox().push(&Down::Welcome {
            protocol: PROTOCOL,
            inner: self.inner.underlay.address(host),
        });
        // One that has not heard of the secure underlay has now, and comes again with its part.
        self.inner.underlay.lets_in(hello)?;
        hosts.attach(connection);
        if welcome.is_err() {
            return Ok(());
        }
        // Before the rows: their locators are reached through it.
        self.inner.underlay.tell();
        let told = state.replace_anew(hosts, host);
        let mut changed: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
        for key in adopted.taken.iter().chain(&moved).map(Entry::key) {
            if let Some(entry) = state.ledger.view().get(&key) {
                changed.entry(key.0).or_default().push(entry.clone());
            }
        }
        let others: Vec<Told> = changed
            .into_iter()
            .map(|(cluster, entries)| state.spread(hosts, &cluster, None, &entries, &[]))
            .collect();
        let here = state.linked_here(host);
        let remains: Vec<Remains> = state
            .remains
            .iter()
            .filter(|left| left.host == *host)
            .cloned()
            .collect();
        drop(state);

        hosts.announce(HostChange::Up(host.clone()));
        self.inner.events.emit(What::HostUp { host: host.clone() });
        let registry = self.clone();
        let host = host.clone();
        tokio::spawn(async move {
            told.outcome().await.log("has not taken the whole truth");
            for told in others {
                told.outcome()
                    .await
                    .log("has not taken rows that another host knew better");
            }
            registry.clear_up(remains).await;
            registry.link_again(&host, here).await;
        });
        Ok(())
    }

    /// Takes note that a connection has ended.
    pub(crate) fn host_down(&self, connection: &Arc<Connection>) {
        if self.inner.hosts.detach(connection) {
            let host = connection.host().clone();
            self.inner.hosts.announce(HostChange::Down(host.clone()));
            self.inner.events.emit(What::HostDown { host });
        }
    }

    /// Ends what was unlinked while its host was away.
    async fn clear_up(&self, remains: Vec<Remains>) {
        for left in remains {
            let Remains {
                host,
                cluster,
                member,
            } = &left;
            match self.inner.hosts.order(host, end_of(cluster, member)).await {
                Ok(_) => {
                    let mut state = self.inner.state.lock().await;
                    if let Err(error) = self.inner.store.txn(Txn::new().delete_remains(&left)).await
                    {
                        tracing::warn!(%error, "the store failed");
                        continue;
                    }
                    state.remains.retain(|other| *other != left);
                }
                Err(error) => {
                    tracing::warn!(%error, %cluster, vm = %member.name, "what is left of a member stays");
                }
            }
        }
    }

    /// Makes sure that members that are hosts have their ports: the host may have lost them.
    async fn link_again(&self, host: &HostName, here: Vec<(Net, Member)>) {
        for (net, member) in here {
            let key = (net.cluster.clone(), member.name.clone());
            let _gate = self.gate(&key.0).read_owned().await;
            if !self.inner.state.lock().await.members.contains_key(&key) {
                continue;
            }
            let link = Order::Link { net, member };
            if let Err(error) = self.inner.hosts.order(host, link).await {
                tracing::warn!(%error, vm = %key.1, "a member's port may be missing");
            }
        }
    }
}

impl super::state::State {
    /// Members that are hosts and have a port on this one, with their networks.
    fn linked_here(&self, host: &HostName) -> Vec<(Net, Member)> {
        let here = self
            .members
            .values()
            .filter(|kept| kept.member.kind == MemberKind::Host && kept.linked_at.contains(host));
        here.filter_map(|kept| {
            let net = self.ledger.view().net(&kept.cluster)?;
            Some((net.clone(), kept.member.clone()))
        })
        .collect()
    }
}
