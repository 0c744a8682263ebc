//! What each VM is made of. QEMU's stream tells neither machine type version nor CPU: a guest that is
//! loaded into another one is dead, and QEMU reports success.

use super::super::Candidate;
use super::super::prediction::seen;
use model::MemberKind;
use model::facts::{CpuModel, DiskFound, Facts, Machine};
use model::plan::Check;
use model::vm::{Disk, VmSpec};

/// Features that are named, of those that a target lacks.
const NAMED: usize = 4;

pub(super) fn checks(candidate: &Candidate<'_>) -> Vec<Check> {
    let MemberKind::Vm { spec } = &candidate.member.kind else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    match (candidate.here, candidate.there) {
        (Some(here), Some(there)) => {
            checks.push(machine(candidate, spec, here, there));
            checks.push(cpu(candidate, spec, here, there));
            checks.push(files(candidate, spec, here, there));
            checks.extend(storage(candidate, spec, here, there));
        }
        _ => checks.push(Check::warning(
            "machine and CPU",
            &candidate.member.name,
            "an agent does not tell what its QEMU makes of them",
            "run the same version of the agent on both hosts",
        )),
    }
    checks.push(hold(candidate));
    checks
}

fn machine(candidate: &Candidate<'_>, spec: &VmSpec, here: &Facts, there: &Facts) -> Check {
    let name = "machine type";
    let vm = &candidate.member.name;
    let of = |facts: &Facts| -> Option<Machine> {
        let found = facts.machines.iter();
        found.clone().find(|m| m.asked == spec.machine).cloned()
    };
    let (source, target) = (&candidate.source.host, &candidate.target.host);
    let (Some(ours), Some(theirs)) = (of(here), of(there)) else {
        return silent(name, candidate, here, there);
    };
    // What runs counts, not what would be started now.
    let runs = seen(candidate).and_then(|seen| seen.machine.clone());
    let is = runs.or(ours.is.clone()).unwrap_or(spec.machine.clone());
    match &theirs.is {
        Some(there) if *there == is => Check::ok(name, vm, format!("{is} on both hosts")),
        Some(there) if theirs.known.contains(&is) => Check::obstacle(
            name,
            vm,
            format!(
                "'{}' is {is} on '{source}' and {there} on '{target}'",
                spec.machine
            ),
            format!("describe it with machine {is}, which both hosts know"),
        ),
        there => Check::obstacle(
            name,
            vm,
            match there {
                Some(there) => format!(
                    "it is {is} on '{source}', which the QEMU of '{target}' does not have: '{}' is {there} there",
                    spec.machine
                ),
                None => format!("it is {is}, which the QEMU of '{target}' does not have"),
            },
            format!("install the QEMU of '{source}' there, or choose another target"),
        ),
    }
}

fn cpu(candidate: &Candidate<'_>, spec: &VmSpec, here: &Facts, there: &Facts) -> Check {
    let name = "CPU";
    let vm = &candidate.member.name;
    let of = |facts: &Facts| -> Option<CpuModel> {
        let found = facts.cpus.iter();
        found.clone().find(|m| m.asked == spec.cpu).cloned()
    };
    let (Some(ours), Some(theirs)) = (of(here), of(there)) else {
        return silent(name, candidate, here, there);
    };
    let target = &candidate.target.host;
    let Some(ours) = ours.features else {
        return Check::warning(
            name,
            vm,
            format!(
                "'{}' does not tell what its '{}' is",
                candidate.source.host, spec.cpu
            ),
            "compare the CPUs by hand",
        );
    };
    let another = "choose another target, or describe it with a CPU model that both hosts have";
    let Some(theirs) = theirs.features else {
        return Check::obstacle(
            name,
            vm,
            format!("'{target}' has no CPU model '{}'", spec.cpu),
            another,
        );
    };
    let lacks: Vec<_> = ours.difference(&theirs).map(String::as_str).collect();
    let more: Vec<_> = theirs.difference(&ours).map(String::as_str).collect();
    if !lacks.is_empty() {
        return Check::obstacle(
            name,
            vm,
            format!("'{}' on '{target}' lacks {}", spec.cpu, named(&lacks)),
            another,
        );
    }
    if !more.is_empty() {
        return Check::warning(
            name,
            vm,
            format!("'{}' on '{target}' has {} besides", spec.cpu, named(&more)),
            "a VM that is started there anew may not come back",
        );
    }
    Check::ok(
        name,
        vm,
        format!("{}, {} features on both hosts", spec.cpu, ours.len()),
    )
}

fn files(candidate: &Candidate<'_>, spec: &VmSpec, here: &Facts, there: &Facts) -> Check {
    let name = "files";
    let vm = &candidate.member.name;
    let of = |facts: &Facts, path: &std::path::Path| {
        let file = facts.files.iter().find(|file| file.path == path);
        file.and_then(|file| file.digest.clone())
    };
    for path in spec.boot_files() {
        let shown = path.display();
        let target = &candidate.target.host;
        match (of(here, path), of(there, path)) {
            (_, None) => {
                return Check::obstacle(
                    name,
                    vm,
                    format!("{shown} is not on '{target}'"),
                    "put it there",
                );
            }
            (Some(ours), Some(theirs)) if ours != theirs => {
                return Check::obstacle(
                    name,
                    vm,
                    format!("{shown} is another file on '{target}'"),
                    format!("copy that of '{}' there", candidate.source.host),
                );
            }
            _ => {}
        }
    }
    Check::ok(name, vm, "kernel and initrd are the same on both hosts")
}

/// How disks travel. An image that is said to be shared must be the same file on both hosts, and any other must
/// not: two QEMUs that write to one image destroy it.
fn storage(candidate: &Candidate<'_>, spec: &VmSpec, here: &Facts, there: &Facts) -> Option<Check> {
    let name = "storage";
    let vm = &candidate.member.name;
    let (source, target) = (&candidate.source.host, &candidate.target.host);
    let find = |facts: &Facts, disk: &Disk| -> Option<DiskFound> {
        let mut found = facts.disks.iter();
        let it = found.find(|it| it.vm == *vm && it.disk == disk.name);
        it.cloned()
    };
    for disk in &spec.disks {
        let (ours, theirs) = (find(here, disk), find(there, disk));
        let same = ours
            .zip(theirs.clone())
            .map(|(ours, theirs)| ours.inode == theirs.inode);
        let (finding, remedy) = match (&disk.shared, theirs, same) {
            (Some(path), None, _) => (
                format!("its shared image {} is not seen from '{target}'", path.display()),
                "mount that storage there".to_owned(),
            ),
            (Some(path), Some(_), Some(false)) => (
                format!(
                    "its image {} is said to be shared, and is another file on '{target}' than on '{source}'",
                    path.display()
                ),
                "mount the same storage on both, or describe the disk without `shared`, and it is copied".to_owned(),
            ),
            (None, Some(file), Some(true)) => (
                format!(
                    "'{source}' and '{target}' keep disk '{}' in the same file, {}",
                    disk.name,
                    file.path.display()
                ),
                format!("describe the disk with `shared = \"{}\"`, and it is not copied", file.path.display()),
            ),
            (None, Some(file), _) => (
                format!(
                    "an image of its disk '{}' is already on '{target}', at {}",
                    disk.name,
                    file.path.display()
                ),
                "move it away if nothing needs it".to_owned(),
            ),
            (Some(_), Some(_), _) | (None, None, _) => continue,
        };
        return Some(Check::obstacle(name, vm, finding, remedy));
    }
    let copied = spec.disks.iter().filter(|disk| disk.shared.is_none());
    match (copied.count(), spec.disks.len()) {
        (_, 0) => None,
        (copied, all) => Some(Check::ok(
            name,
            vm,
            format!("{copied} of {all} disks are copied, the others are shared"),
        )),
    }
}

fn hold(candidate: &Candidate<'_>) -> Check {
    let name = "switchover";
    let vm = &candidate.member.name;
    let ends = [candidate.source, candidate.target];
    match ends.iter().find(|end| !end.abilities.prediction) {
        None => Check::ok(name, vm, "QEMU stops when told"),
        // Not an obstacle: the redirect carries it.
        Some(end) => Check::warning(
            name,
            vm,
            format!(
                "QEMU cannot be held on '{}' ({}); the source's redirect carries the switchover",
                end.host, end.abilities.prediction_note
            ),
            "install a QEMU of version 8.1 or later there",
        ),
    }
}

/// QEMU could not be asked.
fn silent(name: &str, candidate: &Candidate<'_>, here: &Facts, there: &Facts) -> Check {
    let (host, note) = match here.qemu_note.is_empty() {
        false => (&candidate.source.host, &here.qemu_note),
        true => (&candidate.target.host, &there.qemu_note),
    };
    Check::obstacle(
        name,
        &candidate.member.name,
        format!("on '{host}' QEMU cannot be asked: {note}"),
        "mend QEMU there",
    )
}

fn named(features: &[&str]) -> String {
    let some = features.iter().take(NAMED).copied();
    let list = some.collect::<Vec<_>>().join(", ");
    match features.len().saturating_sub(NAMED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}
