//! Decides, for one VM that is being sent.

mod back;
mod connections;
mod copy;
mod pace;
mod stop;
mod watch;

use super::pump::{Peer, Pump};
use super::{Command, Job, Surroundings};
use crate::AgentError;
use crate::disks::mirror::Mirrors;
use crate::relay::Opening;
use crate::relay::dial;
use crate::vms::{KEEP, Key, Moving, Vm};
use migration::hold::Hold;
use model::Nanos;
use model::migration::FlipOrder;
use model::news::{Answer, News};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc};

/// QEMU looks at new limits when its window ends, at most this later, ms.
pub(super) const WINDOW_MS: f64 = 102.0;
/// The source's own switch redirects this long before the stop, ms.
const REDIRECT_AHEAD_MS: f64 = 2.0;
/// A released VM that has not stopped after this is reported, ms.
const STOP_GRACE_MS: f64 = 400.0;
/// Look at QEMU's numbers this often.
const TICK: Duration = Duration::from_millis(25);
/// Device state of a small VM, bytes on the wire.
const DEVICES: u64 = 8 << 10;
/// What lately went to the guest is kept up to here, bytes: a guest that gets little CPU is seconds behind, and
/// its tap's queue holds 10,000 packets.
const RECENT: usize = 16 << 20;
/// Of the pages that a pass on hold leaves, the sprint sends all but those of its last few ms.
const AFTER_SPRINT: f64 = 1.0 / 16.0;

/// QEMU may be so many times faster than the wire. Pages that go as references cost the wire nothing, but the
/// copying of them takes the guests' CPUs: without a limit, emulated guests stood still for 400 ms.
const AHEAD: u64 = 2;

/// Where QEMU writes memory to.
const MEMORY: &str = "fd:transhume-migrate";

struct Armed {
    stop_at: Nanos,
    sprint_at: Nanos,
    released: bool,
    sprinting: bool,
    redirected: bool,
    let_go: bool,
}

/// One VM on its way.
pub(super) struct Driver {
    job: Job,
    vm: Arc<Vm>,
    around: Surroundings,
    pump: Option<Pump>,
    /// The disks that are copied; none when there is none.
    mirrors: Option<Arc<Mirrors>>,
    /// QEMU sends memory.
    sending: bool,
    /// What of the disks was mirrored and what there is, bytes, and when that was asked.
    disks_seen: (u64, u64),
    disks_asked: Instant,
    events: broadcast::Receiver<qmp::Event>,
    hold: Hold,
    began: Instant,
    armed: Option<Armed>,
    held: bool,
    /// Sent at a trickle.
    slow: bool,
    /// Most that the hold may take, bytes a second.
    most_hold_rate: u64,
    stopped: bool,
    told_sent: bool,
    running_there: bool,
    wire_at_stop: u64,
    last_progress: Instant,
    last_rate: (Instant, u64, u64),
    ratio: f64,
    returned: Vec<Vec<u8>>,
    returned_all: bool,
    over: bool,
    gate: Option<ovs::Gate>,
    /// What went to the guest since it was armed.
    recent: Option<ovs::Capture>,
    connections: connections::Told,
}

impl Driver {
    pub(super) async fn begin(
        job: Job,
        vm: Arc<Vm>,
        around: Surroundings,
    ) -> Result<Self, AgentError> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let keep = ours.try_clone()?;
        let stream = nix::sys::stat::fstat(&ours).ok().map(|stat| stat.st_ino);
        let events = vm.qmp.events();
        // Where disks are copied, their mirrors end between the stop and the last bytes of memory.
        let copies = vm.disks().any(|disk| disk.shared.is_none());
        vm.qmp
            .set_capabilities(&[
                ("return-path", true),
                ("switchover-ack", job.held),
                ("auto-converge", job.how.allow_slowdown),
                (
                    "pause-before-switchover",
                    job.how.order == FlipOrder::PreSwitchover || copies,
                ),
            ])
            .await?;
        let ahead = if job.how.deltas { AHEAD } else { 8 };
        vm.qmp
            .set_parameters(
                json!({"max-bandwidth": job.how.bulk_rate.saturating_mul(ahead), "downtime-limit": 1}),
            )
            .await?;
        if !job.held {
            // Holds by starving: a guest without a dirty page stops all the same.
            vm.qmp
                .set_parameters(json!({"avail-switchover-bandwidth": 1000}))
                .await?;
        }
        let opening = Opening {
            migration: job.migration.clone(),
            cluster: job.cluster.clone(),
            vm: job.vm.clone(),
            disk: None,
        };
        let peer = dial::Peer {
            address: job.relay,
            name: job.target.clone(),
            tls: around.tls.clone(),
        };
        let ours = UnixStream::from_std(ours)?;
        let catalogues = job.how.deltas.then_some(&around.catalogues);
        let pump = Pump::start(ours, &peer, opening.clone(), job.held, catalogues).await?;
        pump.pace(Some(job.how.bulk_rate));
        vm.set_moving(&Moving {
            migration: job.migration.clone(),
            relinquished: false,
            stream,
        })?;
        vm.qmp.getfd("transhume-migrate", theirs).await?;
        vm.qmp.getfd(KEEP, keep).await?;
        let mirrors = if copies {
            let rate = job.how.bulk_rate;
            Some(Arc::new(
                Mirrors::start(vm.clone(), &peer, &opening, rate).await?,
            ))
        } else {
            vm.qmp.migrate(MEMORY).await?;
            None
        };
        let acceptable = pace::acceptable(job.how.bulk_rate);
        let now = Instant::now();
        Ok(Self {
            hold: Hold::new(job.how.hold_rate, acceptable),
            most_hold_rate: job.how.hold_rate,
            slow: false,
            job,
            vm,
            around,
            pump: Some(pump),
            sending: mirrors.is_none(),
            mirrors,
            disks_seen: (0, 0),
            disks_asked: now,
            events,
            began: now,
            armed: None,
            held: false,
            stopped: false,
            told_sent: false,
            running_there: false,
            wire_at_stop: 0,
            last_progress: now,
            last_rate: (now, 0, 0),
            ratio: 1.0,
            returned: Vec::new(),
            returned_all: false,
            over: false,
            gate: None,
            recent: None,
            connections: connections::Told::default(),
        })
    }

    fn key(&self) -> Key {
        (self.job.cluster.clone(), self.job.vm.clone())
    }

    fn tell(&self, news: News) {
        let _ = self.around.news.send(news);
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.over {
            let clock = self.around.clock.clone();
            let deadline = self.deadline();
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Ok(event) => self.on_event(&event).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => self.on_gone(),
                },
                () = async {
                    match deadline {
                        Some(moment) => clock.sleep_until(moment).await,
                        None => std::future::pending().await,
                    }
                } => self.on_deadline().await,
                command = inbox.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                peer = next_peer(&mut self.pump) => self.on_peer(peer).await,
                _ = tick.tick() => self.on_tick().await,
            }
        }
    }

    fn on_gone(&mut self) {
        self.fail("QEMU ended".into(), self.stopped && !self.running_there);
        self.over = true;
    }

    fn fail(&mut self, reason: String, in_doubt: bool) {
        self.tell(News::Failed {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
            reason,
            in_doubt,
        });
    }

    /// It runs on here as if nothing had been sent, and may be sent anew.
    fn interrupted(&mut self, reason: String) {
        self.tell(News::Interrupted {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
            reason,
        });
    }

    async fn on_peer(&mut self, peer: Peer) {
        match peer {
            Peer::Running => {
                self.running_there = true;
                self.tell_sent();
            }
            Peer::Discarded(why) => {
                self.pump = None;
                self.vm.stay().await;
                self.fail(format!("the target could not take it: {why}"), false);
            }
            Peer::Packets(packets) => self.returned.extend(packets),
            Peer::PacketsEnd => self.returned_all = true,
            Peer::Lost(why) => {
                if self.running_there {
                    return;
                }
                let reason = format!("the relay to '{}' broke: {why}", self.job.target);
                if self.stopped {
                    // The pump stays, and with it QEMU's socket: nobody resumes before the target
                    // was asked.
                    self.fail(reason, true);
                } else {
                    self.vm.stay().await;
                    self.pump = None;
                    self.mirrors = None;
                    self.interrupted(reason);
                }
            }
        }
    }

    fn tell_sent(&mut self) {
        let Some(pump) = &self.pump else { return };
        if self.told_sent {
            return;
        }
        self.told_sent = true;
        let wire = pump.counters.wire.load(Ordering::Relaxed);
        let disks = self.mirrors.as_ref().map(|mirrors| mirrors.counted());
        let (disk_bytes, disk_wire_bytes) = disks.unwrap_or_default();
        let news = News::Sent {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
            sent_bytes: pump.counters.sent.load(Ordering::Relaxed),
            wire_bytes: wire,
            last_burst_bytes: wire.saturating_sub(self.wire_at_stop),
            ways: pump.counters.ways(),
            disk_bytes,
            disk_wire_bytes,
        };
        self.tell(news);
    }

    /// Keeps what goes to the guest from now on: what it has not read when it stops is known again by it.
    pub(super) async fn look_at_arrivals(&mut self) {
        if self.recent.is_some() {
            return;
        }
        let (ifname, mac) = (&self.vm.record.ifname, self.vm.record.member.mac);
        let tap_io = self.around.host.tap_io();
        match tap_io.capture_latest(ifname, mac, RECENT).await {
            Ok(capture) => self.recent = Some(capture),
            Err(error) => tracing::warn!(%error, "what goes to the guest is not seen"),
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Arm {
                stop_at,
                sprint_ms,
                reply,
            } => {
                self.arm(stop_at, sprint_ms, reply);
                self.tell_connections();
                self.look_at_arrivals().await;
            }
            Command::Pace { slow, reply } => {
                let _ = reply.send(self.pace(slow).await);
            }
            Command::Release(reply) => {
                let result = match self.armed.as_mut() {
                    Some(armed) if self.around.clock.now() < armed.stop_at => {
                        armed.released = true;
                        Ok(Answer::Done)
                    }
                    _ => Err(format!(
                        "'{}' is not armed, or its moment has passed",
                        self.job.vm
                    )),
                };
                let _ = reply.send(result);
            }
            Command::Continue(reply) => {
                let result = self.vm.qmp.migrate_continue().await;
                let _ = reply.send(result.map(|()| Answer::Done).map_err(|e| e.to_string()));
            }
            Command::Gate(reply) => {
                let result = self.around.host.open_gate(&self.key()).await;
                let _ = reply.send(
                    result
                        .map(|gate| self.gate = Some(gate))
                        .map(|()| Answer::Done)
                        .map_err(|e| e.to_string()),
                );
            }
            Command::Abort(reply) => {
                let _ = reply.send(self.abort().await);
            }
            Command::Finish(reply) => {
                self.pump = None;
                self.mirrors = None;
                self.over = true;
                let _ = reply.send(Ok(Answer::Done));
            }
        }
    }
}

async fn next_peer(pump: &mut Option<Pump>) -> Peer {
    match pump {
        Some(pump) => match pump.peer.recv().await {
            Some(peer) => peer,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
