//! What the engine foresees of a gang: the link it shares, the gap of its VMs, the length of their sprints.

use super::steps::Steps;
use migration::gap::{self, Gap};
use migration::plan::{Candidate, DRAIN_MS, copy_rate, link_rate};
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

    /// The gap of a VM in a gang of `vms` of which this many stop together.
    pub(super) fn predict(&self, vms: usize, together: usize) -> Gap {
        let first = self.movers.values().next();
        let one_way_ms = self
            .movers
            .values()
            .map(|m| self.delay(&m.target.host, &m.source.host))
            .fold(0.0, f64::max);
        Gap::predict(gap::Known {
            drain_ms: DRAIN_MS,
            one_way_ms,
            burst_bytes: self.burst.load(Ordering::Relaxed) * together as u64
                / self.movers.len().max(1) as u64,
            link: self.link(),
            vms,
            cpus: first.map_or(1, |m| m.target.abilities.cpus as usize),
            translated: first.is_some_and(|m| m.target.abilities.accel == "tcg"),
            stall_ms: self
                .candidates()
                .iter()
                .map(|c| c.stall_ms)
                .fold(0.0, f64::max),
        })
    }

    /// Long enough to send what a window of the hold leaves, and then what was dirtied meanwhile.
    pub(super) fn sprint_ms(&self) -> f64 {
        let vms = self.movers.len().max(1) as u64;
        let left = self.burst.load(Ordering::Relaxed) / vms * WINDOW_TO_BURST;
        (SPRINT_MS + 1500.0 * left as f64 / self.copy_rate()).clamp(SPRINT_MS, 8.0 * SPRINT_MS)
    }
}
