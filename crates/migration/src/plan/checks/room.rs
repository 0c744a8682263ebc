//! Memory, quota and disk space at the targets. What counts is what is left when every VM there, and every
//! one that is on its way there, has taken all that it was promised.

use super::super::{Around, Candidate, Reserved, needs};
use super::by_target;
use model::HostName;
use model::facts::{Facts, VmFound};
use model::plan::{Check, Needs};

pub(super) fn checks(around: &Around<'_>, candidates: &[Candidate<'_>]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (host, coming) in by_target(candidates) {
        let Some(first) = coming.first() else {
            continue;
        };
        let need = coming.iter().fold(Needs::default(), |sum, candidate| {
            let more = needs(candidate.member, &candidate.target.abilities.accel);
            Needs {
                memory_mib: sum.memory_mib + more.memory_mib,
                disk_bytes: sum.disk_bytes + more.disk_bytes,
            }
        });
        let claims = Claims::on(host, around.reserved, first.there);
        checks.push(memory(host, need, first, &claims));
        if let Some(facts) = first.there {
            checks.extend(quota(host, need, facts, first, &claims));
            checks.push(disk(host, need, facts, &claims));
        }
    }
    checks
}

/// What is promised on a host and not taken yet.
struct Claims<'a> {
    /// By VMs that are there, MiB.
    growing_mib: u64,
    /// By VMs on their way, that have no process there yet.
    coming: Vec<&'a Reserved>,
    /// Disk space of all on their way: their images grow until they are there.
    disk_bytes: u64,
}

impl<'a> Claims<'a> {
    fn on(host: &HostName, reserved: &'a [Reserved], facts: Option<&Facts>) -> Self {
        let there: &[VmFound] = facts.map_or(&[], |facts| &facts.vms);
        let growing = there.iter().map(|vm| {
            let promised = vm.memory_mib;
            promised.saturating_sub(vm.resident_mib)
        });
        let on_host = || reserved.iter().filter(|r| r.host == *host);
        let is_there = |r: &Reserved| {
            let mut all = there.iter();
            all.any(|vm| vm.cluster == r.cluster && vm.vm == r.vm)
        };
        Self {
            growing_mib: growing.sum(),
            coming: on_host().filter(|r| !is_there(r)).collect(),
            disk_bytes: on_host().map(|r| r.needs.disk_bytes).sum(),
        }
    }

    fn coming_mib(&self) -> u64 {
        self.coming.iter().map(|r| r.needs.memory_mib).sum()
    }

    /// Who else needs it.
    fn said(&self) -> String {
        match self.coming.first() {
            Some(first) => {
                let others = self.coming.iter().any(|r| r.by != first.by);
                let others = if others { " and others" } else { "" };
                let mib = self.coming_mib();
                format!(", {mib} MiB are reserved for {}{others}", first.by)
            }
            None => String::new(),
        }
    }
}

fn memory(host: &HostName, need: Needs, candidate: &Candidate<'_>, claims: &Claims<'_>) -> Check {
    let free = match candidate.there {
        Some(facts) => facts.memory.free_mib,
        None => candidate.target.abilities.free_mib,
    };
    let left = free.saturating_sub(claims.growing_mib + claims.coming_mib());
    let need = need.memory_mib;
    let said = claims.said();
    match left >= need {
        true => Check::ok("memory", host, format!("{need} of {left} MiB free{said}")),
        false => Check::obstacle(
            "memory",
            host,
            format!("{need} MiB are needed and {left} MiB are free{said}"),
            "free some, wait for migrations that go there, or choose another target",
        ),
    }
}

/// What VMs may take in all, where that is limited.
fn quota(
    host: &HostName,
    need: Needs,
    facts: &Facts,
    candidate: &Candidate<'_>,
    claims: &Claims<'_>,
) -> Option<Check> {
    let limit = facts.memory.limit_mib;
    if limit == 0 {
        return None;
    }
    let overhead = needs(candidate.member, &candidate.target.abilities.accel)
        .memory_mib
        .saturating_sub(spec_mib(candidate));
    let taken: u64 = facts.vms.iter().map(|vm| vm.memory_mib + overhead).sum();
    let left = limit.saturating_sub(taken + claims.coming_mib());
    let need = need.memory_mib;
    let said = claims.said();
    Some(match left >= need {
        true => Check::ok(
            "quota",
            host,
            format!("{need} of {left} MiB left of {limit}{said}"),
        ),
        false => Check::obstacle(
            "quota",
            host,
            format!("{need} MiB are needed and {left} of the {limit} MiB for VMs are left{said}"),
            "raise `vm_memory_mib` of its agent, wait for migrations that go there, or choose another target",
        ),
    })
}

fn spec_mib(candidate: &Candidate<'_>) -> u64 {
    match &candidate.member.kind {
        model::MemberKind::Vm { spec } => u64::from(spec.memory_mib),
        model::MemberKind::Host => 0,
    }
}

fn disk(host: &HostName, need: Needs, facts: &Facts, claims: &Claims<'_>) -> Check {
    let name = "disk space";
    let need = need.disk_bytes;
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let Some(images) = &facts.images else {
        return match need {
            0 => Check::ok(name, host, "none is needed"),
            _ => Check::warning(
                name,
                host,
                "how much is free is not known",
                "look at the folder for images there",
            ),
        };
    };
    let left = images.free.saturating_sub(claims.disk_bytes);
    let folder = images.folder.display();
    match left >= need {
        true if need == 0 => Check::ok(name, host, format!("none is needed, {} free", gib(left))),
        true => Check::ok(
            name,
            host,
            format!("{} of {} free in {folder}", gib(need), gib(left)),
        ),
        false => Check::obstacle(
            name,
            host,
            format!(
                "{} are needed in {folder} and {} are free",
                gib(need),
                gib(left)
            ),
            "free some, or choose another target",
        ),
    }
}
