//! What each command of the gang takes: orders to hosts, changes of the directory.

use super::again::{Paces, may_pass};
use super::run::Input;
use super::{Mover, order};
use crate::{Hosts, OrderError, Registry};
use api::problem::Kind;
use migration::gang::{Command, Event};
use migration::plan::{BULK_SHARE, DRAIN_MS};
use migration::schedule::{self, Schedule};
use migration::script::Script;
use model::libvirt::Description;
use model::migration::{FlipOrder, Migration, Options};
use model::news::{Answer, Hello};
use model::order::{Order, Sending};
use model::{ClusterName, HostName, Locator, MemberKind, MigrationId, VmName};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Rate on hold, as a share of the link, before compression.
const HOLD_SHARE: f64 = 0.8;
/// QEMU takes new limits at the end of its 100 ms window.
const WINDOW_MS: f64 = 102.0;
/// Room for a late order, ms.
const SLACK_MS: f64 = 200.0;
/// The guest must answer its agent within this at the target, ms.
const VERIFY_MS: f64 = 5000.0;
/// What a host did not do is asked of it again after this.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
/// A target whose agent is away is waited for this long before its VM counts as one that does not answer.
const AWAY: Duration = Duration::from_secs(180);

/// One migration's hands.
pub(crate) struct Steps {
    pub(crate) hosts: Hosts,
    pub(crate) id: MigrationId,
    pub(crate) options: Options,
    registry: Registry,
    pub(super) cluster: ClusterName,
    pub(super) movers: BTreeMap<VmName, Mover>,
    input: mpsc::UnboundedSender<Input>,
    pub(super) burst: AtomicU64,
    /// One-way data delay from a peer to a source host, ms.
    delays: Mutex<BTreeMap<(HostName, HostName), f64>>,
    /// Where each prepared target listens.
    relays: Mutex<BTreeMap<VmName, std::net::SocketAddr>>,
    pub(super) paces: Paces,
}

/// What was chosen, with the rate that was given of it.
fn as_given(migration: &Migration) -> Options {
    let mut options = migration.options.clone();
    if migration.given_mbit > 0.0 {
        options.bandwidth_mbit = migration.given_mbit;
    }
    options
}

/// One-way delay from a host to another one's responder, ms, measured now.
pub(crate) async fn one_way(hosts: &Hosts, from: &HostName, to: &Hello) -> Option<f64> {
    if *from == to.host {
        return Some(0.0);
    }
    let question = Order::MeasureDelays {
        hosts: vec![(to.host.clone(), to.delay_responder)],
    };
    match hosts.order(from, question).await {
        Ok(Answer::Delays { one_way_ms, .. }) => one_way_ms.first().map(|(_, ms)| *ms),
        _ => None,
    }
}

impl Steps {
    pub(crate) fn new(
        hosts: Hosts,
        registry: Registry,
        migration: &Migration,
        movers: &[Mover],
        input: mpsc::UnboundedSender<Input>,
    ) -> Self {
        Self {
            hosts,
            registry,
            id: migration.id.clone(),
            options: as_given(migration),
            cluster: migration.cluster.clone(),
            movers: movers
                .iter()
                .map(|m| (m.member.name.clone(), m.clone()))
                .collect(),
            input,
            burst: AtomicU64::new(0),
            delays: Mutex::default(),
            relays: Mutex::default(),
            paces: Paces::default(),
        }
    }

    /// What the disks may take before memory is sent, s: twice what the link needs for all of them.
    pub(crate) fn mirror_s(&self) -> f64 {
        let copied = |mover: &Mover| match &mover.member.kind {
            MemberKind::Vm { spec } => spec.copied_bytes(),
            MemberKind::Host => 0,
        };
        let bytes: u64 = self.movers.values().map(copied).sum();
        2.0 * bytes as f64 / self.copy_rate().max(1e5)
    }

    pub(crate) fn names(&self) -> Vec<VmName> {
        self.movers.keys().cloned().collect()
    }

    /// The cluster is free for other changes again.
    pub(crate) fn release_cluster(&self) {
        self.registry.release(&self.cluster);
    }

    /// Expected bytes of the whole gang after the stop.
    pub(crate) fn burst_bytes(&self, bytes: u64) {
        self.burst.store(bytes, Ordering::Relaxed);
    }

    /// Says what is waited for.
    pub(super) fn waits(&self, why: String) {
        let _ = self.input.send(Input::Waiting(why));
    }

    pub(super) fn say(&self, event: Event) {
        let _ = self.input.send(Input::Event(event));
    }

    fn fail(&self, vm: &VmName, why: String) {
        self.say(Event::Failed {
            vm: vm.clone(),
            why,
            in_doubt: false,
        });
    }

    /// Every host whose switch forwards to the gang: those with members, and the targets.
    pub(super) async fn peers(&self) -> Vec<HostName> {
        let mut peers: Vec<_> = self
            .registry
            .holders(&self.cluster)
            .await
            .into_iter()
            .collect();
        peers.extend(self.movers.values().map(|mover| mover.target.host.clone()));
        peers.sort();
        peers.dedup();
        peers
    }

    /// Measures the data delay of every peer to every source.
    pub(crate) async fn measure(&self) {
        let sources: BTreeMap<_, _> = self
            .movers
            .values()
            .map(|m| (m.source.host.clone(), m.source.clone()))
            .collect();
        let mut pairs = Vec::new();
        for peer in self.peers().await {
            for source in sources.values() {
                pairs.push((peer.clone(), source.clone()));
            }
        }
        let measured = futures::future::join_all(pairs.iter().map(|(peer, source)| async {
            one_way(&self.hosts, peer, source)
                .await
                .map(|ms| ((peer.clone(), source.host.clone()), ms))
        }));
        let measured: BTreeMap<_, _> = measured.await.into_iter().flatten().collect();
        tracing::info!(migration = %self.id, ?measured, "one-way delays");
        if let Ok(mut delays) = self.delays.lock() {
            *delays = measured;
        }
    }

    pub(super) fn delay(&self, from: &HostName, to: &HostName) -> f64 {
        let delays = self.delays.lock();
        delays
            .ok()
            .and_then(|all| all.get(&(from.clone(), to.clone())).copied())
            .unwrap_or(0.0)
    }

    pub(crate) async fn carry_out(&self, command: Command) {
        match command {
            Command::Prepare(vm) => self.prepare(vm).await,
            Command::Send(vm) => self.send(vm).await,
            Command::Arm(vms) => self.arm(vms).await,
            Command::Release(vm) => {
                // A refusal needs no answer: the source tells that the VM did not stop.
                if let Some(mover) = self.movers.get(&vm) {
                    let release = Order::Release {
                        migration: self.id.clone(),
                        vm,
                    };
                    if let Err(why) = order(&self.hosts, &mover.source.host, release).await {
                        tracing::warn!(migration = %self.id, %why, "a release was not taken");
                    }
                }
            }
            Command::Flip(vm) => self.flip(vm).await,
            Command::Continue(vm) => {
                let go_on = Order::Continue {
                    migration: self.id.clone(),
                    vm: vm.clone(),
                };
                self.at_source(&vm, go_on).await;
            }
            Command::Verify(vm) => self.verify(vm).await,
            Command::Ask(vm) => self.play(vm, Script::ask()).await,
            Command::TakeBack {
                vm,
                flipped,
                sending,
            } => self.play(vm, Script::take_back(flipped, sending)).await,
            Command::Finish(vm) => self.play(vm, Script::finish()).await,
            Command::Pace { vm, slow } => self.pace(vm, slow).await,
            Command::Wait { vm, ms } => self.wait(vm, ms).await,
            Command::Clear { vm, sending } => self.clear(vm, sending).await,
        }
    }

    async fn at_source(&self, vm: &VmName, what: Order) {
        let Some(mover) = self.movers.get(vm) else {
            return;
        };
        if let Err(why) = order(&self.hosts, &mover.source.host, what).await {
            self.fail(vm, why);
        }
    }

    pub(super) fn there(&self, mover: &Mover) -> Locator {
        Locator {
            host: mover.target.host.clone(),
            address: mover.target.underlay,
        }
    }

    pub(super) fn here(&self, mover: &Mover) -> Locator {
        Locator {
            host: mover.source.host.clone(),
            address: mover.source.underlay,
        }
    }

    async fn prepare(&self, vm: VmName) {
        let Some(mover) = self.movers.get(&vm) else {
            return;
        };
        let Some(net) = self.registry.net(&self.cluster).await else {
            return self.fail(&vm, format!("cluster '{}' is gone", self.cluster));
        };
        let target = &mover.target.host;
        if let Err(problem) = self.registry.admit(&self.cluster, target).await {
            return match problem.kind() {
                Kind::Unavailable => self.hitch(&vm, problem.detail.clone()),
                _ => self.fail(&vm, problem.to_string()),
            };
        }
        let domain = match self.describe(mover).await {
            Ok(domain) => domain,
            Err(error) if may_pass(&error) => return self.hitch(&vm, error.to_string()),
            Err(error) => return self.fail(&vm, error.to_string()),
        };
        let prepare = Order::PrepareTarget {
            migration: self.id.clone(),
            net,
            member: mover.member.clone(),
            source: mover.source.host.clone(),
            domain,
        };
        match self.hosts.order(target, prepare).await {
            Ok(Answer::Prepared { relay }) => {
                if let Ok(mut relays) = self.relays.lock() {
                    relays.insert(vm.clone(), relay);
                }
                self.say(Event::Prepared(vm));
            }
            Ok(_) => self.fail(&vm, format!("'{target}' did not say where it listens")),
            Err(error) if may_pass(&error) => self.hitch(&vm, error.to_string()),
            Err(error) => self.fail(&vm, error.to_string()),
        }
    }

    /// What a target must know of a libvirt domain. It may hold secrets: it goes from one agent to the
    /// other, and nowhere else.
    async fn describe(&self, mover: &Mover) -> Result<Option<Box<Description>>, OrderError> {
        match &mover.member.kind {
            MemberKind::Vm { spec } if spec.libvirt.is_some() => {}
            _ => return Ok(None),
        }
        let describe = Order::DescribeDomain {
            cluster: self.cluster.clone(),
            vm: mover.member.name.clone(),
        };
        match self.hosts.order(&mover.source.host, describe).await? {
            Answer::Domain { domain } => Ok(Some(domain)),
            _ => Ok(None),
        }
    }

    async fn send(&self, vm: VmName) {
        let Some(mover) = self.movers.get(&vm) else {
            return;
        };
        let share = |rate: f64, share: f64| (rate * share / self.movers.len().max(1) as f64) as u64;
        let relay = self
            .relays
            .lock()
            .ok()
            .and_then(|all| all.get(&vm).copied());
        let Some(relay) = relay else {
            return self.fail(&vm, "its target was not prepared".to_owned());
        };
        let send = Order::Migrate {
            migration: self.id.clone(),
            cluster: self.cluster.clone(),
            vm: vm.clone(),
            relay,
            target: mover.target.host.clone(),
            locator: self.there(mover),
            how: Sending {
                order: self.options.order,
                bulk_rate: share(self.copy_rate(), BULK_SHARE),
                // Only what was dirtied: what a window leaves is the smaller, the faster it goes.
                hold_rate: share(self.link(), HOLD_SHARE),
                allow_slowdown: self.options.allow_slowdown,
                deltas: self.options.deltas,
            },
        };
        match order(&self.hosts, &mover.source.host, send).await {
            Ok(_) => self.say(Event::Sending(vm)),
            // The target's relay may be out of reach for a moment, or the source's agent.
            Err(why) => self.hitch(&vm, why),
        }
    }

    async fn arm(&self, vms: Vec<VmName>) {
        let rhythm = self.rhythm(&vms);
        let gap = rhythm.gap;
        tracing::info!(migration = %self.id, ?rhythm, total_ms = gap.total_ms(), "predicted gap");
        let _ = self.input.send(Input::Predicted(gap.total_ms()));
        if gap.total_ms() > self.options.max_gap_ms {
            return self.say(Event::NotScheduled(format!(
                "the network downtime would be about {:.0} ms and {:.0} ms are allowed; nothing was flipped",
                gap.total_ms(),
                self.options.max_gap_ms
            )));
        }
        let peers = self.peers().await;
        let slowest = peers
            .iter()
            .filter_map(|h| self.hosts.control_delay_ms(h))
            .fold(0.0, f64::max);
        let sprint_ms = self.sprint_ms();
        let now = self.hosts.now();
        let to_source = |source: &HostName| -> BTreeMap<_, _> {
            peers
                .iter()
                .map(|peer| (peer.clone(), self.delay(peer, source)))
                .collect()
        };
        let schedule_of = |source: &HostName| schedule::Known {
            now,
            slowest_control_ms: slowest,
            to_source_ms: to_source(source),
            window_ms: WINDOW_MS,
            sprint_ms,
            // Sources are armed one after another.
            slack_ms: SLACK_MS + 2.0 * slowest * vms.len() as f64,
            drain_ms: DRAIN_MS,
        };
        let steps = rhythm.steps();
        let movers: Vec<_> = steps
            .iter()
            .filter_map(|(vm, wait_ms)| Some((self.movers.get(vm)?, *wait_ms)))
            .collect();
        // The first moment is the latest that any of them needs.
        let stop_at = movers
            .iter()
            .map(|(m, _)| Schedule::make(&schedule_of(&m.source.host)).stop_at)
            .max();
        let Some(mut stop_at) = stop_at else {
            return self.say(Event::NotScheduled("there is no VM to stop".to_owned()));
        };
        let mut stops = Vec::new();
        for (mover, wait_ms) in movers {
            stop_at = stop_at.plus_ms(wait_ms);
            match self.arm_one(mover, stop_at, sprint_ms).await {
                Ok(stop) => {
                    stops.push((mover, stop));
                    stop_at = stop;
                }
                Err(why) => return self.say(Event::NotScheduled(why)),
            }
        }
        if self.options.order == FlipOrder::BeforeStop {
            let flips = stops.iter().map(|(mover, stop)| {
                let delays = to_source(&mover.source.host);
                let at = schedule::flips(*stop, &delays, DRAIN_MS);
                let vm = &mover.member.name;
                async move { self.commit(vm, self.there(mover), Some(at)).await }
            });
            let told = futures::future::join_all(flips).await;
            if let Some(why) = told.into_iter().find_map(Result::err) {
                return self.say(Event::NotScheduled(why));
            }
        }
        self.say(Event::Scheduled);
    }

    /// Gives the moment at which the VM will stop: the one asked for, or a little later, when its QEMU
    /// looks at its limits.
    async fn arm_one(
        &self,
        mover: &Mover,
        stop_at: model::Nanos,
        sprint_ms: f64,
    ) -> Result<model::Nanos, String> {
        let arm = Order::Arm {
            migration: self.id.clone(),
            vm: mover.member.name.clone(),
            stop_at,
            sprint_ms,
        };
        match order(&self.hosts, &mover.source.host, arm).await? {
            Answer::Armed { stop_at, .. } => Ok(stop_at),
            _ => Err(format!(
                "'{}' did not say when '{}' stops",
                mover.source.host, mover.member.name
            )),
        }
    }

    pub(super) async fn commit(
        &self,
        vm: &VmName,
        locator: Locator,
        at: Option<BTreeMap<HostName, model::Nanos>>,
    ) -> Result<(), String> {
        let key = (self.cluster.clone(), vm.clone());
        let done = self
            .registry
            .commit(&key, locator, at, Some(self.id.clone()))
            .await;
        let told = done.map_err(|problem| problem.to_string())?.told;
        match told
            .into_iter()
            .find_map(|(host, outcome)| outcome.err().map(|why| (host, why)))
        {
            None => Ok(()),
            Some((host, why)) => Err(format!("'{host}' did not take the change of '{vm}': {why}")),
        }
    }

    async fn flip(&self, vm: VmName) {
        let Some(mover) = self.movers.get(&vm) else {
            return;
        };
        let begun = Instant::now();
        match self.commit(&vm, self.there(mover), None).await {
            Ok(()) => {
                let took = begun.elapsed().as_secs_f64() * 1000.0;
                let _ = self.input.send(Input::RuleSwitch(vm.clone(), took));
                self.say(Event::Flipped(vm));
            }
            Err(why) => self.fail(&vm, why),
        }
    }

    async fn verify(&self, vm: VmName) {
        let Some(mover) = self.movers.get(&vm) else {
            return;
        };
        let verify = Order::Verify {
            cluster: self.cluster.clone(),
            vm: vm.clone(),
            wait_ms: VERIFY_MS,
        };
        let begun = Instant::now();
        loop {
            match self.hosts.order(&mover.target.host, verify.clone()).await {
                Ok(_) => return self.say(Event::Verified(vm)),
                // The VM runs whether its agent is there to say so or not.
                Err(error) if error.is_away() && begun.elapsed() < AWAY => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    let why = error.to_string();
                    return self.say(Event::Mute { vm, why });
                }
            }
        }
    }
}
