//! Bytes, total time and downtimes, foreseen. The parts of the total are the phases that a report shows,
//! so that each can be put beside what came of it.

use super::copying::Copying;
use super::{BURST, Candidate, DRAIN_MS, link_rate, needs};
use crate::gap::{Gap, Known};
use model::facts::{GuestMemory, VmFound};
use model::migration::Options;
use model::plan::{Convergence, Forecast, Part};
use model::{Member, MemberKind};

/// Of what a guest dirties, the last burst has this long, s.
const BURST_S: f64 = 0.004;
/// Ports, an incoming QEMU, and the source's connection to it, besides round trips, ms.
const PREPARE_MS: f64 = 280.0;
/// A VM's stop lies this far ahead when it is armed, besides round trips, ms: late orders, QEMU's
/// window, and the sprint.
const ARMED_MS: f64 = 350.0;
/// From a resume until its VM is asked whether it lives, and has answered, ms.
const VERIFY_MS: f64 = 265.0;
/// Processes and ports at the source are removed, ms.
const CLEAN_UP_MS: f64 = 105.0;
/// Orders are answered after a round trip; so many follow one another in these phases.
const PREPARE_TRIPS: f64 = 2.0;
const VERIFY_TRIPS: f64 = 1.0;
const CLEAN_UP_TRIPS: f64 = 1.0;
const ARMED_TRIPS: f64 = 2.0;
/// A guest that was not looked at is taken to use this much of its memory.
const USED: f64 = 0.5;
/// A VM whose dirty rate is this much smaller than what was sampled would still be a sure thing to
/// fail: samples are wrong by a little.
const SURE: f64 = 1.2;

/// What is foreseen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Foreseen {
    pub(super) vms: Vec<Forecast>,
    pub(super) phases: Vec<Part>,
    pub(super) gap_ms: f64,
    pub(super) spread_ms: f64,
}

impl Foreseen {
    /// On the wire, disks included.
    pub(super) fn bytes(&self) -> u64 {
        let each = self.vms.iter().map(|vm| vm.bytes + vm.disk_bytes);
        each.sum()
    }
}

/// Foresees a gang that shares this rate, bytes a second.
pub(super) fn foresee(candidates: &[Candidate<'_>], options: &Options, rate: f64) -> Foreseen {
    let share = rate / candidates.len().max(1) as f64;
    let gaps = gaps(candidates, options);
    let vms: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let known = known(candidate, candidates, options);
            forecast(candidate, options, (share, known), gaps.each_ms)
        })
        .collect();
    let one_way_ms = one_way(candidates);
    let trip = |trips: f64| trips * 2.0 * one_way_ms;
    let count = candidates.len() as f64;
    let ready = vms.iter().map(|vm| vm.ready_ms).fold(0.0, f64::max);
    // Disks are copied before memory is, over the same link.
    let disks: u64 = vms.iter().map(|vm| vm.disk_bytes).sum();
    let part = |name: &str, ms: f64| Part {
        name: name.to_owned(),
        ms,
    };
    let mut phases = vec![part("prepare", PREPARE_MS + trip(PREPARE_TRIPS))];
    if disks > 0 {
        phases.push(part("mirror", disks as f64 / rate.max(1.0) * 1000.0));
    }
    phases.extend([
        part("pre-copy", ready),
        part("armed", ARMED_MS + trip(ARMED_TRIPS + 2.0 * count)),
        part("switchover", gaps.spread_ms + gaps.switch_ms),
        part("verify", VERIFY_MS + trip(VERIFY_TRIPS)),
        part("clean-up", CLEAN_UP_MS + trip(CLEAN_UP_TRIPS)),
    ]);
    if candidates.is_empty() {
        phases.clear();
    }
    Foreseen {
        vms,
        phases,
        gap_ms: gaps.each_ms,
        spread_ms: gaps.spread_ms,
    }
}

fn one_way(candidates: &[Candidate<'_>]) -> f64 {
    let known = candidates.iter().filter_map(|c| c.one_way_ms);
    known.fold(0.0, f64::max)
}

struct Gaps {
    each_ms: f64,
    spread_ms: f64,
    /// From the last stop until its VM runs.
    switch_ms: f64,
}

fn gaps(candidates: &[Candidate<'_>], options: &Options) -> Gaps {
    let first = candidates.first();
    let burst = candidates
        .iter()
        .map(|c| BURST as f64 + BURST_S * dirty_rate(c).unwrap_or(0.0))
        .fold(0.0, f64::max);
    let predict = |vms: usize, together: usize| {
        Gap::predict(Known {
            drain_ms: DRAIN_MS,
            one_way_ms: one_way(candidates),
            burst_bytes: (together as f64 * burst) as u64,
            link: link_rate(candidates, options),
            vms,
            cpus: first.map_or(1, |c| c.target.abilities.cpus as usize),
            translated: first.is_some_and(|c| c.target.abilities.accel == "tcg"),
            stall_ms: candidates.iter().map(|c| c.stall_ms).fold(0.0, f64::max),
        })
    };
    let (alone, all) = (predict(1, 1), candidates.len().max(1));
    let stagger = options.stagger_ms.unwrap_or(alone.stagger_ms());
    let gap = match stagger < alone.total_ms() {
        true => predict(all, all),
        false => predict(all, 1),
    };
    Gaps {
        each_ms: gap.total_ms(),
        spread_ms: stagger * (all - 1) as f64,
        switch_ms: gap.one_way_ms + gap.burst_ms + gap.stop_ms,
    }
}

/// Which share of a VM's pages goes as references: what VMs on its host that go the same way have in common is
/// sent by one of them.
fn known(candidate: &Candidate<'_>, all: &[Candidate<'_>], options: &Options) -> f64 {
    let shared = |of: &Candidate<'_>| seen(of).and_then(|seen| seen.shared).unwrap_or(0.0);
    let same_way = |other: &&Candidate<'_>| {
        other.source.host == candidate.source.host && other.target.host == candidate.target.host
    };
    let with = all.iter().filter(same_way).filter(|it| shared(it) > 0.0);
    match with.count() {
        sharing if options.deltas && sharing > 1 => {
            shared(candidate) * (sharing - 1) as f64 / sharing as f64
        }
        _ => 0.0,
    }
}

fn forecast(
    candidate: &Candidate<'_>,
    options: &Options,
    (share, known): (f64, f64),
    gap_ms: f64,
) -> Forecast {
    let memory = memory(candidate.member);
    let used = seen(candidate).and_then(|seen| seen.used);
    let used = used.map_or(memory * USED, |bytes| bytes as f64).min(memory);
    let dirty_rate = dirty_rate(candidate);
    let copying = Copying {
        memory,
        used,
        packs: match options.deltas {
            true => seen(candidate).and_then(|seen| seen.packs).unwrap_or(1.0),
            false => 1.0,
        },
        known,
        packs_again: match options.deltas {
            true => seen(candidate).and_then(|seen| seen.differs).unwrap_or(1.0),
            false => 1.0,
        },
        dirty_rate: dirty_rate.unwrap_or(0.0),
        rate: share,
        slow_down: options.allow_slowdown,
    };
    // Whether it ends is not left to how alike pages stay.
    let plainly = |copying: Copying| Copying {
        packs_again: 1.0,
        ..copying
    };
    let mut copied = copying.run();
    copied.convergence = plainly(copying).run().convergence;
    if copied.convergence == Convergence::No {
        let luckier = Copying {
            dirty_rate: copying.dirty_rate / SURE,
            ..copying
        };
        copied = luckier.run();
        copied.convergence = plainly(luckier).run().convergence;
    }
    let needs = needs(candidate.member, &candidate.target.abilities.accel);
    Forecast {
        vm: candidate.member.name.clone(),
        from: candidate.source.host.clone(),
        to: candidate.target.host.clone(),
        needs,
        used_bytes: used as u64,
        dirty_rate,
        bytes: copied.bytes as u64,
        // Holes are not copied.
        disk_bytes: seen(candidate)
            .and_then(|seen| seen.disk_bytes)
            .map_or(needs.disk_bytes, |written| written.min(needs.disk_bytes)),
        ready_ms: copied.ready_ms,
        gap_ms,
        convergence: copied.convergence,
    }
}

fn memory(member: &Member) -> f64 {
    match &member.kind {
        MemberKind::Vm { spec } => (u64::from(spec.memory_mib) << 20) as f64,
        MemberKind::Host => 0.0,
    }
}

fn found<'a>(candidate: &Candidate<'a>) -> Option<&'a VmFound> {
    let vms = &candidate.here?.vms;
    vms.iter()
        .find(|vm| vm.vm == candidate.member.name && vm.seen.is_some())
}

/// What was seen of the running guest.
pub(super) fn seen<'a>(candidate: &Candidate<'a>) -> Option<&'a GuestMemory> {
    found(candidate)?.seen.as_ref()
}

fn dirty_rate(candidate: &Candidate<'_>) -> Option<f64> {
    seen(candidate)?.dirty_rate
}
