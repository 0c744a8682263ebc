//! One host: its switch, what it holds of the directory, and the rules that follow from it.
//!
//! [`Host`] is the agent's hand. Set-up and repair are in `converge.rs`, members' ports in
//! [`crate::link`], gates in [`crate::gate`], frames on a port in [`crate::tapio`]; here are the
//! directory and the rules. Two locks keep a flip fast: everything that waits for ovs-vswitchd to
//! reconfigure holds `ports` only, everything that changes rules holds `state`, for about as long
//! as the switch needs to acknowledge them.

use crate::carried::{Carried, resecured};
use crate::config::{HostConfig, MtuBudget};
use crate::database::Database;
use crate::error::Result;
use crate::gate::OpenGate;
use crate::gateway::OpenLispGateway;
use crate::held::{Applied, Held, Order};
use crate::keep::Keep;
use crate::neighbours::Neighbours;
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::ports::Port;
use crate::switch::Switch;
use crate::tapio::TapIo;
use crate::unixctl::Unixctl;
use control::projection::{Arrivals, Change, Key};
use model::order::Gone;
use model::{ClusterName, Encap, Entry, Net, Slice};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

/// One host's Open vSwitch. Clones share it; when the last is dropped, the switch goes on as it is.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
    _tasks: Arc<Tasks>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) budget: MtuBudget,
    pub(crate) netns: Netns,
    pub(crate) netlink: Netlink,
    pub(crate) database: Database,
    pub(crate) control: Arc<Unixctl>,
    pub(crate) neighbours: Arc<Neighbours>,
    pub(crate) switch: Switch,
    /// Held while ports are made or removed.
    pub(crate) ports: Mutex<Ports>,
    /// Held while rules are changed.
    pub(crate) state: Mutex<State>,
    /// Asks for the rules to be read back and compared.
    pub(crate) doubt: Notify,
    /// Connections that came here with their members.
    pub(crate) carried: Carried,
}

/// The ports on `icint0`.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) members: BTreeMap<Key, Port>,
    pub(crate) gates: BTreeMap<Key, OpenGate>,
    pub(crate) gateways: BTreeMap<ClusterName, OpenLispGateway>,
}

/// What is held of the directory.
pub(crate) struct State {
    pub(crate) held: Held,
    pub(crate) keep: Keep,
    /// Counts changes, so that what was prepared for another state is not used.
    pub(crate) generation: u64,
}

/// What goes on in the background for as long as a clone of the host lives.
pub(crate) struct Tasks(pub(crate) Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// A change of the directory, worked out ahead of its moment.
#[derive(Debug, Clone)]
pub struct Prepared {
    order: Order,
    generation: u64,
    applied: Applied,
    steps: Vec<Change>,
    batch: crate::switch::Batch,
}

impl Host {
    pub(crate) fn new(inner: Arc<Inner>, tasks: Vec<JoinHandle<()>>) -> Self {
        Self {
            inner,
            _tasks: Arc::new(Tasks(tasks)),
        }
    }

    /// What the underlay leaves for tunnels, bytes; 0 where nothing was said.
    pub fn tunnels_carry(&self) -> u16 {
        let config = &self.inner.config;
        let secured = config.secured.as_ref();
        secured.map_or(config.uplink_mtu, |secured| {
            secured.leaves(config.uplink_mtu)
        })
    }

    /// The host's configuration.
    pub fn config(&self) -> &HostConfig {
        &self.inner.config
    }

    /// Takes a slice as the whole truth. Rows that are newer here stay.
    pub async fn replace(&self, slice: Slice) -> Result<Applied> {
        self.take(slice.into()).await
    }

    /// Takes rows where their epoch is newer, and waits until the switch has acknowledged the
    /// rules that change. A row that is not newer is ignored; the same row again is no change.
    pub async fn apply(
        &self,
        nets: Vec<Net>,
        entries: Vec<Entry>,
        removed: Vec<Gone>,
    ) -> Result<Applied> {
        self.take(Order {
            whole: false,
            nets,
            entries,
            removed,
        })
        .await
    }

    async fn take(&self, order: Order) -> Result<Applied> {
        self.inner.know_neighbours(&order).await;
        let mut state = self.inner.state.lock().await;
        let State {
            held,
            keep,
            generation,
        } = &mut *state;
        let secured = resecured(&held.view, &order);
        let (applied, steps) = held.take(&order);
        if applied.changed > 0 {
            *generation += 1;
            note(keep.add(&order, || held.slice()));
        }
        self.inner
            .send("install the directory's rules", &steps)
            .await?;
        drop(state);
        for key in &secured {
            self.inner.resecure(key).await?;
        }
        Ok(applied)
    }

    /// Works out a change of the directory ahead of its moment: neighbours known, rules compared
    /// and encoded. Nothing changes yet.
    pub async fn prepare(
        &self,
        nets: Vec<Net>,
        entries: Vec<Entry>,
        removed: Vec<Gone>,
    ) -> Prepared {
        let order = Order {
            whole: false,
            nets,
            entries,
            removed,
        };
        self.inner.know_neighbours(&order).await;
        let state = self.inner.state.lock().await;
        let (applied, steps) = state.held.clone().take(&order);
        let batch = self.inner.switch.encode(&steps);
        Prepared {
            order,
            generation: state.generation,
            applied,
            steps,
            batch,
        }
    }

    /// Does what was prepared: one write, one acknowledgement. When something else has changed
    /// since, it is worked out again first.
    pub async fn commit_prepared(&self, prepared: Prepared) -> Result<Applied> {
        let mut state = self.inner.state.lock().await;
        if state.generation != prepared.generation {
            drop(state);
            return self.take(prepared.order).await;
        }
        if prepared.applied.changed == 0 {
            return Ok(prepared.applied);
        }
        // The journal is never behind the switch. What is held follows while the switch works.
        let State {
            held,
            keep,
            generation,
        } = &mut *state;
        *generation += 1;
        let secured = resecured(&held.view, &prepared.order);
        note(keep.add(&prepared.order, || {
            let mut after = held.clone();
            after.take(&prepared.order);
            after.slice()
        }));
        let sent = self
            .inner
            .send_batch("flip", prepared.batch, &prepared.steps);
        let (sent, _) = tokio::join!(sent, async { held.take(&prepared.order) });
        sent?;
        drop(state);
        for key in &secured {
            self.inner.resecure(key).await?;
        }
        Ok(prepared.applied)
    }

    /// Waits until packets follow the rules.
    ///
    /// A switch acknowledges rules when it holds them. What it has cached for packets that it saw
    /// before is revised right after, by threads of its own: usually within a millisecond, later
    /// on a busy machine. A packet in between still goes the old way, or is still dropped. The
    /// answer comes with the next full revision, up to half a second later: for tests and doubts,
    /// not for a switchover.
    pub async fn effective(&self) -> Result<()> {
        self.inner
            .control
            .run("revalidator/wait", &[])
            .await
            .map(drop)
    }

    /// Overrides what is done with packets that come out of tunnels for an endpoint; `None` gives
    /// the default back.
    pub async fn set_arrivals(&self, key: &Key, arrivals: Option<Arrivals>) -> Result<()> {
        if let Some(Arrivals::Redirect { to }) = arrivals {
            self.inner.know_locators([to]).await;
        }
        let mut state = self.inner.state.lock().await;
        state.generation += 1;
        let steps = state.held.set_arrivals(key, arrivals);
        self.inner
            .send("change what is done with arrivals", &steps)
            .await
    }

    /// The rows held.
    pub async fn entries(&self) -> Vec<Entry> {
        self.inner
            .state
            .lock()
            .await
            .held
            .view
            .entries
            .values()
            .cloned()
            .collect()
    }

    /// The networks and rows held.
    pub async fn slice(&self) -> Slice {
        self.inner.state.lock().await.held.slice()
    }

    /// The members' ports on this host.
    pub async fn ports(&self) -> BTreeMap<Key, Port> {
        self.inner.ports.lock().await.members.clone()
    }

    /// Largest IP packet of a member over this encapsulation, bytes.
    pub fn mtu(&self, encap: Encap) -> u16 {
        self.inner.budget.inner(encap)
    }

    /// Makes sure that tunnels to these underlay addresses work at their first packet.
    pub async fn resolve(&self, locators: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        self.inner.neighbours.resolve(locators).await
    }

    /// The tunnel neighbours of the host.
    pub fn neighbours(&self) -> &Neighbours {
        &self.inner.neighbours
    }

    /// The control socket of ovs-vswitchd.
    pub fn control(&self) -> &Unixctl {
        &self.inner.control
    }

    /// Frames on ports of this host.
    pub fn tap_io(&self) -> TapIo {
        TapIo::new(self.inner.netns.clone(), self.inner.netlink.clone())
    }

    /// Reads the switch's rules back and installs what is missing or wrong; gives the number of
    /// rules that were. Done by itself whenever the switch may have lost some.
    pub async fn converge_rules(&self) -> Result<usize> {
        self.inner.converge_rules().await
    }
}

/// A full disk must not hold up a flip: the controller tells everything again after a restart.
fn note(kept: Result<()>) {
    if let Err(error) = kept {
        tracing::error!(%error, "going on without it");
    }
}

impl Inner {
    /// Sends the steps and waits for the acknowledgement. After a failure the rules are read back.
    pub(crate) async fn send(&self, what: &'static str, steps: &[Change]) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        self.send_batch(what, self.switch.encode(steps), steps)
            .await
    }

    async fn send_batch(
        &self,
        what: &'static str,
        batch: crate::switch::Batch,
        steps: &[Change],
    ) -> Result<()> {
        let sent = self.switch.send(what, batch).await;
        if let Err(error) = &sent {
            tracing::warn!(%error, steps = steps.len(), "rules are read back and compared");
            self.doubt.notify_one();
        }
        sent
    }

    /// Has the neighbours known that an order's rules need; one that stays silent does not hold the
    /// order up a second time.
    async fn know_neighbours(&self, order: &Order) {
        self.know_locators(order.entries.iter().map(|entry| entry.locator.address))
            .await;
    }

    async fn know_locators(&self, locators: impl IntoIterator<Item = IpAddr>) {
        if let Err(error) = self.neighbours.resolve_new(locators).await {
            tracing::warn!(%error, "a tunnel has no neighbour yet; asking on");
        }
    }
}
