//! QEMU's numbers, and the rate that follows from them.

use super::{AFTER_SPRINT, DEVICES, Driver};
use migration::hold::{Look, PAGE, Verdict};
use model::migration::Progress;
use model::news::News;
use qmp::MigrationStatus;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Driver {
    pub(super) async fn on_tick(&mut self) {
        if self.pump.is_none() || self.stopped && self.told_sent {
            return;
        }
        let near = self.armed.as_ref().is_some_and(|armed| armed.sprinting);
        if near && !self.stopped {
            return;
        }
        if !self.look_at_disks().await || !self.sending {
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
            MigrationStatus::PreSwitchover if self.mirrors.is_none() => {
                self.tell(News::PreSwitchover {
                    migration: self.job.migration.clone(),
                    vm: self.job.vm.clone(),
                })
            }
            _ => {}
        }
        let Some(ram) = info.ram else { return };
        if self.stopped || self.armed.is_some() {
            return;
        }
        if self.slow {
            // Nothing that a trickle does says how it goes at full rate.
            self.rates(&ram, self.held);
            return;
        }
        // Early: a guest that is behind may be so by seconds when it stops.
        self.look_at_arrivals().await;
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
                let holds = self.pump.as_ref().is_some_and(|pump| {
                    (!self.job.held || pump.holds()) && pump.counters.stands_alone()
                });
                if !self.held && holds {
                    self.held = true;
                    self.tell_connections();
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

    pub(super) async fn set_hold(&mut self, rate: u64) {
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
    pub(super) fn rates(&mut self, ram: &qmp::RamInfo, ready: bool) -> f64 {
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
                    disk_bytes: self.disks_seen.0,
                    disk_total_bytes: self.disks_seen.1,
                },
            });
        }
        rate
    }
}
