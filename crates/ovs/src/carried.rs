//! Connections of members with security rules: told, taken over from another host, cut.
//!
//! A carried connection needs rules of its own only until the switch's table has it. Open ones are
//! looked at now and then, and their rules go as soon as both sides have spoken: from then on it is
//! a connection like any other, and its end is its end.
//!
//! A change of the rules of a running member cuts what they no longer allow: connections that are
//! under way too, at once, whoever opened them.

use crate::conntrack;
use crate::error::Result;
use crate::held::Order;
use crate::host::{Host, Inner};
use control::carry;
use control::projection::{HostView, Key};
use model::{Connection, Flow};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Until the first look at connections that were carried; twice as long until each other one.
const LOOK: Duration = Duration::from_secs(4);

/// The longest time between two looks.
const SELDOM: Duration = Duration::from_secs(60);

/// What was taken over, and when.
type Taken = BTreeMap<Key, BTreeMap<Flow, (Connection, Instant)>>;

/// Connections that were taken over and may have rules of their own still.
#[derive(Debug, Default)]
pub(crate) struct Carried(Mutex<Taken>);

impl Carried {
    fn with<T>(&self, act: impl FnOnce(&mut Taken) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of connections; true when there were none before.
    fn add(&self, key: &Key, connections: &[Connection]) -> bool {
        let now = Instant::now();
        self.with(|all| {
            let first = all.is_empty();
            let of_key = all.entry(key.clone()).or_default();
            of_key.extend(connections.iter().map(|one| (one.flow, (*one, now))));
            first
        })
    }

    /// Those of a member that would not be forgotten yet, had they been silent since.
    fn of(&self, key: &Key) -> Vec<Connection> {
        let left = |(connection, since): &(Connection, Instant)| {
            let silent = since.elapsed().as_secs().min(u64::from(u32::MAX)) as u32;
            let expires_s = connection.expires_s.checked_sub(silent)?;
            Some(Connection {
                expires_s,
                ..*connection
            })
        };
        self.with(|all| {
            let of_key = all.get(key).into_iter().flat_map(BTreeMap::values);
            of_key.filter_map(left).collect()
        })
    }

    fn forget(&self, key: &Key, gone: impl Fn(&Flow) -> bool) {
        self.with(|all| {
            if let Some(flows) = all.get_mut(key) {
                flows.retain(|flow, _| !gone(flow));
            }
            all.retain(|_, flows| !flows.is_empty());
        });
    }
}

impl Host {
    /// Whether a member that has its port here has security rules, so that its connections matter.
    pub async fn is_secured(&self, key: &Key) -> bool {
        secured(&self.inner.state.lock().await.held.view, key).is_some()
    }

    /// The connections under way of a member whose rules are in force here; those that came with
    /// it and have been silent since are among them. None for a member without rules.
    ///
    /// # Errors
    /// The switch does not tell.
    pub async fn connections(&self, key: &Key) -> Result<Vec<Connection>> {
        let mut all = self.inner.tracked(key).await?;
        let known: BTreeSet<Flow> = all.iter().map(|one| one.flow).collect();
        let silent = self.inner.carried.of(key).into_iter();
        all.extend(silent.filter(|one| !known.contains(&one.flow)));
        Ok(all)
    }

    /// Lets connections of a member that is coming here, or has come, go on, though its rules alone
    /// would not let their next packet pass. Waits until the switch has acknowledged it. Connections
    /// that the member's rules do not allow are left out; for a member without rules, or without a
    /// port here, nothing is done.
    ///
    /// # Errors
    /// The switch does not take it.
    pub async fn carry(&self, key: &Key, connections: &[Connection]) -> Result<()> {
        let inner = &self.inner;
        let (allowed, messages) = {
            let state = inner.state.lock().await;
            let view = &state.held.view;
            if secured(view, key).is_none() {
                return Ok(());
            }
            let allowed = connections.iter().copied();
            let allowed: Vec<Connection> = allowed
                .filter(|one| carry::permits(view, key, &one.flow))
                .collect();
            let rules = allowed.iter().flat_map(|one| carry::carry(view, key, one));
            let rules = rules.collect();
            (allowed, rules)
        };
        inner
            .switch
            .send_messages("let connections go on", messages)
            .await?;
        if inner.carried.add(key, &allowed) {
            tokio::spawn(look_after(Arc::downgrade(inner)));
        }
        Ok(())
    }
}

/// The port, where rules are in force.
pub(crate) fn secured(view: &HostView, key: &Key) -> Option<u32> {
    let entry = view.entries.get(key)?;
    let port = view.ports.get(key).copied();
    port.filter(|_| !entry.security.is_empty())
}

fn addresses(view: &HostView, key: &Key) -> Vec<IpAddr> {
    let entry = view.entries.get(key);
    entry.map(model::Entry::addresses).unwrap_or_default()
}

/// Members with a port here whose security rules an order changes.
pub(crate) fn resecured(view: &HostView, order: &Order) -> Vec<Key> {
    let changed = order.entries.iter().filter(|entry| {
        let key = entry.key();
        let held = view.entries.get(&key);
        view.ports.contains_key(&key)
            && held.is_none_or(|held| held.epoch < entry.epoch)
            && held.map_or(&[][..], |held| &held.security) != entry.security
    });
    changed.map(model::Entry::key).collect()
}

/// Looks until none is left.
async fn look_after(inner: Weak<Inner>) {
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SELDOM);
        let Some(inner) = inner.upgrade() else { return };
        let keys: Vec<Key> = inner.carried.with(|all| all.keys().cloned().collect());
        for key in &keys {
            if let Err(error) = inner.hand_to_the_table(key).await {
                tracing::debug!(%error, vm = %key.1, "carried connections; looking again");
            }
        }
        if inner.carried.with(|all| all.is_empty()) {
            return;
        }
    }
}

impl Inner {
    /// The connections that the switch's table has of a member with rules.
    async fn tracked(&self, key: &Key) -> Result<Vec<Connection>> {
        let (port, own) = {
            let state = self.state.lock().await;
            let view = &state.held.view;
            match secured(view, key) {
                Some(port) => (port, addresses(view, key)),
                None => return Ok(Vec::new()),
            }
        };
        let all = conntrack::connections(&self.control, port).await?;
        Ok(conntrack::of_member(all, &own))
    }

    /// Drops the rules of carried connections that the table has by now, and forgets those whose
    /// rules have ended by themselves.
    async fn hand_to_the_table(&self, key: &Key) -> Result<()> {
        let known = self.tracked(key).await?;
        let known: BTreeSet<Flow> = known
            .iter()
            .filter(|one| one.established)
            .map(|one| one.flow)
            .collect();
        let waiting: BTreeSet<Flow> = self.carried.of(key).iter().map(|one| one.flow).collect();
        let messages = {
            let state = self.state.lock().await;
            let view = &state.held.view;
            let done = waiting.intersection(&known);
            done.flat_map(|flow| carry::drop_carried(view, key, flow))
                .collect()
        };
        self.switch
            .send_messages("let connections go on by themselves", messages)
            .await?;
        self.carried
            .forget(key, |flow| known.contains(flow) || !waiting.contains(flow));
        Ok(())
    }

    /// Cuts what a member's rules no longer allow.
    pub(crate) async fn resecure(&self, key: &Key) -> Result<()> {
        let (port, open, own) = {
            let state = self.state.lock().await;
            let view = &state.held.view;
            let Some(port) = view.ports.get(key).copied() else {
                return Ok(());
            };
            (port, secured(view, key).is_none(), addresses(view, key))
        };
        if open {
            return self.forget_connections(key, port).await;
        }
        let carried = self.carried.of(key);
        let known = conntrack::connections(&self.control, port).await?;
        let known = conntrack::of_member(known, &own);
        let (again, cut) = {
            let state = self.state.lock().await;
            let view = &state.held.view;
            let allowed = |one: &&Connection| carry::permits(view, key, &one.flow);
            let still = carried.iter().filter(allowed);
            let mut again = vec![carry::drop_all(port)];
            again.extend(still.flat_map(|one| carry::carry(view, key, one)));
            let cut = known.iter().map(|one| one.flow);
            let cut: Vec<Flow> = cut
                .filter(|flow| !carry::permits(view, key, flow))
                .collect();
            (again, cut)
        };
        self.switch
            .send_messages("let only allowed connections go on", again)
            .await?;
        for flow in &cut {
            conntrack::forget(&self.control, port, flow).await?;
        }
        Ok(())
    }

    /// Forgets every connection of the member behind a port: it has left, or its rules have.
    pub(crate) async fn forget_connections(&self, key: &Key, port: u32) -> Result<()> {
        self.carried.forget(key, |_| true);
        let all = vec![carry::drop_all(port)];
        self.switch
            .send_messages("let no connection go on", all)
            .await?;
        conntrack::forget_all(&self.control, port).await
    }
}
