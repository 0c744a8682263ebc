//! What may stand in the way, each with its result, what was found, and the way out.
//!
//! | module | checks |
//! |---|---|
//! | [`guest`] | what each VM is made of: machine type, CPU, files, and whether it can be held |
//! | [`hosts`] | the hosts: QEMU, accelerator, clock, certificates |
//! | [`network`] | paths, tunnels, MTU, bandwidth, ports |
//! | [`room`] | memory, quota, disk space, and what others have reserved |
//!
//! What an agent did not tell is a warning at most: an older agent still moves VMs.

mod guest;
mod hosts;
mod network;
mod room;

use super::prediction::Foreseen;
use super::{Around, Candidate, known_link, rate};
use model::facts::Facts;
use model::migration::Options;
use model::news::Hello;
use model::plan::{Check, Convergence};
use std::collections::BTreeMap;

/// A host and what was found on it.
type Host<'a> = (&'a Hello, Option<&'a Facts>);

/// Every check, the gravest kind of mistake first.
pub(super) fn all(
    around: &Around<'_>,
    candidates: &[Candidate<'_>],
    options: &Options,
    foreseen: &Foreseen,
) -> Vec<Check> {
    let mut checks = vec![members(around, candidates)];
    checks.extend(hosts::checks(around, candidates, foreseen));
    for candidate in candidates {
        checks.extend(guest::checks(candidate));
    }
    checks.extend(network::checks(around, candidates, options));
    checks.extend(room::checks(around, candidates));
    checks.extend(foreseen.vms.iter().map(|vm| {
        let share = rate(candidates, options).all / foreseen.vms.len() as f64;
        convergence(vm, share)
    }));
    checks.push(downtime(around, candidates, options, foreseen));
    checks
}

fn members(around: &Around<'_>, candidates: &[Candidate<'_>]) -> Check {
    let count = candidates.len();
    match count {
        0 => Check::obstacle(
            "members",
            around.cluster,
            format!("no VM of it is at '{}', nothing would move", around.from),
            "look where its members are with `transhume cluster show`",
        ),
        1 => Check::ok("members", around.cluster, "1 VM would move"),
        _ => Check::ok("members", around.cluster, format!("{count} VMs would move")),
    }
}

fn convergence(vm: &model::plan::Forecast, share: f64) -> Check {
    let name = "convergence";
    let mega = |bytes: f64| format!("{:.1} MB/s", bytes / 1e6);
    let Some(dirty) = vm.dirty_rate else {
        return Check::warning(
            name,
            &vm.vm,
            "how fast it dirties memory was not measured",
            "the migration finds out, and goes back if it never becomes ready",
        );
    };
    let found = format!("dirties {} and {} can be sent", mega(dirty), mega(share));
    match vm.convergence {
        Convergence::Yes if dirty > 0.85 * share => Check::warning(
            name,
            &vm.vm,
            format!("{found}: it may take long"),
            "give it more bandwidth, or let it be slowed with --allow-slowdown",
        ),
        Convergence::Yes => Check::ok(name, &vm.vm, found),
        Convergence::Slowed => Check::warning(
            name,
            &vm.vm,
            format!("{found}: its guest will be slowed down, as you allow"),
            "give it more bandwidth if it shall not be",
        ),
        Convergence::No => Check::obstacle(
            name,
            &vm.vm,
            format!("{found}, so it never becomes ready"),
            "give it more bandwidth, or let it be slowed with --allow-slowdown",
        ),
    }
}

fn downtime(
    around: &Around<'_>,
    candidates: &[Candidate<'_>],
    options: &Options,
    foreseen: &Foreseen,
) -> Check {
    let name = "network downtime";
    let mut found = format!("about {:.0} ms for each VM", foreseen.gap_ms);
    if candidates.len() > 1 {
        let spread = foreseen.spread_ms;
        found.push_str(&format!(", {spread:.0} ms from first stop to last"));
    }
    match foreseen.gap_ms <= options.max_gap_ms {
        true => Check::ok(name, around.cluster, found),
        false => Check::obstacle(
            name,
            around.cluster,
            format!("{found}, and {:.0} ms are allowed", options.max_gap_ms),
            "allow more with --max-gap-ms, or move fewer VMs at once",
        ),
    }
}

/// Each host that takes part, once: sources first.
fn taking_part<'a>(candidates: &[Candidate<'a>]) -> Vec<Host<'a>> {
    let sources = candidates.iter().map(|c| (c.source, c.here));
    let targets = candidates.iter().map(|c| (c.target, c.there));
    let mut seen: Vec<Host<'a>> = Vec::new();
    for host in sources.chain(targets) {
        if seen.iter().all(|(known, _)| known.host != host.0.host) {
            seen.push(host);
        }
    }
    seen
}

/// The VMs that would go to each target.
fn by_target<'a, 'c>(
    candidates: &'c [Candidate<'a>],
) -> BTreeMap<&'a model::HostName, Vec<&'c Candidate<'a>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for candidate in candidates {
        let target: &'a Hello = candidate.target;
        all.entry(&target.host).or_default().push(candidate);
    }
    all
}

/// The pairs of hosts that VMs would go between, once each.
fn pairs<'a, 'c>(candidates: &'c [Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let mut all: Vec<&Candidate<'a>> = Vec::new();
    for candidate in candidates {
        let between = |c: &Candidate<'_>| (c.source.host.clone(), c.target.host.clone());
        if all.iter().all(|known| between(known) != between(candidate)) {
            all.push(candidate);
        }
    }
    all
}
