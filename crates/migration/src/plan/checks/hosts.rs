//! The hosts themselves: QEMU, accelerator, clock, certificates.

use super::super::prediction::Foreseen;
use super::super::{Around, Candidate};
use super::{Host, pairs, taking_part};
use model::facts::Facts;
use model::plan::Check;

/// A clock that is wrong by less disturbs nobody, s.
const NEAR_S: f64 = 2.0;
/// One that is wrong by more makes certificates valid too early or too late, s.
const FAR_S: f64 = 120.0;
/// A certificate should last longer than this, s.
const SOON_S: i64 = 7 * 86_400;
/// And must last this much longer than the migration, s.
const MARGIN_S: i64 = 60;

pub(super) fn checks(
    around: &Around<'_>,
    candidates: &[Candidate<'_>],
    foreseen: &Foreseen,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for pair in pairs(candidates) {
        checks.push(qemu(pair));
        checks.push(accelerator(pair));
    }
    let total_ms: f64 = foreseen.phases.iter().map(|part| part.ms).sum();
    for (hello, facts) in taking_part(candidates) {
        let Some(facts) = facts else {
            checks.push(Check::warning(
                "agent",
                &hello.host,
                "does not tell about its host",
                "install the same version of the agent there",
            ));
            continue;
        };
        checks.push(clock(around, (hello, Some(facts)), facts));
        checks.push(certificate(around, hello, facts, total_ms));
    }
    checks
}

/// QEMU loads the stream of an older one with the same machine type. The other way is tried by nobody, and
/// it is the way back.
fn qemu(pair: &Candidate<'_>) -> Check {
    let name = "QEMU version";
    let (here, there) = (&pair.source.abilities.qemu, &pair.target.abilities.qemu);
    let (source, target) = (&pair.source.host, &pair.target.host);
    let found = format!("{here} on '{source}' and {there} on '{target}'");
    match (version(here), version(there)) {
        _ if here == there => Check::ok(name, target, format!("{here}, as on '{source}'")),
        (Some(ours), Some(theirs)) if theirs > ours => Check::warning(
            name,
            target,
            found,
            "install the newer one on both: the way back may be refused",
        ),
        _ => Check::obstacle(
            name,
            target,
            found,
            format!("install at least {here} on '{target}'"),
        ),
    }
}

fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

fn accelerator(pair: &Candidate<'_>) -> Check {
    let (here, there) = (&pair.source.abilities.accel, &pair.target.abilities.accel);
    match here == there {
        true => Check::ok("accelerator", &pair.target.host, format!("{here} on both")),
        false => Check::obstacle(
            "accelerator",
            &pair.target.host,
            format!(
                "{here} on '{}' and {there} on '{}'",
                pair.source.host, pair.target.host
            ),
            "a guest does not survive the change, choose another target",
        ),
    }
}

fn clock(around: &Around<'_>, (hello, _): Host<'_>, facts: &Facts) -> Check {
    let name = "clock";
    let Some(clock) = facts.clock else {
        return Check::warning(
            name,
            &hello.host,
            "its clock is not known",
            "ask again in a moment",
        );
    };
    let controllers = clock.moment.0 + around.wall_less_monotonic_ns;
    let off_s = (clock.wall_unix_ns - controllers) as f64 / 1e9;
    let side = if off_s > 0.0 { "ahead of" } else { "behind" };
    let sure = clock.uncertainty_ms;
    if off_s.abs() <= NEAR_S {
        let found = format!("{:.0} ms off, give or take {sure:.0} ms", off_s * 1000.0);
        return Check::ok(name, &hello.host, found);
    }
    let found = format!("{} {side} the controller's", length(off_s.abs()));
    match off_s.abs() > FAR_S {
        true => Check::obstacle(
            name,
            &hello.host,
            found,
            "set it right and keep it so, for example with chrony",
        ),
        false => Check::warning(
            name,
            &hello.host,
            found,
            "keep it right, for example with chrony",
        ),
    }
}

fn certificate(
    around: &Around<'_>,
    hello: &model::news::Hello,
    facts: &Facts,
    total_ms: f64,
) -> Check {
    let name = "certificate";
    let ends = [
        ("its own", facts.certificate_ends_s),
        ("the authority's", facts.authority_ends_s),
    ];
    let first = ends
        .iter()
        .filter_map(|(whose, end)| Some((whose, (*end)?)))
        .min_by_key(|(_, end)| *end);
    let Some((whose, end_s)) = first else {
        return Check::warning(
            name,
            &hello.host,
            "its end is not known",
            "look at the agent's log",
        );
    };
    let left = end_s - around.now_s;
    let again =
        "remove the folder `identity` below the agent's state, and join again with a new token";
    let span = length(left.unsigned_abs() as f64);
    if left <= 0 {
        return Check::obstacle(
            name,
            &hello.host,
            format!("{whose} ended {span} ago"),
            again,
        );
    }
    if left <= MARGIN_S + (total_ms / 1000.0) as i64 {
        let found = format!("{whose} ends in {span}, before the migration would be over");
        return Check::obstacle(name, &hello.host, found, again);
    }
    if left <= SOON_S {
        return Check::warning(name, &hello.host, format!("{whose} ends in {span}"), again);
    }
    Check::ok(name, &hello.host, format!("valid for {span} more"))
}

/// A time span as people say it.
fn length(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 2.0 * 86_400.0 => format!("{:.1} h", s / 3600.0),
        s if s < 730.0 * 86_400.0 => format!("{:.0} days", s / 86_400.0),
        s => format!("{:.0} years", s / (365.25 * 86_400.0)),
    }
}
