//! The one act by which an endpoint moves: by hand, or by the migration engine.

use super::due::apply_at;
use super::state::{Rows, State};
use super::told::Told;
use super::{Registry, mtu, no_such_cluster, no_such_member};
use crate::hosts::OrderError;
use crate::{clock, problems};
use api::Problem;
use api::view::Placed;
use control::Key;
use model::event::What;
use model::news::Answer;
use model::order::Order;
use model::{ClusterName, Entry, Epoch, HostName, Locator, MemberKind, MigrationId, Nanos, VmName};
use std::collections::BTreeMap;
use std::time::Instant;
use store::Txn;

/// A change of one endpoint's place that is stored and was told.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The row as it is now.
    pub entry: Entry,
    /// What each host that was told has answered. One that is away gets it when it dials in.
    pub told: BTreeMap<HostName, Result<Answer, OrderError>>,
}

impl Committed {
    /// The version of the place.
    pub fn epoch(&self) -> Epoch {
        self.entry.epoch
    }

    /// The first failure of a host that is there.
    pub fn failure(&self) -> Option<&OrderError> {
        self.told
            .values()
            .filter_map(|answer| answer.as_ref().err())
            .find(|error| !error.is_away())
    }
}

impl Registry {
    /// Says that an endpoint is now at `locator`: stores it, then tells the hosts, all at the same
    /// time, and waits for their answers.
    ///
    /// With `at`, exactly the hosts named are told, each to do it at its moment ([`Answer::Scheduled`]
    /// comes at once when that lies ahead); tell the others later with [`Registry::settle`]. Without
    /// it every host that holds the cluster's rows is told to do it now.
    ///
    /// # Errors
    /// There is no such endpoint, or the store fails; nothing is told then.
    pub async fn commit(
        &self,
        key: &Key,
        locator: Locator,
        at: Option<BTreeMap<HostName, Nanos>>,
        migration: Option<MigrationId>,
    ) -> Result<Committed, Problem> {
        let mut state = self.inner.state.lock().await;
        let (entry, told) = self
            .commit_in(&mut state, key, locator, at, migration)
            .await?;
        drop(state);
        let told = told.outcome().await.by_host();
        self.inner.events.emit(What::ClusterChanged {
            cluster: key.0.clone(),
        });
        Ok(Committed { entry, told })
    }

    /// Tells every host that holds the cluster's rows where an endpoint is, now. Hosts that know it
    /// ignore it.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub async fn settle(&self, key: &Key) -> Result<Committed, Problem> {
        let mut state = self.inner.state.lock().await;
        let entry = state.ledger.view().get(key).cloned();
        let entry = entry.ok_or_else(|| no_such_member(&key.0, &key.1))?;
        state.due.forget(key);
        let told = state.spread(
            &self.inner.hosts,
            &key.0,
            None,
            std::slice::from_ref(&entry),
            &[],
        );
        drop(state);
        Ok(Committed {
            entry,
            told: told.outcome().await.by_host(),
        })
    }

    /// Gives a host all rows of a cluster, and from now on every change of them, though it has no
    /// member of it (yet): what a migration's target needs before anything moves.
    ///
    /// # Errors
    /// There is no such cluster or host, its uplinks are too narrow, or it does not do it.
    pub async fn admit(&self, cluster: &ClusterName, host: &HostName) -> Result<(), Problem> {
        let mut state = self.inner.state.lock().await;
        let hello = state.connected(self, host)?;
        let net = state.ledger.view().net(cluster).cloned();
        let net = net.ok_or_else(|| no_such_cluster(cluster))?;
        mtu::check(&hello, net.encap, net.mtu)?;
        let mut told = Told::default();
        state.invite(&self.inner.hosts, host, cluster, &mut told);
        drop(state);
        let outcome = told.outcome().await;
        match outcome.0.into_iter().find_map(|(_, result)| result.err()) {
            None => Ok(()),
            Some(error) => Err(problems::order(&error)),
        }
    }

    /// Takes a cluster's rows from a host again, unless it has members of it: after a migration
    /// from the source, after one that went back from the target.
    pub async fn dismiss(&self, cluster: &ClusterName, host: &HostName) {
        let mut told = Told::default();
        self.inner
            .state
            .lock()
            .await
            .dismiss(&self.inner.hosts, host, cluster, &mut told);
        told.outcome()
            .await
            .log("has not forgotten a cluster that left it");
    }

    /// Changes where one endpoint is reached, for members that something else has moved. A member
    /// that is a host gets its port there first, where it has none; its port at the old place stays,
    /// fenced.
    ///
    /// # Errors
    /// What stands in the way; the endpoint stays where it is.
    pub async fn update(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        to: &HostName,
    ) -> Result<Placed, Problem> {
        let begun = Instant::now();
        let _gate = self.enter(cluster).await?;
        let key = (cluster.clone(), member.clone());
        let mut state = self.inner.state.lock().await;
        if !state.clusters.contains_key(cluster) {
            return Err(no_such_cluster(cluster));
        }
        let missing = || no_such_member(cluster, member);
        let net = state
            .ledger
            .view()
            .net(cluster)
            .cloned()
            .ok_or_else(missing)?;
        let kept = state.members.get(&key).cloned().ok_or_else(missing)?;
        let hello = state.connected(self, to)?;
        mtu::check(&hello, net.encap, net.mtu)?;

        let mut along = Txn::new();
        if matches!(kept.member.kind, MemberKind::Vm { .. }) {
            drop(state);
            let there = self
                .runs(cluster, member, to)
                .await
                .map_err(|error| problems::order(&error))?;
            if !there {
                return Err(Problem::refused(
                    format!("VM '{member}' is not on host '{to}'."),
                    format!(
                        "Move it there with `transhume migrate {cluster} --to {}`.",
                        hello.site
                    ),
                ));
            }
            state = self.inner.state.lock().await;
        } else if !kept.linked_at.contains(to) {
            drop(state);
            let link = Order::Link {
                net: net.clone(),
                member: kept.member.clone(),
            };
            let linked = self.inner.hosts.order(to, link).await;
            linked.map_err(|error| problems::order(&error))?;
            state = self.inner.state.lock().await;
            let kept = state.members.get_mut(&key).ok_or_else(missing)?;
            kept.linked_at.insert(to.clone());
            along = along
                .put_member(kept)
                .map_err(|error| problems::store(&error))?;
        }
        let before = state.ledger.view().get(&key).ok_or_else(missing)?;
        let before = before.locator.clone();
        let locator = Locator {
            host: hello.host,
            address: hello.underlay,
        };
        let entry = state.ledger.commit(&key, locator, along).await?;
        state.due.forget(&key);
        let rows = std::slice::from_ref(&entry);
        // The new place before those who send there: no packet may come to a switch that does not
        // know yet that its own member is meant.
        let mut first = Told::default();
        if state.holds(to, cluster) {
            first.add(
                to.clone(),
                self.inner
                    .hosts
                    .send(to, apply_at(entry.clone(), None, None)),
            );
        }
        drop(state);
        let mut outcome = first.outcome().await;
        if outcome.failure().is_none() {
            let mut state = self.inner.state.lock().await;
            let told = state.spread(&self.inner.hosts, cluster, None, rows, &[]);
            drop(state);
            outcome = told.outcome().await;
        }
        if let Some(error) = outcome.failure() {
            let mut problem = problems::order(error);
            if let Err(left) = self.commit(&key, before, None, None).await {
                problem = problems::with_remains(problem, &[left.to_string()]);
            }
            return Err(problem);
        }
        let took_ms = begun.elapsed().as_secs_f64() * 1000.0;
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        Ok(Placed {
            cluster: cluster.clone(),
            member: member.clone(),
            locator: entry.locator,
            epoch: entry.epoch,
            mtu: net.mtu,
            took_ms,
        })
    }

    async fn commit_in(
        &self,
        state: &mut State,
        key: &Key,
        locator: Locator,
        at: Option<BTreeMap<HostName, Nanos>>,
        migration: Option<MigrationId>,
    ) -> Result<(Entry, Told), Problem> {
        let hosts = &self.inner.hosts;
        let before = state.ledger.view().get(key).cloned();
        match at.as_ref().and_then(|moments| moments.values().min()) {
            Some(first) => self.inner.turns.plan(key, &locator, *first),
            None => self.inner.turns.forget(key, &locator),
        }
        let entry = state.ledger.commit(key, locator, Txn::new()).await?;
        let rows = std::slice::from_ref(&entry);
        let (Some(at), Some(before)) = (at, before) else {
            state.due.forget(key);
            let told = state.spread(hosts, &key.0, None, rows, &[]);
            return Ok((entry, told));
        };
        let mut told = Told::default();
        for (host, moment) in &at {
            let order = apply_at(entry.clone(), Some(*moment), migration.clone());
            told.add(host.clone(), hosts.send(host, order));
        }
        state
            .due
            .add(clock::now(), before, entry.clone(), at, migration);
        Ok((entry, told))
    }
}
