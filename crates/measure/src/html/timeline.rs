//! The timeline of a migration: a row for the gang and one for each VM, phases as bars.

use super::svg::{Anchor, Scale, Svg, tick_label};
use crate::report::{Migration, Phase};

const WIDTH: f64 = 1060.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 16.0;
const ROW: f64 = 30.0;
const BAR: f64 = 20.0;
const TOP: f64 = 8.0;
/// Narrower bars could not be seen.
const LEAST: f64 = 2.5;

/// The class of a phase's colour.
pub(super) fn class(name: &str) -> &'static str {
    match name {
        "prepare" => "p-prepare",
        "pre-copy" => "p-precopy",
        "hold" => "p-hold",
        "armed" => "p-armed",
        "switchover" => "p-switchover",
        "verify" => "p-verify",
        "clean-up" => "p-cleanup",
        "abort" => "p-abort",
        _ => "p-other",
    }
}

pub(super) fn draw(migration: &Migration) -> String {
    let mut rows: Vec<Option<&str>> = Vec::new();
    if migration.phases.iter().any(|phase| phase.vm.is_none()) {
        rows.push(None);
    }
    rows.extend(migration.vms.iter().map(|vm| Some(vm.name.as_str())));
    let end = |phase: &Phase| phase.start_ms + phase.ms;
    let last = migration.phases.iter().map(end);
    let last = last.fold(migration.total_ms, f64::max);
    let height = TOP + rows.len() as f64 * ROW + 30.0;
    let x = Scale::new(0.0, last / 1000.0, LEFT, WIDTH - RIGHT);
    let mut svg = Svg::new(WIDTH, height, "Phases of the migration over time");
    let bottom = height - 26.0;
    for tick in x.ticks(9) {
        svg.line("grid", (x.of(tick), TOP), (x.of(tick), bottom));
        let label = format!("{} s", tick_label(tick));
        svg.text("tick", (x.of(tick), bottom + 17.0), Anchor::Middle, &label);
    }
    for (row, name) in rows.iter().enumerate() {
        let y = TOP + row as f64 * ROW + (ROW - BAR) / 2.0;
        let shown = name.unwrap_or("whole gang");
        svg.text("name", (LEFT - 12.0, y + 14.5), Anchor::End, shown);
        for phase in migration.phases.iter().filter(|p| p.vm.as_deref() == *name) {
            bar(&mut svg, &x, y, phase);
        }
    }
    svg.finish()
}

fn bar(svg: &mut Svg, x: &Scale, y: f64, phase: &Phase) {
    let start = x.of(phase.start_ms / 1000.0);
    // A gap of a pixel keeps neighbours apart.
    let width = (x.of((phase.start_ms + phase.ms) / 1000.0) - start - 1.0).max(LEAST);
    let hint = format!(
        "{}: {:.1} ms, from {:.1} ms",
        phase.name, phase.ms, phase.start_ms
    );
    svg.rect(class(&phase.name), (start, y), (width, BAR), &hint);
    if width > 8.0 * phase.name.len() as f64 + 10.0 {
        let place = (start + 7.0, y + 14.5);
        svg.text("on-bar", place, Anchor::Start, &phase.name);
    }
}
