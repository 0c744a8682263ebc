//! Plans: prechecks and predictions. Nothing here changes anything, or looks at anything itself: what
//! agents found on their hosts comes in as [`model::facts::Facts`].
//!
//! | module | job |
//! |---|---|
//! | here | who would move, at which rate, and the plan as a whole |
//! | [`checks`] | what may stand in the way |
//! | [`copying`] | how long pre-copy takes, what it sends, whether it ends |
//! | [`prediction`] | bytes, total time, downtimes |

mod checks;
mod copying;
mod prediction;

pub use copying::{Copied, Copying};

use model::facts::{Facts, PathFound};
use model::migration::Options;
use model::news::Hello;
use model::plan::{Needs, Plan};
use model::{ClusterName, Encap, HostName, Member, MemberKind, MigrationId, SiteName, VmName};

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
    /// What was found on its host now; `None` when the agent does not tell.
    pub here: Option<&'a Facts>,
    /// What was found at the target now.
    pub there: Option<&'a Facts>,
}

/// What a plan is for, besides its VMs.
#[derive(Debug, Clone)]
pub struct Around<'a> {
    /// The gang.
    pub cluster: &'a ClusterName,
    /// How its frames travel.
    pub encap: Encap,
    /// Its members' MTU, bytes.
    pub mtu: u16,
    /// Source site.
    pub from: &'a SiteName,
    /// Target site.
    pub to: &'a SiteName,
    /// Controller's wall clock less its monotonic clock, ns.
    pub wall_less_monotonic_ns: i64,
    /// Now, s since the Unix epoch, by the controller's wall clock.
    pub now_s: i64,
    /// What migrations under way have reserved.
    pub reserved: &'a [Reserved],
}

/// What a migration under way keeps at a target for a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The target.
    pub host: HostName,
    /// The VM's cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// For which migration.
    pub by: MigrationId,
    /// How much.
    pub needs: Needs,
}

/// Most that a gang of emulated VMs is copied at, bytes a second: guests and the copying share the CPUs, and
/// at 1 Gbit/s guests on two CPUs were seen to stand still for more than a second.
const TRANSLATED_RATE: f64 = 25e6;
/// Wire rate in bulk, as a share of the link: the rest is for everybody else.
pub const BULK_SHARE: f64 = 0.82;
/// What a VM is taken to send after its stop, bytes: device state, and the pages of the last few ms, of
/// which mostly the differences travel.
pub(crate) const BURST: u64 = 24 << 10;
/// Last packet to stop, ms.
pub const DRAIN_MS: f64 = 6.0;
/// Memory that QEMU takes besides the guest's, MiB; an emulator keeps what it has translated.
const OVERHEAD_MIB: u64 = 40;
const OVERHEAD_TRANSLATED_MIB: u64 = 100;
/// What is taken where neither the user nor the agents know the uplinks, bytes a second.
const UNKNOWN_LINK: f64 = 125e6;

/// The rate that the gang shares, bytes a second: what the user gave, else what both uplinks are
/// known to carry, less a share for everybody else.
pub fn link_rate(candidates: &[Candidate<'_>], options: &Options) -> f64 {
    known_link(candidates, options).unwrap_or(UNKNOWN_LINK)
}

fn known_link(candidates: &[Candidate<'_>], options: &Options) -> Option<f64> {
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
    mbit.is_finite().then_some(mbit * 1e6 / 8.0)
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

/// What a VM needs at a host with this accelerator.
pub fn needs(member: &Member, accel: &str) -> Needs {
    let overhead = match accel {
        "tcg" => OVERHEAD_TRANSLATED_MIB,
        _ => OVERHEAD_MIB,
    };
    match &member.kind {
        MemberKind::Vm { spec } => Needs {
            memory_mib: u64::from(spec.memory_mib) + overhead,
            disk_bytes: spec.copied_bytes(),
        },
        MemberKind::Host => Needs::default(),
    }
}

/// The rate that a prediction reckons with, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
struct Rate {
    /// Of the whole gang, bytes a second.
    all: f64,
    /// In words.
    from: String,
}

fn rate(candidates: &[Candidate<'_>], options: &Options) -> Rate {
    let (link, copy) = (
        link_rate(candidates, options),
        copy_rate(candidates, options),
    );
    let allowed = copy * BULK_SHARE;
    let slowest = candidates
        .iter()
        .filter_map(|c| match c.here.and_then(|facts| facts.path.as_ref()) {
            Some(PathFound::Carries {
                rate,
                at_least: false,
                ..
            }) => Some(*rate),
            _ => None,
        })
        .fold(f64::INFINITY, f64::min);
    let from = if slowest < allowed {
        "measured now"
    } else if copy < link {
        "as much as emulated guests bear"
    } else if options.bandwidth_mbit > 0.0 {
        "as asked for"
    } else if known_link(candidates, options).is_some() {
        "the uplinks, as configured"
    } else {
        "not known, 1 Gbit/s is taken"
    };
    Rate {
        all: allowed.min(slowest),
        from: from.to_owned(),
    }
}

/// Makes the plan of a gang.
pub fn make(around: &Around<'_>, candidates: &[Candidate<'_>], options: &Options) -> Plan {
    let rate = rate(candidates, options);
    let foreseen = prediction::foresee(candidates, options, rate.all);
    let checks = checks::all(around, candidates, options, &foreseen);
    Plan {
        cluster: around.cluster.clone(),
        from: around.from.clone(),
        to: around.to.clone(),
        checks,
        bytes: foreseen.bytes(),
        total_ms: foreseen.phases.iter().map(|part| part.ms).sum(),
        gap_ms: foreseen.gap_ms,
        spread_ms: foreseen.spread_ms,
        rate: rate.all,
        rate_from: rate.from,
        switches: Vec::new(),
        vms: foreseen.vms,
        phases: foreseen.phases,
    }
}

#[cfg(test)]
mod tests;
