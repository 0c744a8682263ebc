//! Plans: the checks, what would be moved, and what is foreseen.

use super::joined;
use crate::output::table;
use crate::units::{bytes, ms};
use model::migration::{Migration, Switch};
use model::plan::{Check, CheckResult, Convergence, Plan};

pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = format!("{}: {} → {}, live\n\n", plan.cluster, plan.from, plan.to);
    text.push_str(&checks(&plan.checks));
    if !plan.vms.is_empty() {
        text.push('\n');
        text.push_str(&vms(plan));
    }
    text.push_str(&format!(
        "\nIt would send {} and take {}; each VM would be silent for about {}.\n",
        bytes(plan.bytes as f64),
        ms(plan.total_ms),
        ms(plan.gap_ms)
    ));
    if !plan.switches.is_empty() {
        text.push('\n');
        text.push_str(&switches(plan));
    } else if plan.vms.len() > 1 {
        text.push_str(&format!(
            "From the first VM's stop to the last one's: {}.\n",
            ms(plan.spread_ms)
        ));
    }
    if plan.rate > 0.0 {
        text.push_str(&format!(
            "It reckons with {}/s: {}.\n",
            bytes(plan.rate),
            plan.rate_from
        ));
    }
    text
}

/// What it costs to stop together, and one by one.
fn switches(plan: &Plan) -> String {
    let rows = plan.switches.iter().map(|it| {
        let way = match it.switch {
            Switch::Together => "together",
            Switch::OneByOne => "one-by-one",
        };
        let groups = it.groups.iter().map(|group| joined(group, "+"));
        vec![
            if it.chosen { "→" } else { "" }.to_owned(),
            way.to_owned(),
            ms(it.gap_ms),
            ms(it.window_ms),
            joined(groups, " then "),
        ]
    });
    let header = [
        "",
        "--switch",
        "SILENT\nEACH VM",
        "FIRST STOP TO\nLAST RESUME",
        "STOPS",
    ];
    table(&header, rows)
}

/// Checks that came out well alike are one row.
fn checks(checks: &[Check]) -> String {
    let mut rows: Vec<(&Check, usize)> = Vec::new();
    for check in checks {
        let alike = rows.iter_mut().find(|(first, _)| {
            check.result == CheckResult::Ok
                && first.result == CheckResult::Ok
                && first.name == check.name
                && first.found == check.found
        });
        match alike {
            Some((_, count)) => *count += 1,
            None => rows.push((check, 1)),
        }
    }
    let rows = rows.into_iter().map(|(check, count)| {
        let mark = match check.result {
            CheckResult::Ok => "ok",
            CheckResult::Warning => "!",
            CheckResult::Obstacle => "NO",
        };
        let subject = match count {
            1 => check.subject.clone(),
            more => format!("{}, {} more", check.subject, more - 1),
        };
        let found = match check.remedy.is_empty() {
            true => check.found.clone(),
            false => format!("{}; {}", check.found, check.remedy),
        };
        vec![mark.to_owned(), check.name.clone(), subject, found]
    });
    table(&["", "CHECK", "OF", "FOUND"], rows)
}

fn vms(plan: &Plan) -> String {
    let rows = plan.vms.iter().map(|vm| {
        let dirties = vm
            .dirty_rate
            .map_or_else(|| "-".to_owned(), |rate| format!("{}/s", bytes(rate)));
        let ready = match vm.convergence {
            Convergence::Yes => ms(vm.ready_ms),
            Convergence::Slowed => format!("{}, slowed", ms(vm.ready_ms)),
            Convergence::No => "never".to_owned(),
        };
        vec![
            vm.vm.to_string(),
            vm.to.to_string(),
            bytes(vm.used_bytes as f64),
            dirties,
            bytes(vm.bytes as f64),
            match vm.disk_bytes {
                0 => "-".to_owned(),
                disk => bytes(disk as f64),
            },
            ready,
            ms(vm.gap_ms),
        ]
    });
    table(
        &[
            "VM", "TO", "USES", "DIRTIES", "SENDS", "DISKS", "READY IN", "GAP",
        ],
        rows,
    )
}

/// What the plan said beside what came of it; nothing where there was no plan.
pub(crate) fn beside(one: &Migration) -> String {
    let Some(predicted) = &one.predicted else {
        return String::new();
    };
    let moved: u64 = one
        .vms
        .iter()
        .map(|vm| vm.figures.wire_bytes + vm.figures.disk_wire_bytes)
        .sum();
    let stopped = one.vms.iter().filter_map(|vm| vm.figures.vcpu_downtime_ms);
    let longest = stopped.fold(None, |most: Option<f64>, ms| {
        Some(most.map_or(ms, |most| most.max(ms)))
    });
    let dash = || "-".to_owned();
    let rows = [
        vec![
            "bytes on the wire".to_owned(),
            bytes(predicted.bytes as f64),
            if moved > 0 {
                bytes(moved as f64)
            } else {
                dash()
            },
        ],
        vec![
            "total time".to_owned(),
            ms(predicted.total_ms),
            ms(one.total_ms),
        ],
        vec![
            "downtime (network, vCPU)".to_owned(),
            ms(predicted.gap_ms),
            longest.map_or_else(dash, ms),
        ],
    ];
    table(&["", "PREDICTED", "ACTUAL"], rows)
}
