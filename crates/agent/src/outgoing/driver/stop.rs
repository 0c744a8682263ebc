//! The stop: armed, let go, stopped, handed over.

use super::{Armed, Driver, REDIRECT_AHEAD_MS, STOP_GRACE_MS, WINDOW_MS};
use crate::outgoing::Reply;
use crate::relay::Frame;
use crate::vms::Moving;
use control::projection::Arrivals;
use migration::salvage::held_by_qemu;
use model::Nanos;
use model::migration::FlipOrder;
use model::news::{Answer, News};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Driver {
    /// The next moment at which something is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
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

    pub(super) async fn on_deadline(&mut self) {
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
            self.tell_connections();
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
    pub(super) fn redirect(&self) {
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
    pub(super) async fn disarm(&mut self) {
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

    pub(super) async fn on_event(&mut self, event: &qmp::Event) {
        if event.name != "STOP" || self.stopped {
            return;
        }
        self.stopped = true;
        let at = self.around.clock.at_wall(event.timestamp);
        let mut salvaged = 0;
        let relinquished = Moving {
            migration: self.job.migration.clone(),
            relinquished: true,
            stream: self.vm.moving().and_then(|moving| moving.stream),
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
            self.end_mirrors();
            self.tell_connections();
            if matches!(
                self.job.how.order,
                FlipOrder::BeforeStop | FlipOrder::Redirect
            ) {
                if self.armed.as_ref().is_none_or(|armed| !armed.redirected) {
                    self.redirect();
                }
                salvaged = self.salvage().await;
                // What the guest said last has gone through the switch by now.
                self.tell_connections();
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
    pub(super) async fn salvage(&self) -> u64 {
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

    pub(super) fn arm(&mut self, stop_at: Nanos, sprint_ms: f64, reply: Reply) {
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
}
