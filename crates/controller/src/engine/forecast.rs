//! What the engine foresees of a gang: the link it shares, the gap of its VMs, the length of their sprints.

use super::steps::Steps;
use migration::gap;
use migration::plan::{Candidate, DRAIN_MS, copy_rate, link_rate};
use migration::switch::Rhythm;
use migration::{groups, switch};
use model::VmName;
use model::migration::FlipOrder;
use std::sync::atomic::Ordering;

/// Unlimited iterations before the stop, beyond the time to send what a window left, ms.
const SPRINT_MS: f64 = 15.0;
/// What a window of the hold leaves is about this many times what a sprint leaves.
const WINDOW_TO_BURST: u64 = 16;

impl Steps {
    pub(super) fn candidates(&self) -> Vec<Candidate<'_>> {
        self.movers
            .values()
            .map(|m| Candidate {
                member: &m.member,
                source: &m.source,
                target: &m.target,
                one_way_ms: None,
                stall_ms: self.hosts.stall_ms(&m.target.host).unwrap_or_default(),
                here: None,
                there: None,
            })
            .collect()
    }

    /// The link that the gang shares, bytes a second.
    pub(super) fn link(&self) -> f64 {
        link_rate(&self.candidates(), &self.options)
    }

    /// What the whole gang may be copied at, bytes a second.
    pub(super) fn copy_rate(&self) -> f64 {
        copy_rate(&self.candidates(), &self.options)
    }

    /// When each of these VMs stops, and the gap that follows from it.
    pub(super) fn rhythm(&self, vms: &[VmName]) -> Rhythm {
        let first = self.movers.values().next();
        let one_way_ms = self
            .movers
            .values()
            .map(|m| self.delay(&m.target.host, &m.source.host))
            .fold(0.0, f64::max);
        let known = gap::Known {
            drain_ms: DRAIN_MS,
            one_way_ms,
            burst_bytes: self.burst.load(Ordering::Relaxed) * vms.len() as u64
                / self.movers.len().max(1) as u64,
            link: self.link(),
            vms: vms.len(),
            cpus: first.map_or(1, |m| m.target.abilities.cpus as usize),
            translated: first.is_some_and(|m| m.target.abilities.accel == "tcg"),
            stall_ms: self
                .candidates()
                .iter()
                .map(|c| c.stall_ms)
                .fold(0.0, f64::max),
        };
        let armed = vms.iter().filter_map(|vm| self.movers.get(vm));
        // A circle is refused when the cluster is described.
        let groups = groups::of(&groups::after(armed.map(|mover| &mover.member)));
        let groups = groups.unwrap_or_else(|_| vec![vms.to_vec()]);
        // One that is armed again alone has no group.
        let switch = switch::chosen(&self.options, groups.len());
        Rhythm::of(groups, switch, self.options.stagger_ms, known)
    }

    /// Whether each of its QEMUs stops only when it is told.
    pub(super) fn can_hold(&self) -> bool {
        self.options.order != FlipOrder::Redirect
            && self.movers.values().all(|m| m.source.abilities.prediction)
    }

    /// Long enough to send what a window of the hold leaves, and then what was dirtied meanwhile.
    pub(super) fn sprint_ms(&self) -> f64 {
        let vms = self.movers.len().max(1) as u64;
        let left = self.burst.load(Ordering::Relaxed) / vms * WINDOW_TO_BURST;
        (SPRINT_MS + 1500.0 * left as f64 / self.copy_rate()).clamp(SPRINT_MS, 8.0 * SPRINT_MS)
    }
}
