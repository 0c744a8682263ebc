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

/// The whole migration, in seconds.
pub(super) fn draw(migration: &Migration) -> String {
    let ends = migration
        .phases
        .iter()
        .map(|phase| phase.start_ms + phase.ms);
    let last = ends.fold(migration.total_ms, f64::max);
    let rows = rows(migration, |_| true);
    span(
        migration,
        &rows,
        (0.0, last),
        &Unit {
            ms: 1000.0,
            name: "s",
            zero: 0.0,
        },
    )
}

/// The time around all switchovers, in milliseconds after the first stop; none when there was none.
pub(super) fn enlarged(migration: &Migration) -> Option<String> {
    let of_switch = |phase: &&Phase| phase.name == "switchover";
    let switches = || migration.phases.iter().filter(of_switch);
    let first = switches()
        .map(|phase| phase.start_ms)
        .min_by(f64::total_cmp)?;
    let ends = switches().map(|phase| phase.start_ms + phase.ms);
    let last = ends.max_by(f64::total_cmp)?;
    let room = ((last - first) * 0.25).max(20.0);
    let rows = rows(migration, |name| name.is_some());
    let unit = Unit {
        ms: 1.0,
        name: "ms",
        zero: first,
    };
    Some(span(migration, &rows, (first - room, last + room), &unit))
}

/// What the axis counts in, and from when.
struct Unit {
    /// Its length, ms.
    ms: f64,
    name: &'static str,
    /// The axis' zero, ms after the migration's begin.
    zero: f64,
}

impl Unit {
    fn of(&self, at_ms: f64) -> f64 {
        (at_ms - self.zero) / self.ms
    }
}

fn rows(migration: &Migration, keep: fn(&Option<&str>) -> bool) -> Vec<Option<String>> {
    let gang = migration.phases.iter().any(|phase| phase.vm.is_none());
    let gang = gang.then_some(None);
    let vms = migration.vms.iter().map(|vm| Some(vm.name.as_str()));
    let rows = gang.into_iter().chain(vms).filter(keep);
    rows.map(|name| name.map(str::to_owned)).collect()
}

/// The part of a migration between two moments.
fn span(
    migration: &Migration,
    rows: &[Option<String>],
    (from, to): (f64, f64),
    unit: &Unit,
) -> String {
    let height = TOP + rows.len() as f64 * ROW + 30.0;
    let x = Scale::new(unit.of(from), unit.of(to), LEFT, WIDTH - RIGHT);
    let mut svg = Svg::new(WIDTH, height, "Phases of the migration over time");
    let bottom = height - 26.0;
    for tick in x.ticks(9) {
        svg.line("grid", (x.of(tick), TOP), (x.of(tick), bottom));
        let label = format!("{} {}", tick_label(tick), unit.name);
        svg.text("tick", (x.of(tick), bottom + 17.0), Anchor::Middle, &label);
    }
    for (row, name) in rows.iter().enumerate() {
        let y = TOP + row as f64 * ROW + (ROW - BAR) / 2.0;
        let shown = name.as_deref().unwrap_or("whole gang");
        svg.text("name", (LEFT - 12.0, y + 14.5), Anchor::End, shown);
        let of_row = migration.phases.iter().filter(|phase| phase.vm == *name);
        for phase in of_row.filter(|p| p.start_ms < to && p.start_ms + p.ms > from) {
            bar(&mut svg, &x, y, phase, unit);
        }
    }
    svg.finish()
}

fn bar(svg: &mut Svg, x: &Scale, y: f64, phase: &Phase, unit: &Unit) {
    let start = x.clamped(unit.of(phase.start_ms));
    // A gap of a pixel keeps neighbours apart.
    let width = (x.clamped(unit.of(phase.start_ms + phase.ms)) - start - 1.0).max(LEAST);
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
