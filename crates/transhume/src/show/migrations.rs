//! Migrations.

use super::or_dash;
use crate::output::table;
use crate::units::{bytes, maybe_ms, ms};
use model::migration::{FlipOrder, Migration, State, Ways};

pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Preparing => "preparing",
        State::PreCopy => "in pre-copy",
        State::Hold => "on hold",
        State::Armed => "armed",
        State::Switchover => "switching over",
        State::Verify => "verifying",
        State::CleanUp => "cleaning up",
        State::Arrived => "arrived",
        State::Aborting => "aborting",
        State::Aborted => "aborted",
        State::Failed => "failed",
    }
}

/// Where it stands, and whether the user has paused it.
fn standing(one: &Migration) -> String {
    let state = state(one.state);
    match one.paused {
        true => format!("paused, {state}"),
        false => state.to_owned(),
    }
}

fn order(order: FlipOrder) -> &'static str {
    match order {
        FlipOrder::BeforeStop => "before the stop",
        FlipOrder::PreSwitchover => "at pre-switchover",
        FlipOrder::AfterResume => "after the resume",
        FlipOrder::Redirect => "redirect",
    }
}

pub(crate) fn migrations(migrations: &[Migration]) -> String {
    let rows = migrations.iter().map(|one| {
        vec![
            one.id.to_string(),
            one.cluster.to_string(),
            one.from.to_string(),
            one.to.to_string(),
            standing(one),
            ms(one.total_ms),
            one.message.clone(),
        ]
    });
    table(
        &["ID", "CLUSTER", "FROM", "TO", "STATE", "TIME", "MESSAGE"],
        rows,
    )
}

pub(crate) fn migration(one: &Migration) -> String {
    let mut text = format!(
        "{}: {} {} → {}, {}, {}\n{}\nflips {}, accepts a gap of {}",
        one.id,
        one.cluster,
        one.from,
        one.to,
        standing(one),
        ms(one.total_ms),
        one.message,
        order(one.options.order),
        ms(one.options.max_gap_ms),
    );
    if one.given_mbit > 0.0 {
        text.push_str(&format!(", {:.0} Mbit/s", one.given_mbit));
    } else if one.options.bandwidth_mbit > 0.0 {
        text.push_str(&format!(", at most {} Mbit/s", one.options.bandwidth_mbit));
    }
    if one.options.priority != 0 {
        text.push_str(&format!(", priority {}", one.options.priority));
    }
    if let Some(window) = one.options.window {
        text.push_str(&format!(", inside {window}"));
    }
    if one.options.allow_slowdown {
        text.push_str(", may slow guests down");
    }
    text.push_str("\n\n");
    if !one.state.is_final() {
        text.push_str(&progress(one));
        text.push('\n');
    }
    text.push_str(&figures(one));
    let beside = super::plans::beside(one);
    if !beside.is_empty() {
        text.push('\n');
        text.push_str(&beside);
    }
    text.push_str(&ways(one));
    if !one.phases.is_empty() {
        let rows = one.phases.iter().map(|phase| {
            vec![
                phase.name.clone(),
                or_dash(phase.vm.as_ref()),
                ms(phase.start_ms),
                ms(phase.ms),
            ]
        });
        text.push('\n');
        text.push_str(&table(&["PHASE", "VM", "AFTER", "TOOK"], rows));
    }
    text
}

fn progress(one: &Migration) -> String {
    let rows = one.vms.iter().map(|vm| {
        let now = &vm.progress;
        vec![
            vm.vm.to_string(),
            vm.from.to_string(),
            vm.to.to_string(),
            bytes(now.wire_bytes as f64),
            format!("{}/s", bytes(now.rate)),
            now.passes.to_string(),
            now.dirty_pages_rate.to_string(),
            if now.ready_in_ms > 0.0 {
                ms(now.ready_in_ms)
            } else {
                "ready".to_owned()
            },
        ]
    });
    table(
        &[
            "VM", "FROM", "TO", "SENT", "RATE", "PASSES", "DIRTY/S", "READY IN",
        ],
        rows,
    )
}

/// What was measured on the inside, per VM.
fn figures(one: &Migration) -> String {
    let rows = one.vms.iter().map(|vm| {
        let figures = &vm.figures;
        vec![
            vm.vm.to_string(),
            maybe_ms(figures.predicted_gap_ms),
            maybe_ms(figures.stop_error_ms),
            maybe_ms(figures.vcpu_downtime_ms),
            maybe_ms(figures.rule_switch_ms),
            bytes(figures.sent_bytes as f64),
            bytes(figures.wire_bytes as f64),
            bytes(figures.last_burst_bytes as f64),
        ]
    });
    let header = [
        "VM",
        "PREDICTED\nGAP",
        "STOP\nERROR",
        "VCPU\nDOWNTIME",
        "RULE\nSWITCH",
        "SENT",
        "ON\nWIRE",
        "LAST\nBURST",
    ];
    table(&header, rows)
}

/// What the memory of all VMs travelled as; nothing before any of it is known.
fn ways(one: &Migration) -> String {
    let sum =
        |part: fn(&Ways) -> u64| -> u64 { one.vms.iter().map(|vm| part(&vm.figures.ways)).sum() };
    let parts = [
        (sum(|ways| ways.referenced), "as references"),
        (sum(|ways| ways.differences), "as differences"),
        (sum(|ways| ways.packed), "compressed"),
        (sum(|ways| ways.plain), "as it is"),
    ];
    let told: Vec<_> = parts
        .iter()
        .filter(|(sent, _)| *sent > 0)
        .map(|(sent, how)| format!("{} {how}", bytes(*sent as f64)))
        .collect();
    match told.is_empty() {
        true => String::new(),
        false => format!("Memory went: {}.\n", told.join(", ")),
    }
}

/// How a migration ended: the sentence, and the figures.
pub(crate) fn summary(one: &Migration) -> String {
    let how = match one.state {
        State::Arrived => format!("arrived at {}", one.to),
        _ => state(one.state).to_owned(),
    };
    let moved: u64 = one.vms.iter().map(|vm| vm.figures.wire_bytes).sum();
    format!(
        "\n{} {how} after {}, {} on the wire. {}\n\n{}{}\n{}",
        one.cluster,
        ms(one.total_ms),
        bytes(moved as f64),
        one.message,
        figures(one),
        ways(one),
        super::plans::beside(one)
    )
}
