//! Paths, tunnels, MTU, bandwidth, and what is where a VM's port would be.

use super::super::{Around, BULK_SHARE, Candidate, copy_rate};
use super::{by_target, known_link, pairs};
use model::facts::{PathFound, TakenBy};
use model::migration::Options;
use model::plan::Check;

/// A path that carries less than this share of what it is said to is worth a word.
const WORTH_A_WORD: f64 = 0.8;

pub(super) fn checks(
    around: &Around<'_>,
    candidates: &[Candidate<'_>],
    options: &Options,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for pair in pairs(candidates) {
        checks.push(path(pair));
        checks.push(bandwidth(pair, candidates, options));
    }
    for on_target in by_target(candidates).into_values() {
        let Some(first) = on_target.first() else {
            continue;
        };
        checks.push(mtu(around, first));
        checks.extend(tunnels(around, first));
        checks.extend(on_target.iter().filter_map(|candidate| port(candidate)));
    }
    checks
}

fn path(pair: &Candidate<'_>) -> Check {
    let (source, target) = (&pair.source.host, &pair.target.host);
    match pair.one_way_ms {
        Some(ms) => Check::ok("path", target, format!("{:.1} ms round trip", 2.0 * ms)),
        None => Check::obstacle(
            "path",
            target,
            format!("'{source}' does not reach it on the management network"),
            "look at routes and firewalls",
        ),
    }
}

fn bandwidth(pair: &Candidate<'_>, all: &[Candidate<'_>], options: &Options) -> Check {
    let name = "bandwidth";
    let target = &pair.target.host;
    let mbit = |rate: f64| format!("{:.0} Mbit/s", rate * 8.0 / 1e6);
    let wanted = copy_rate(all, options) * BULK_SHARE;
    let known = known_link(all, options);
    let said = known.map(|rate| format!("{} as configured", mbit(rate)));
    match pair.here.and_then(|facts| facts.path.as_ref()) {
        Some(PathFound::Carries { rate, at_least, .. }) => {
            let found = match at_least {
                true => format!("carries {} or more, measured now", mbit(*rate)),
                false => format!("carries {}, measured now", mbit(*rate)),
            };
            match *at_least || *rate >= WORTH_A_WORD * wanted {
                true => Check::ok(name, target, found),
                false => Check::warning(
                    name,
                    target,
                    format!("{found}; {} would be used", mbit(wanted)),
                    format!(
                        "free the link, or give --bandwidth-mbit {:.0}",
                        rate * 8.0 / 1e6
                    ),
                ),
            }
        }
        Some(PathFound::Left(why)) => match said {
            Some(said) => Check::ok(name, target, format!("{said}; not measured: {why}")),
            None => unknown(target),
        },
        None => match said {
            Some(said) => Check::ok(name, target, said),
            None => unknown(target),
        },
    }
}

fn unknown(target: &model::HostName) -> Check {
    Check::warning(
        "bandwidth",
        target,
        "not known, 1 Gbit/s is taken",
        "set `uplink_mbit` in the agents' configuration, or give --bandwidth-mbit",
    )
}

fn mtu(around: &Around<'_>, candidate: &Candidate<'_>) -> Check {
    let name = "MTU";
    let target = candidate.target;
    let need = around.mtu + around.encap.overhead(target.underlay.is_ipv6());
    let has = target.abilities.uplink_mtu;
    match has == 0 || has >= need {
        true => Check::ok(
            name,
            &target.host,
            format!("{} bytes fit into {has}", around.mtu),
        ),
        false => Check::obstacle(
            name,
            &target.host,
            format!("its uplinks carry {has} bytes and {need} are needed"),
            "raise their MTU",
        ),
    }
}

/// From the target to every host that has a member of the cluster.
fn tunnels(around: &Around<'_>, candidate: &Candidate<'_>) -> Vec<Check> {
    let name = "tunnel";
    let target = &candidate.target.host;
    let Some(facts) = candidate.there else {
        return Vec::new();
    };
    let need = around.mtu + around.encap.overhead(candidate.target.underlay.is_ipv6());
    let each = facts.tunnels.iter().map(|tunnel| {
        let subject = format!("{target} to {}", tunnel.host);
        match (tunnel.one_way_ms, tunnel.packet_passes) {
            (None, _) => Check::obstacle(
                name,
                subject,
                format!("no answer through the data network, from {}", tunnel.from),
                "look at the uplinks of both hosts; UDP must pass there",
            ),
            (Some(_), Some(false)) => Check::obstacle(
                name,
                subject,
                format!("packets of {need} bytes do not pass"),
                "raise the MTU on the way, or lower that of the cluster",
            ),
            (Some(ms), Some(true)) => Check::ok(
                name,
                subject,
                format!("{:.1} ms round trip, {need} bytes pass", 2.0 * ms),
            ),
            (Some(ms), None) => Check::ok(name, subject, format!("{:.1} ms round trip", 2.0 * ms)),
        }
    });
    each.collect()
}

fn port(candidate: &Candidate<'_>) -> Option<Check> {
    let name = "port";
    let (vm, target) = (&candidate.member.name, &candidate.target.host);
    let taken = candidate.there?.ports.iter().find(|port| port.vm == *vm);
    Some(match taken.map(|port| &port.by) {
        None => Check::ok(name, vm, format!("free on '{target}'")),
        Some(TakenBy::Interface(ifname)) => Check::obstacle(
            name,
            vm,
            format!("'{target}' has an interface {ifname} that is not ours"),
            format!("remove it there with `ip link del {ifname}`"),
        ),
        Some(TakenBy::Address(other, mac)) => Check::obstacle(
            name,
            vm,
            format!("'{other}' on '{target}' has its Ethernet address {mac}"),
            "give one of them another",
        ),
        Some(TakenBy::Process) => Check::obstacle(
            name,
            vm,
            format!("'{target}' still has a process of it"),
            "end it there; look at `transhume vm list`",
        ),
    })
}
