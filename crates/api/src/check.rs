//! Whether a description makes sense in itself, before anybody looks at what is there.
//!
//! Pure: what depends on the state (unknown hosts, addresses of other members, capacity) is the
//! service's to find.

use crate::problem::Problem;
use model::migration::Options;
use model::security::{MOST_RULES, Remote};
use model::{Cluster, Member, MemberKind};
use std::collections::HashMap;
use std::net::IpAddr;

/// Largest virtual network identifier, RFC 7348 section 5.
const LARGEST_VNI: u32 = (1 << 24) - 1;

/// Addresses of one member; each is a rule on every host of the cluster.
const MOST_ADDRESSES: usize = 64;

/// Checks a cluster's description.
pub fn cluster(spec: &Cluster) -> Result<(), Problem> {
    if spec.vni > LARGEST_VNI {
        return Err(Problem::invalid(
            format!(
                "Cluster '{}' asks for network identifier {}.",
                spec.name, spec.vni
            ),
            format!("Use 1 to {LARGEST_VNI}, or 0 to have one chosen."),
        ));
    }
    let mut names = HashMap::new();
    let mut macs = HashMap::new();
    let mut addresses = HashMap::new();
    for one in &spec.members {
        member(one)?;
        security(one, &spec.members)?;
        if names.insert(&one.name, ()).is_some() {
            return Err(Problem::invalid(
                format!(
                    "Cluster '{}' has two members named '{}'.",
                    spec.name, one.name
                ),
                "Give each member its own name.",
            ));
        }
        if let Some(other) = macs.insert(one.mac, &one.name) {
            return Err(Problem::invalid(
                format!(
                    "Members '{other}' and '{}' have the same Ethernet address {}.",
                    one.name, one.mac
                ),
                "Give each member its own.",
            ));
        }
        for cidr in &one.addresses {
            if let Some(other) = addresses.insert(cidr.address, &one.name) {
                return Err(Problem::invalid(
                    format!(
                        "Members '{other}' and '{}' have the same address {}.",
                        one.name, cidr.address
                    ),
                    "Give each member its own.",
                ));
            }
        }
    }
    Ok(())
}

/// Checks one member's description.
pub fn member(one: &Member) -> Result<(), Problem> {
    let name = &one.name;
    if one.mac.is_group() || one.mac.0 == [0; 6] {
        return Err(Problem::invalid(
            format!(
                "Member '{name}' has {}, which no single endpoint can have.",
                one.mac
            ),
            "Use an individual Ethernet address, for example one that begins with 52:54:00.",
        ));
    }
    if let MemberKind::Vm { spec } = &one.kind
        && let Err(error) = spec.check_disks()
    {
        return Err(Problem::invalid(
            format!("Member '{name}': {error}."),
            "Correct the disk's description.",
        ));
    }
    if let MemberKind::Vm { spec } = &one.kind
        && let Err(what) = spec.check_boot()
    {
        return Err(Problem::invalid(
            format!("Member '{name}': {what}."),
            "Name both, as paths on its host.",
        ));
    }
    if one.addresses.is_empty() || one.addresses.len() > MOST_ADDRESSES {
        return Err(Problem::invalid(
            format!("Member '{name}' has {} addresses.", one.addresses.len()),
            format!("Give it 1 to {MOST_ADDRESSES}, for example 10.77.0.11/24."),
        ));
    }
    for (index, cidr) in one.addresses.iter().enumerate() {
        if !can_be_an_endpoint(cidr.address) {
            return Err(Problem::invalid(
                format!(
                    "Member '{name}' has {}, which no endpoint can have.",
                    cidr.address
                ),
                "Use a unicast address that is neither loopback nor unspecified.",
            ));
        }
        if one.addresses[..index]
            .iter()
            .any(|other| other.address == cidr.address)
        {
            return Err(Problem::invalid(
                format!("Member '{name}' has {} twice.", cidr.address),
                "Write each address once.",
            ));
        }
    }
    rules(one)?;
    if one.kind == MemberKind::Host && !one.after.is_empty() {
        return Err(Problem::invalid(
            format!("Member '{name}' is a host, which does not move, and comes after others."),
            "Leave its 'after' out.",
        ));
    }
    match &one.kind {
        MemberKind::Vm { spec } if spec.vcpus == 0 || spec.memory_mib == 0 => {
            Err(Problem::invalid(
                format!(
                    "VM '{name}' has {} vCPUs and {} MiB of memory.",
                    spec.vcpus, spec.memory_mib
                ),
                "Give it at least 1 of each.",
            ))
        }
        _ => Ok(()),
    }
}

/// Checks a member's security rules, and that the members that they name are there.
pub fn security(one: &Member, members: &[Member]) -> Result<(), Problem> {
    rules(one)?;
    for rule in &one.security {
        if let Remote::Member(name) = &rule.remote
            && !members.iter().any(|member| member.name == *name)
        {
            return Err(Problem::invalid(
                format!(
                    "Member '{}' has the rule '{rule}', and the cluster has no member '{name}'.",
                    one.name
                ),
                "Correct the name, or give a network such as 10.77.0.0/24 instead.",
            ));
        }
    }
    Ok(())
}

fn rules(one: &Member) -> Result<(), Problem> {
    let name = &one.name;
    if one.security.len() > MOST_RULES {
        return Err(Problem::invalid(
            format!("Member '{name}' has {} security rules.", one.security.len()),
            format!("Use {MOST_RULES} at most; networks and ranges of ports say much in one."),
        ));
    }
    for rule in &one.security {
        if let Err(error) = rule.check() {
            return Err(Problem::invalid(
                format!("Member '{name}' has a rule that says nothing: {error}."),
                "Leave the ports out, or say tcp or udp.",
            ));
        }
    }
    Ok(())
}

fn can_be_an_endpoint(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

/// Checks what was chosen for a migration.
pub fn options(chosen: &Options) -> Result<(), Problem> {
    let positive = |what: &str, value: f64| {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(Problem::invalid(
            format!("{what} is {value}."),
            "Use a number above 0.",
        ))
    };
    positive("The longest gap, max_gap_ms,", chosen.max_gap_ms)?;
    positive(
        "The longest time to converge, converge_s,",
        chosen.converge_s,
    )?;
    if let Some(stagger) = chosen.stagger_ms
        && !(stagger.is_finite() && (0.0..=10_000.0).contains(&stagger))
    {
        return Err(Problem::invalid(
            format!("The time between two stops, stagger_ms, is {stagger}."),
            "Use 0 to 10000 ms, or leave it out.",
        ));
    }
    if !(chosen.bandwidth_mbit.is_finite() && chosen.bandwidth_mbit >= 0.0) {
        return Err(Problem::invalid(
            format!(
                "The bandwidth, bandwidth_mbit, is {}.",
                chosen.bandwidth_mbit
            ),
            "Use Mbit/s above 0, or 0 to take what the uplinks carry.",
        ));
    }
    Ok(())
}
