//! Set-up and repair: the same steps, each of which is content when there is nothing to do.
//!
//! * The agent starts, ovs-vswitchd runs: ports are known from the database, the directory from the
//!   journal, rules are read back by cookie and compared. Nothing is flushed, nothing disturbed.
//! * ovs-vswitchd starts: its links are still there when it was restarted, and new when the machine
//!   was; it has no rules and no tunnel neighbours. What is missing is set at once, the rules in one
//!   bundle. Ports keep their numbers. `flow-restore-wait` is not used: with the userspace datapath
//!   nothing is forwarded while ovs-vswitchd is away, a secure bridge drops until its rules are
//!   there, and the setting would hold back the underlay bridge as well.

use crate::carried::Carried;
use crate::config::{HostConfig, MtuBudget};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::held::Held;
use crate::host::{Host, Inner, Ports, State};
use crate::keep::Keep;
use crate::names::INTEGRATION;
use crate::neighbours::Neighbours;
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::ports;
use crate::secured;
use crate::switch::{PROTOCOLS, Switch};
use crate::tap::no_ipv6;
use crate::underlay;
use crate::unixctl::Unixctl;
use control::projection::{HostView, converge};
use ovsdb::{Row, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Between two attempts to repair.
const AGAIN: Duration = Duration::from_millis(20);

/// The longest pause between attempts.
const SELDOM: Duration = Duration::from_secs(1);

impl Host {
    /// Sets up the host of the calling thread's network namespace; see [`Host::set_up_in`].
    pub async fn set_up(config: HostConfig) -> Result<Self> {
        Self::set_up_in(&Netns::current()?, config).await
    }

    /// Makes the host as configured, or finds that it is. Its daemons run already
    /// ([`crate::daemons::Daemons`]). Repairs it from then on, for as long as a clone of the value
    /// lives.
    pub async fn set_up_in(netns: &Netns, config: HostConfig) -> Result<Self> {
        config.check()?;
        let netlink = Netlink::open(netns).await?;
        let budget = underlay::budget(&netlink, &config).await?;
        let database = Database::open(&config.rundir.join("db.sock")).await?;
        let found = set_up_bridges(&database, &config, &budget).await?;
        let config = Arc::new(config);
        let control = Arc::new(Unixctl::new(config.rundir.join("vswitchd.ctl")));
        let neighbours = Arc::new(Neighbours::new(
            netlink.clone(),
            Arc::clone(&control),
            Arc::clone(&config),
        ));
        let inner = Arc::new(Inner {
            state: Mutex::new(recall(&config, &found)?),
            switch: Switch::new(&config.rundir),
            ports: Mutex::new(Ports {
                members: found.members,
                ..Ports::default()
            }),
            config,
            budget,
            netns: netns.clone(),
            netlink,
            database,
            control,
            neighbours: Arc::clone(&neighbours),
            doubt: Notify::new(),
            carried: Carried::default(),
        });
        inner.repair().await?;
        let tasks = vec![
            tokio::spawn(neighbours.keep()),
            tokio::spawn(watch(Arc::clone(&inner))),
        ];
        Ok(Self::new(inner, tasks))
    }
}

/// Makes the bridges, and removes the ports that nobody needs.
async fn set_up_bridges(
    database: &Database,
    config: &HostConfig,
    budget: &MtuBudget,
) -> Result<ports::Found> {
    let bridges = database.bridges().await?;
    let rows = database.ports().await?;
    let found = ports::read(&rows);
    let outer = budget.outer();
    let mut ops = underlay::plan(database, config, outer, &bridges, &rows);
    ops.extend(secured::plan(
        database,
        config,
        budget.carries,
        &bridges,
        &rows,
    ));
    let columns = Row::new()
        .with("datapath_type", "netdev")
        .with("fail_mode", "secure")
        .with("protocols", Value::set(PROTOCOLS));
    let exists = bridges.iter().any(|name| name == INTEGRATION);
    ops.extend(database.bridge(exists, INTEGRATION, columns));
    for row in &found.stale {
        tracing::info!(port = row.name, "removing a port that nobody needs");
        ops.push(database.remove_port(INTEGRATION, row.uuid));
    }
    database.commit("make the bridges", ops).await?;
    Ok(found)
}

/// What was held before the agent ended.
fn recall(config: &HostConfig, found: &ports::Found) -> Result<State> {
    let underlay = config.locator();
    let underlay = underlay.ok_or_else(|| Error::Config("underlay is empty".to_owned()))?;
    let mut view = HostView::new(config.host.clone(), underlay);
    view.tunnels = found.tunnels.clone();
    view.gpe = found.gpe;
    for (key, port) in &found.members {
        view.ports.insert(key.clone(), port.ofport);
        view.nets.insert(key.0.clone(), port.net.clone());
    }
    let mut held = Held::new(view);
    let (mut keep, orders) = Keep::open(&config.rundir.join("directory.journal"))?;
    for order in &orders {
        held.take(order);
    }
    // Also repairs a line that a crash has cut off.
    keep.rewrite(&held.slice().into())?;
    Ok(State {
        held,
        keep,
        generation: 0,
    })
}

/// Repairs whenever the switch's connection was lost, or somebody doubts its rules.
async fn watch(inner: Arc<Inner>) {
    loop {
        tokio::select! {
            () = inner.switch.closed() => tracing::info!("the switch has gone; waiting for it"),
            () = inner.doubt.notified() => {}
        }
        let mut pause = AGAIN;
        while let Err(error) = inner.repair().await {
            tracing::debug!(%error, "the host is not as it should be yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
        }
        tracing::info!("the host is as it should be");
    }
}

impl Inner {
    /// Makes the kernel, the tunnel neighbours and the rules as they should be.
    async fn repair(&self) -> Result<()> {
        self.switch.connect().await?;
        let ports = self.ports.lock().await;
        // An empty change: its acknowledgement says that every port exists.
        self.database
            .commit("wait for ovs-vswitchd", Vec::new())
            .await?;
        let settled = self.settle(&ports).await;
        // Rules do not wait for what may be missing in the kernel.
        let rules = self.converge_rules().await;
        settled.and(rules.map(drop))
    }

    async fn settle(&self, ports: &Ports) -> Result<()> {
        self.netns
            .sysctl(format!("ipv6/conf/{INTEGRATION}/disable_ipv6"), "1")
            .await
            .or_else(no_ipv6)?;
        if let Some(secured) = &self.config.secured {
            secured::settle(&self.netns, &self.netlink, secured).await?;
        }
        underlay::settle(&self.netns, &self.netlink, &self.control, &self.config).await?;
        self.neighbours.begin().await?;
        for port in ports.members.values() {
            self.settle_port(port).await?;
        }
        Ok(())
    }

    /// Reads the rules back and installs the difference, all at the same instant. Gives its size.
    pub(crate) async fn converge_rules(&self) -> Result<usize> {
        let state = self.state.lock().await;
        let installed = self.switch.installed().await?;
        let steps = converge(installed, &state.held.rules());
        if !steps.is_empty() {
            tracing::info!(rules = steps.len(), "converging the switch's rules");
            self.switch
                .send_bundle("converge the rules", self.switch.encode(&steps))
                .await?;
        }
        Ok(steps.len())
    }
}
