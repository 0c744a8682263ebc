//! Paper B's third scenario: VMs of the sizes of its Table I move live between two sites, there and back, while
//! a client at a LISP site talks to them at one address that never changes. No tunnel of the guest's, no
//! script in it, no dynamic DNS.

use super::load::{Seen, Watch};
use crate::cli::{self, Standing, UpOptions};
use crate::demo::{Audience, DemoError, Tour, own};
use crate::parts::{PartError, Plane};
use crate::shop::{HOME, Load, Size};
use measure::report::Vm;
use model::migration::{Options, State};
use ovs::bench::quantile;
use serde::Serialize;
use std::time::Duration;

/// Where the VM goes from home.
const AWAY: &str = "south";
/// Probe and guest talk this long before the first move; the guest at rest is watched meanwhile.
const REST: Duration = Duration::from_secs(5);
/// Memory that the rest of the lab takes, MiB.
const BESIDE_MIB: u64 = 2048;

/// Sizes of Table I; the paper's names of the VMs that have them.
const SIZES: [(&str, Size); 3] = [
    ("ub-shared-2, xp-shared-2", size(2048)),
    ("ub-shared-3, xp-shared-3", size(3072)),
    ("ub-shared-4", size(4096)),
];

const fn size(memory_mib: u32) -> Size {
    Size {
        vcpus: 2,
        memory_mib,
    }
}

/// What paper B, section IV, says of its first two scenarios.
pub const PAPER: [&str; 4] = [
    "paper B, scenario 1 (IPsec, dynamic DNS): downtime about 1 s; total 7 min with 4 GB, 3 min with 2 GB (XP)",
    "paper B, scenario 2 (OpenVPN bridge): downtime 400 to 600 ms; total 5 min with 3 GB, 3 min with 2 GB (XP)",
    "paper B: the CPUs' load grows by 39 % in scenario 1 and 38 % in scenario 2 while 4 GB move",
    "paper B: xp-shared-3 and xp-NonShared-2 were not moved with success in either scenario",
];

/// What is done.
#[derive(Debug, Clone)]
pub struct Scenario3 {
    /// The lab as it comes up; VMs, size, load and plane are the experiment's.
    pub up: UpOptions,
    /// Moves of each size, there and back in turn. The paper's are 15.
    pub runs: u32,
    /// Random data in each guest's memory, MiB; 500 pages of it are rewritten each second.
    pub used_mib: u32,
    /// Largest memory of a VM that is tried, MiB.
    pub most_mib: u32,
}

/// What came of one size: medians of all moves, unless something else is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The paper's names of VMs of this size.
    pub like: String,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Moves that were made.
    pub runs: usize,
    /// Of these, those that did not arrive.
    pub failed: usize,
    /// From the request to the end, s.
    pub total_s: f64,
    /// Bytes on the wire, MB.
    pub sent_mb: f64,
    /// These over the total, Mbit/s.
    pub rate_mbit: f64,
    /// Longest silence around the switch at the client, ms.
    pub downtime_ms: f64,
    /// The worst of these, ms.
    pub worst_ms: f64,
    /// No vCPU ran, ms.
    pub vcpu_ms: f64,
    /// Of the client's stream, packets in all moves.
    pub lost: u64,
    /// Of the client's sessions, in all moves.
    pub tcp_lost: u64,
    /// Median round trip, at rest and during moves, ms.
    pub latency_ms: [Option<f64>; 2],
    /// That of the slowest of a hundred, ms.
    pub slow_ms: [Option<f64>; 2],
    /// Busy share of the machine's CPUs, %; both sites are on it.
    pub cpu_percent: [Option<f64>; 2],
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Size by size.
    pub rows: Vec<Row>,
    /// What must be known beside them.
    pub notes: Vec<String>,
}

/// Does the experiment, size by size, each in a lab of its own.
///
/// # Errors
/// What stood in the way. A move that does not arrive is none: the row counts it.
pub async fn scenario3(
    asked: &Scenario3,
    audience: &mut dyn Audience,
) -> Result<Outcome, DemoError> {
    let mut outcome = Outcome::default();
    let sizes = SIZES
        .iter()
        .filter(|(_, it)| it.memory_mib <= asked.most_mib);
    for &(like, size) in sizes {
        // The VM is twice on this machine while it moves.
        let needed = 2 * u64::from(size.memory_mib) + BESIDE_MIB;
        let free = agent::survey::free_mib();
        if free < needed {
            let note =
                format!("{like}: left out; {needed} MiB are needed and {free} MiB are free here");
            outcome.notes.push(note);
            continue;
        }
        let mut up = UpOptions {
            vms: 1,
            size,
            load: Load {
                mib: asked.used_mib,
                ..Load::USUAL
            },
            plane: Plane::LispGpe,
            ..asked.up.clone()
        };
        if up.folder.is_none() {
            up.folder = Some(own::folder("scenario3").map_err(PartError::from)?);
        }
        let (vcpus, mib) = (size.vcpus, size.memory_mib);
        audience.say(&format!("\n{vcpus} vCPUs, {mib} MiB, as {like}"));
        let standing = cli::up(&up, &mut |step| audience.step(step)).await?;
        let moved = tokio::select! {
            moved = moves(&standing, (like, size), asked.runs, audience) => moved,
            () = cli::interrupted() => Err(PartError::Interrupted.into()),
        };
        let ended = standing.down().await;
        outcome.rows.push(moved?);
        ended?;
    }
    Ok(outcome)
}

async fn moves(
    standing: &Standing,
    (like, size): (&str, Size),
    runs: u32,
    audience: &mut dyn Audience,
) -> Result<Row, DemoError> {
    let boxed = standing.testbed.boxed();
    let Some(address) = standing.targets.first().map(|target| target.address) else {
        return Err(PartError::Interrupted.into());
    };
    let mut tour = Tour::begin(standing, Duration::ZERO).await?;
    let watch = Watch::begin(boxed, address).await?;
    tokio::time::sleep(REST).await;
    let rest = watch.end().await?;
    let (mut away, mut failed) = (false, 0);
    let mut during: Vec<Seen> = Vec::new();
    for _ in 0..runs {
        let to = if away { HOME } else { AWAY };
        let watch = Watch::begin(boxed, address).await?;
        let moved = tour.travel(to, Options::default(), audience).await?;
        during.push(watch.end().await?);
        match moved.state {
            State::Arrived => away = !away,
            _ => failed += 1,
        }
    }
    let seen = tour.end().await?;
    let arrived = || seen.migrations.iter().filter(|it| it.state == "arrived");
    let vms = || arrived().flat_map(|migration| &migration.vms);
    let of = |value: fn(&Vm) -> Option<f64>| vms().filter_map(value).collect::<Vec<f64>>();
    let totals: Vec<f64> = arrived().map(|it| it.total_ms / 1e3).collect();
    let gaps = of(|vm| vm.switch_gap_ms);
    let total_s = median(totals).unwrap_or_default();
    let sent_mb = median(of(|vm| Some(vm.bytes_moved as f64 / 1e6))).unwrap_or_default();
    let both = |value: fn(&Seen) -> Option<f64>| {
        let moving = during.iter().filter_map(value).collect();
        [value(&rest), median(moving)]
    };
    let all = |value: fn(&Vm) -> u64| {
        let migrations = seen.migrations.iter();
        migrations.flat_map(|it| &it.vms).map(value).sum()
    };
    Ok(Row {
        like: like.to_owned(),
        vcpus: size.vcpus,
        memory_mib: size.memory_mib,
        runs: seen.migrations.len(),
        failed,
        total_s,
        sent_mb,
        rate_mbit: sent_mb * 8.0 / total_s.max(0.001),
        worst_ms: gaps.iter().copied().fold(0.0, f64::max),
        downtime_ms: median(gaps).unwrap_or_default(),
        vcpu_ms: median(of(|vm| vm.vcpu_downtime_ms)).unwrap_or_default(),
        lost: all(|vm| vm.udp_lost),
        tcp_lost: all(|vm| vm.tcp_lost),
        latency_ms: both(|seen| seen.latency_ms),
        slow_ms: both(|seen| seen.slow_ms),
        cpu_percent: both(|seen| seen.cpu_percent),
    })
}

fn median(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| quantile(&values, 0.5))
}
