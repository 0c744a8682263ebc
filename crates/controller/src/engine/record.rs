//! Phases and figures of one migration, as people and reports see them.

use crate::Hosts;
use model::migration::{Migration, Phase, State};
use model::news::News;
use model::{Nanos, VmName};
use std::collections::BTreeMap;
use std::time::Instant;

/// Takes down what happens.
pub(crate) struct Record {
    began: Instant,
    began_at: Nanos,
    state: State,
    entered: Instant,
    stopped: BTreeMap<VmName, Nanos>,
    /// When the disks were mirrored, ms after the begin.
    mirrored: BTreeMap<VmName, f64>,
}

/// The report's word for the time spent in a state.
pub(crate) fn phase_name(state: State) -> Option<&'static str> {
    Some(match state {
        State::Queued => "queued",
        State::Preparing => "prepare",
        State::PreCopy => "pre-copy",
        State::Hold => "hold",
        State::Armed => "armed",
        State::Switchover => "switchover",
        State::Verify => "verify",
        State::CleanUp => "clean-up",
        State::Aborting => "abort",
        State::Arrived | State::Aborted | State::Failed => return None,
    })
}

impl Record {
    /// Begins now.
    pub(crate) fn new(now: Nanos) -> Self {
        Self {
            began: Instant::now(),
            began_at: now,
            state: State::Preparing,
            entered: Instant::now(),
            stopped: BTreeMap::new(),
            mirrored: BTreeMap::new(),
        }
    }

    /// The machine is in this state now; true when that is new.
    pub(crate) fn state(&mut self, seen: &mut Migration, state: State) -> bool {
        seen.total_ms = ms(self.began.elapsed());
        if state == self.state {
            return false;
        }
        if let Some(name) = phase_name(self.state) {
            seen.phases.push(Phase {
                name: name.into(),
                vm: None,
                start_ms: ms(self.entered - self.began),
                ms: ms(self.entered.elapsed()),
            });
        }
        self.state = state;
        self.entered = Instant::now();
        seen.state = state;
        true
    }

    /// Takes a host's news into the figures.
    pub(crate) fn news(&mut self, seen: &mut Migration, hosts: &Hosts, news: &News) {
        let Some(it) = vm_of(news).and_then(|name| seen.vms.iter_mut().find(|it| it.vm == *name))
        else {
            return;
        };
        let figures = &mut it.figures;
        let mut phase = None;
        match news {
            News::Progress { progress, .. } => it.progress = *progress,
            News::Flipped { due, acked, .. } => {
                let took = acked.ms_since(*due);
                figures.rule_switch_ms =
                    Some(figures.rule_switch_ms.map_or(took, |most| most.max(took)));
            }
            News::Stopped {
                at,
                predicted,
                salvaged,
                ..
            } => {
                figures.stop_error_ms = predicted.map(|predicted| at.ms_since(predicted));
                figures.salvaged = *salvaged;
                figures.stopped_unix_ns = Some(hosts.unix_ns(*at));
                self.stopped.insert(it.vm.clone(), *at);
            }
            News::Resumed {
                at, queue_drops, ..
            } => {
                figures.queue_drops = *queue_drops;
                figures.resumed_unix_ns = Some(hosts.unix_ns(*at));
                if let Some(stopped) = self.stopped.get(&it.vm) {
                    let took = at.ms_since(*stopped);
                    figures.vcpu_downtime_ms = Some(took);
                    phase = Some(Phase {
                        name: "switchover".into(),
                        vm: Some(it.vm.clone()),
                        start_ms: stopped.ms_since(self.began_at),
                        ms: took,
                    });
                }
            }
            News::Sent {
                sent_bytes,
                wire_bytes,
                last_burst_bytes,
                ways,
                disk_bytes,
                disk_wire_bytes,
                ..
            } => {
                figures.disk_bytes = *disk_bytes;
                figures.disk_wire_bytes = *disk_wire_bytes;
                figures.sent_bytes = *sent_bytes;
                figures.wire_bytes = *wire_bytes;
                figures.last_burst_bytes = *last_burst_bytes;
                figures.ways = *ways;
            }
            News::Mirrored { .. } => {
                let took = ms(self.began.elapsed());
                self.mirrored.insert(it.vm.clone(), took);
                phase = Some(Phase {
                    name: "mirror".into(),
                    vm: Some(it.vm.clone()),
                    start_ms: 0.0,
                    ms: took,
                });
            }
            News::Held { .. } => {
                let start_ms = self.mirrored.get(&it.vm).copied().unwrap_or_default();
                phase = Some(Phase {
                    name: "pre-copy".into(),
                    vm: Some(it.vm.clone()),
                    start_ms,
                    ms: ms(self.began.elapsed()) - start_ms,
                });
            }
            _ => {}
        }
        seen.phases.extend(phase);
    }
}

/// The VM that news is about.
pub(crate) fn vm_of(news: &News) -> Option<&VmName> {
    Some(match news {
        News::Flipped { vm, .. }
        | News::Progress { vm, .. }
        | News::Held { vm, .. }
        | News::Mirrored { vm, .. }
        | News::WontConverge { vm, .. }
        | News::PreSwitchover { vm, .. }
        | News::Stopped { vm, .. }
        | News::Resumed { vm, .. }
        | News::Sent { vm, .. }
        | News::DidNotStop { vm, .. }
        | News::Interrupted { vm, .. }
        | News::Failed { vm, .. } => vm,
        News::VmGone { .. } => return None,
    })
}

fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
