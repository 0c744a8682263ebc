//! Decides, for one VM that is being sent.

use super::pump::{Peer, Pump};
use super::{Command, Job, Reply, Surroundings};
use crate::AgentError;
use crate::relay::{Frame, Opening};
use crate::vms::{KEEP, Key, Moving, Vm};
use control::projection::Arrivals;
use migration::hold::{Hold, Look, PAGE, Verdict};
use migration::salvage::held_by_qemu;
use model::Nanos;
use model::migration::{FlipOrder, Progress};
use model::news::{Answer, News};
use qmp::MigrationStatus;
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
/// Of the pages that a pass on hold leaves, the sprint sends all but those of its last few ms.
const AFTER_SPRINT: f64 = 1.0 / 16.0;

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
    events: broadcast::Receiver<qmp::Event>,
    hold: Hold,
    began: Instant,
    armed: Option<Armed>,
    held: bool,
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
        let events = vm.qmp.events();
        vm.qmp
            .set_capabilities(&[
                ("return-path", true),
                ("switchover-ack", job.held),
                ("auto-converge", job.how.allow_slowdown),
                (
                    "pause-before-switchover",
                    job.how.order == FlipOrder::PreSwitchover,
                ),
            ])
            .await?;
        vm.qmp
            .set_parameters(
                json!({"max-bandwidth": job.how.bulk_rate.saturating_mul(8), "downtime-limit": 1}),
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
        };
        let pump = Pump::start(
            UnixStream::from_std(ours)?,
            job.relay,
            job.target.as_str(),
            around.tls.clone(),
            opening,
            job.held,
        )
        .await?;
        pump.pace(Some(job.how.bulk_rate));
        vm.set_moving(&Moving {
            migration: job.migration.clone(),
            relinquished: false,
        })?;
        vm.qmp.getfd("transhume-migrate", theirs).await?;
        vm.qmp.getfd(KEEP, keep).await?;
        vm.qmp.migrate("fd:transhume-migrate").await?;
        let acceptable = (job.how.bulk_rate / 4).max(1 << 20);
        let now = Instant::now();
        Ok(Self {
            hold: Hold::new(job.how.hold_rate, acceptable),
            job,
            vm,
            around,
            pump: Some(pump),
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

    /// The next moment at which something is due.
    fn deadline(&self) -> Option<Nanos> {
        let armed = self.armed.as_ref()?;
        if self.stopped {
            return None;
        }
        Some(if !armed.sprinting {
            armed.sprint_at
        } else if !armed.redirected {
            armed.stop_at.plus_ms(-REDIRECT_AHEAD_MS)
        } else if !armed.let_go {
            armed.stop_at
        } else {
            armed.stop_at.plus_ms(STOP_GRACE_MS)
        })
    }

    async fn on_deadline(&mut self) {
        let nets = self.job.how.order == FlipOrder::BeforeStop;
        let Some(armed) = self.armed.as_mut() else {
            return;
        };
        if !armed.sprinting {
            armed.sprinting = true;
            let limits = json!({
                "max-bandwidth": 0, "downtime-limit": 2000, "avail-switchover-bandwidth": 1_000_000_000_000_u64,
            });
            let qmp = self.vm.qmp.clone();
            tokio::spawn(async move { qmp.set_parameters(limits).await });
            if let Some(pump) = &self.pump {
                pump.pace(None);
            }
        } else if !armed.redirected {
            armed.redirected = true;
            if nets && armed.released {
                self.redirect();
            }
        } else if !armed.let_go {
            armed.let_go = true;
            if armed.released {
                if let Some(pump) = &self.pump {
                    pump.release().await;
                }
            } else {
                self.disarm().await;
                self.tell(News::DidNotStop {
                    migration: self.job.migration.clone(),
                    vm: self.job.vm.clone(),
                });
            }
        } else {
            self.armed = None;
            self.tell(News::DidNotStop {
                migration: self.job.migration.clone(),
                vm: self.job.vm.clone(),
            });
        }
    }

    /// Sends on to the target what still arrives here, without waiting for the switch.
    fn redirect(&self) {
        let (host, key) = (self.around.host.clone(), self.key());
        let to = self.job.locator.address;
        tokio::spawn(async move {
            if let Err(error) = host
                .set_arrivals(&key, Some(Arrivals::Redirect { to }))
                .await
            {
                tracing::warn!(%error, vm = %key.1, "the redirect could not be installed");
            }
        });
    }

    /// Back to hold.
    async fn disarm(&mut self) {
        self.armed = None;
        let rate = self.job.how.hold_rate;
        let limits =
            json!({"max-bandwidth": rate, "downtime-limit": 1, "avail-switchover-bandwidth": 0});
        if let Err(error) = self.vm.qmp.set_parameters(limits).await {
            tracing::warn!(%error, "the limits of the hold could not be set");
        }
        if let Some(pump) = &self.pump {
            pump.pace(Some(self.job.how.bulk_rate));
        }
    }

    async fn on_event(&mut self, event: &qmp::Event) {
        if event.name != "STOP" || self.stopped {
            return;
        }
        self.stopped = true;
        let at = self.around.clock.at_wall(event.timestamp);
        let mut salvaged = 0;
        let relinquished = Moving {
            migration: self.job.migration.clone(),
            relinquished: true,
        };
        if let Err(error) = self.vm.set_moving(&relinquished) {
            // Without the note a restarted agent would let it resume: better not hand it over.
            tracing::error!(%error, vm = %self.job.vm, "not handed over");
            self.pump = None;
            self.vm.stay().await;
            return self.fail(format!("this host cannot write its state: {error}"), false);
        }
        if let Some(pump) = &self.pump {
            self.wire_at_stop = pump.counters.wire.load(Ordering::Relaxed);
            pump.pace(None);
            let _ = pump.frames.send(Frame::Stopped).await;
            if matches!(
                self.job.how.order,
                FlipOrder::BeforeStop | FlipOrder::Redirect
            ) {
                if self.armed.as_ref().is_none_or(|armed| !armed.redirected) {
                    self.redirect();
                }
                salvaged = self.salvage().await;
            }
        }
        self.tell(News::Stopped {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
            at,
            predicted: self.armed.as_ref().map(|armed| armed.stop_at),
            salvaged,
        });
    }

    /// What the guest has not read goes to the target. Once now and once when the redirect holds.
    async fn salvage(&self) -> u64 {
        let (Some(pump), Some(tap)) = (&self.pump, &self.vm.tap) else {
            return 0;
        };
        let mut salvaged = 0;
        for pause in [0, 2, 6] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match ovs::tap::read_waiting(tap) {
                Ok(mut packets) if !packets.is_empty() => {
                    if salvaged == 0
                        && let Some(recent) = &self.recent
                    {
                        let recent = recent.take();
                        let held = held_by_qemu(&recent, &packets);
                        packets.splice(0..0, held.iter().cloned());
                    }
                    salvaged += packets.len() as u64;
                    let _ = pump.frames.send(Frame::Packets(packets)).await;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the source's queue could not be read"),
            }
        }
        salvaged
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
                    self.fail(reason, false);
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
        let news = News::Sent {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
            sent_bytes: pump.counters.sent.load(Ordering::Relaxed),
            wire_bytes: wire,
            last_burst_bytes: wire.saturating_sub(self.wire_at_stop),
        };
        self.tell(news);
    }

    async fn on_tick(&mut self) {
        if self.pump.is_none() || self.stopped && self.told_sent {
            return;
        }
        let near = self.armed.as_ref().is_some_and(|armed| armed.sprinting);
        if near && !self.stopped {
            return;
        }
        let Ok(info) = self.vm.qmp.query_migrate().await else {
            return;
        };
        match info.status {
            MigrationStatus::Failed | MigrationStatus::Cancelled if !self.running_there => {
                let why = info
                    .error_desc
                    .unwrap_or_else(|| "QEMU gives no reason".into());
                self.pump = None;
                self.vm.stay().await;
                return self.fail(why, false);
            }
            MigrationStatus::PreSwitchover => self.tell(News::PreSwitchover {
                migration: self.job.migration.clone(),
                vm: self.job.vm.clone(),
            }),
            _ => {}
        }
        let Some(ram) = info.ram else { return };
        if self.stopped || self.armed.is_some() {
            return;
        }
        let verdict = self.hold.look(Look {
            at_ms: self.began.elapsed().as_secs_f64() * 1000.0,
            passes: ram.dirty_sync_count,
            remaining: ram.remaining,
            sent: ram.transferred,
            dirty_pages_rate: ram.dirty_pages_rate,
        });
        let wire = self.rates(&ram, matches!(verdict, Verdict::Ready { .. }));
        match verdict {
            Verdict::Bulk => {}
            Verdict::Hold { rate } => self.set_hold(rate).await,
            Verdict::Ready { rate, pages } => {
                self.set_hold(rate).await;
                let holds = !self.job.held || self.pump.as_ref().is_some_and(Pump::holds);
                if !self.held && holds {
                    self.held = true;
                    let left = pages as f64 * PAGE as f64 * self.ratio * AFTER_SPRINT;
                    let burst_bytes = left as u64 + DEVICES;
                    self.tell(News::Held {
                        migration: self.job.migration.clone(),
                        vm: self.job.vm.clone(),
                        burst_bytes,
                        pages,
                    });
                }
            }
            Verdict::WontConverge {
                dirty_rate,
                send_rate,
            } => {
                if !self.job.how.allow_slowdown {
                    self.tell(News::WontConverge {
                        migration: self.job.migration.clone(),
                        vm: self.job.vm.clone(),
                        dirty_rate,
                        send_rate: send_rate.min(wire),
                    });
                }
            }
        }
    }

    async fn set_hold(&mut self, rate: u64) {
        if let Some(pump) = &self.pump {
            pump.counters.compress.store(true, Ordering::Relaxed);
        }
        if self.job.how.hold_rate != rate {
            self.job.how.hold_rate = rate;
            let _ = self
                .vm
                .qmp
                .set_parameters(json!({"max-bandwidth": rate}))
                .await;
        }
    }

    /// Follows the rates and tells them now and then; gives the wire rate, bytes a second.
    fn rates(&mut self, ram: &qmp::RamInfo, ready: bool) -> f64 {
        let Some(pump) = &self.pump else { return 0.0 };
        let sent = pump.counters.sent.load(Ordering::Relaxed);
        let wire = pump.counters.wire.load(Ordering::Relaxed);
        let (since, sent_then, wire_then) = self.last_rate;
        let seconds = since.elapsed().as_secs_f64().max(0.001);
        let rate = (wire - wire_then) as f64 / seconds;
        if seconds > 0.5 {
            self.last_rate = (Instant::now(), sent, wire);
            if sent > sent_then {
                self.ratio = (wire - wire_then) as f64 / (sent - sent_then) as f64;
            }
        }
        if self.last_progress.elapsed() > Duration::from_millis(200) {
            self.last_progress = Instant::now();
            let left = ram.remaining as f64 * self.ratio;
            self.tell(News::Progress {
                migration: self.job.migration.clone(),
                vm: self.job.vm.clone(),
                progress: Progress {
                    sent_bytes: sent,
                    wire_bytes: wire,
                    remaining_bytes: ram.remaining,
                    total_bytes: ram.total,
                    rate,
                    passes: ram.dirty_sync_count,
                    dirty_pages_rate: ram.dirty_pages_rate,
                    ready_in_ms: if ready {
                        0.0
                    } else {
                        (left / rate.max(1.0) * 1000.0).min(3.6e6)
                    },
                },
            });
        }
        rate
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Arm {
                stop_at,
                sprint_ms,
                reply,
            } => {
                self.arm(stop_at, sprint_ms, reply);
                let (ifname, mac) = (&self.vm.record.ifname, self.vm.record.member.mac);
                match self.around.host.tap_io().capture(ifname, mac).await {
                    Ok(capture) => self.recent = Some(capture),
                    Err(error) => tracing::warn!(%error, "what goes to the guest is not seen"),
                }
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
                self.over = true;
                let _ = reply.send(Ok(Answer::Done));
            }
        }
    }

    fn arm(&mut self, stop_at: Nanos, sprint_ms: f64, reply: Reply) {
        // With the window's beginning known the sprint takes no longer than it must; new limits are set half
        // a window ahead of it. Else they are set so early that any window is long enough.
        let in_ms = stop_at.ms_since(self.around.clock.now()) - sprint_ms;
        let window = self
            .pump
            .as_ref()
            .and_then(|pump| pump.counters.window_in(in_ms));
        tracing::info!(migration = %self.job.migration, vm = %self.job.vm, in_ms, ?window, "armed");
        let (stop_at, sprint_at) = match window {
            Some(window) => {
                let stop_at = stop_at.plus_ms(window - in_ms);
                (stop_at, stop_at.plus_ms(-sprint_ms - WINDOW_MS / 2.0))
            }
            None => (stop_at, stop_at.plus_ms(-sprint_ms - WINDOW_MS)),
        };
        let result = if !self.held || self.stopped {
            Err(format!("'{}' is not on hold", self.job.vm))
        } else {
            self.armed = Some(Armed {
                stop_at,
                sprint_at,
                released: false,
                sprinting: false,
                redirected: false,
                let_go: false,
            });
            Ok(Answer::Armed {
                stop_at,
                burst_bytes: 0,
            })
        };
        let _ = reply.send(result);
    }

    /// Back to the source: what waited at the target first, then what waited in the gate, then open
    /// it; the migration is cancelled last.
    async fn abort(&mut self) -> Result<Answer, String> {
        let patience = Instant::now() + Duration::from_secs(2);
        while self.gate.is_some()
            && !self.returned_all
            && self.pump.is_some()
            && Instant::now() < patience
        {
            match tokio::time::timeout(Duration::from_millis(100), next_peer(&mut self.pump)).await
            {
                Ok(Peer::Packets(packets)) => self.returned.extend(packets),
                Ok(Peer::PacketsEnd) => self.returned_all = true,
                Ok(Peer::Running) => {
                    return Err(format!("'{}' already runs at the target", self.job.vm));
                }
                Ok(Peer::Discarded(_) | Peer::Lost(_)) => break,
                Err(_) => {}
            }
        }
        let host = &self.around.host;
        let (key, ifname) = (self.key(), self.vm.record.ifname.clone());
        let mut replayed = self.returned.len() as u64;
        let mut queue = std::mem::take(&mut self.returned);
        if let Some(gate) = &self.gate {
            let waited = gate.drain().map_err(|error| error.to_string())?;
            replayed += waited.len() as u64;
            queue.extend(waited);
        }
        let io = host.tap_io();
        io.inject(&ifname, &queue)
            .await
            .map_err(|error| error.to_string())?;
        if self.gate.take().is_some() {
            let late = host
                .close_gate(&key)
                .await
                .map_err(|error| error.to_string())?;
            replayed += late.len() as u64;
            io.inject(&ifname, &late)
                .await
                .map_err(|error| error.to_string())?;
        }
        host.set_arrivals(&key, None)
            .await
            .map_err(|error| error.to_string())?;
        if self.stopped {
            self.pump = None;
        }
        self.vm.stay().await;
        self.pump = None;
        self.over = true;
        Ok(Answer::Queue { packets: replayed })
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
