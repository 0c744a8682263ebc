//! Plans: prechecks and predictions. Nothing here changes anything.

use crate::gap::{Gap, Known};
use model::migration::{Check, Options, Plan};
use model::news::Hello;
use model::{ClusterName, Encap, Member, MemberKind, SiteName};

/// One VM that would move.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The VM.
    pub member: &'a Member,
    /// Its host.
    pub source: &'a Hello,
    /// Where it would go.
    pub target: &'a Hello,
    /// One-way delay between them, ms; `None` when it could not be measured.
    pub one_way_ms: Option<f64>,
    /// Longest that an ordinary thread of the target waited for a CPU lately, ms.
    pub stall_ms: f64,
}

/// What a VM is taken to send after its stop before it was measured, bytes: device state, and the pages
/// of the last few ms, of which mostly the differences travel.
pub(crate) const BURST: u64 = 32 << 10;
/// Most that a gang of emulated VMs is copied at, bytes a second: guests and the copying share the CPUs, and
/// at 1 Gbit/s guests on two CPUs were seen to stand still for more than a second.
const TRANSLATED_RATE: f64 = 25e6;
/// Last packet to stop, ms.
pub const DRAIN_MS: f64 = 6.0;

/// The rate that the gang shares, bytes a second: what the user gave, else what both uplinks are
/// known to carry, less a share for everybody else.
pub fn link_rate(candidates: &[Candidate<'_>], options: &Options) -> f64 {
    let known = candidates
        .iter()
        .flat_map(|c| {
            [
                c.source.abilities.uplink_mbit,
                c.target.abilities.uplink_mbit,
            ]
        })
        .filter(|mbit| *mbit > 0.0)
        .fold(f64::INFINITY, f64::min);
    let mbit = if options.bandwidth_mbit > 0.0 {
        options.bandwidth_mbit
    } else {
        known
    };
    if mbit.is_finite() {
        mbit * 1e6 / 8.0
    } else {
        125e6
    }
}

/// What the whole gang may be copied at, bytes a second: the link, or less where guests would suffer.
pub fn copy_rate(candidates: &[Candidate<'_>], options: &Options) -> f64 {
    let link = link_rate(candidates, options);
    let translated = |c: &Candidate<'_>| c.source.abilities.accel == "tcg";
    match candidates.iter().any(translated) {
        true => link.min(TRANSLATED_RATE),
        false => link,
    }
}

/// Makes the plan of a gang.
pub fn make(
    cluster: &ClusterName,
    encap: Encap,
    mtu: u16,
    (from, to): (&SiteName, &SiteName),
    candidates: &[Candidate<'_>],
    options: &Options,
) -> Plan {
    let mut checks = vec![check(
        "members",
        !candidates.is_empty(),
        format!("{} VMs to move", candidates.len()),
        format!("cluster '{cluster}' has no VM at '{from}'; nothing to move"),
    )];
    for candidate in candidates {
        checks.extend(checks_of(candidate, encap, mtu));
    }
    checks.push(memory(candidates, to));
    let link = link_rate(candidates, options);
    let memory: u64 = candidates.iter().map(|c| memory_mib(c.member) << 20).sum();
    // Half of a small guest's memory is empty and costs nothing.
    let bytes = memory / 2;
    let one_way_ms = candidates
        .iter()
        .filter_map(|c| c.one_way_ms)
        .fold(0.0, f64::max);
    let predict = |vms: usize, together: usize| {
        Gap::predict(Known {
            drain_ms: DRAIN_MS,
            one_way_ms,
            burst_bytes: together as u64 * BURST,
            link,
            vms,
            cpus: candidates
                .first()
                .map_or(1, |c| c.target.abilities.cpus as usize),
            translated: candidates
                .first()
                .is_some_and(|c| c.target.abilities.accel == "tcg"),
            stall_ms: candidates.iter().map(|c| c.stall_ms).fold(0.0, f64::max),
        })
    };
    let (alone, all) = (predict(1, 1), candidates.len().max(1));
    let gap = match options.stagger_ms {
        Some(stagger) if stagger < alone.total_ms() => predict(all, all),
        _ => predict(all, 1),
    };
    checks.push(check(
        "network downtime",
        gap.total_ms() <= options.max_gap_ms,
        format!("about {:.0} ms for each VM", gap.total_ms()),
        format!(
            "about {:.0} ms for each VM, {:.0} ms are allowed; allow more with --max-gap-ms, or move fewer VMs at once",
            gap.total_ms(),
            options.max_gap_ms
        ),
    ));
    Plan {
        cluster: cluster.clone(),
        from: from.clone(),
        to: to.clone(),
        checks,
        bytes,
        total_ms: bytes as f64 / (copy_rate(candidates, options) * 0.85) * 1000.0 + 3000.0,
        gap_ms: gap.total_ms(),
        switches: Vec::new(),
    }
}

fn check(name: &str, passed: bool, good: String, bad: String) -> Check {
    Check {
        name: name.to_owned(),
        passed,
        message: if passed { good } else { bad },
    }
}

fn memory_mib(member: &Member) -> u64 {
    match &member.kind {
        MemberKind::Vm { spec } => u64::from(spec.memory_mib),
        MemberKind::Host => 0,
    }
}

fn checks_of(candidate: &Candidate<'_>, encap: Encap, mtu: u16) -> Vec<Check> {
    let Candidate {
        member,
        source,
        target,
        one_way_ms,
        ..
    } = candidate;
    let (here, there) = (&source.abilities, &target.abilities);
    let name = &member.name;
    let need = mtu + encap.overhead(target.underlay.is_ipv6());
    vec![
        check(
            "QEMU version",
            here.qemu == there.qemu,
            format!("'{name}': {} on both hosts", here.qemu),
            format!(
                "'{name}': {} on '{}' and {} on '{}'; install the same QEMU on both",
                here.qemu, source.host, there.qemu, target.host
            ),
        ),
        check(
            "accelerator",
            here.accel == there.accel,
            format!("'{name}': {} on both hosts", here.accel),
            format!(
                "'{name}': {} on '{}' and {} on '{}'; a guest does not survive the change, choose another target",
                here.accel, source.host, there.accel, target.host
            ),
        ),
        check(
            "MTU",
            there.uplink_mtu == 0 || there.uplink_mtu >= need,
            format!("'{name}': {} bytes fit into {}", mtu, there.uplink_mtu),
            format!(
                "'{name}': needs {need} bytes on the uplinks of '{}', which carry {}; raise their MTU",
                target.host, there.uplink_mtu
            ),
        ),
        check(
            "path",
            one_way_ms.is_some(),
            format!("'{name}': {:.1} ms one way", one_way_ms.unwrap_or_default()),
            format!(
                "'{name}': '{}' cannot reach '{}' on the management network; check routes and firewalls",
                source.host, target.host
            ),
        ),
        // Not an obstacle: the redirect carries it.
        check(
            "switchover",
            true,
            if here.prediction && there.prediction {
                format!("'{name}': QEMU stops when told")
            } else {
                format!(
                    "'{name}': QEMU cannot be held here ({}); the source's redirect carries the switchover",
                    here.prediction_note
                )
            },
            String::new(),
        ),
    ]
}

fn memory(candidates: &[Candidate<'_>], to: &SiteName) -> Check {
    let need: u64 = candidates.iter().map(|c| memory_mib(c.member) + 100).sum();
    let free = candidates
        .iter()
        .map(|c| c.target.abilities.free_mib)
        .min()
        .unwrap_or(0);
    check(
        "memory",
        candidates.is_empty() || free >= need,
        format!("{need} MiB of {free} MiB free at '{to}'"),
        format!(
            "{need} MiB are needed at '{to}' and {free} MiB are free; free some or choose another target"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_without_vms_is_an_obstacle() {
        let (north, south) = (
            SiteName::new("north").unwrap(),
            SiteName::new("south").unwrap(),
        );
        let shop = ClusterName::new("shop").unwrap();
        let plan = make(
            &shop,
            Encap::Vxlan,
            1500,
            (&north, &south),
            &[],
            &Options::default(),
        );
        assert!(plan.obstacle().unwrap().message.contains("nothing to move"));
    }
}
