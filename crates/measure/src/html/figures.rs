//! The tables of figures.

use super::svg::escape;
use crate::report::compare;
use crate::report::verdict::{Spread, number};
use crate::report::{Migration, Report, Vm};

/// Bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    match count as f64 {
        b if b >= 0.999e15 => format!("{:.0} PB", b / 1e15),
        b if b >= 0.99999e12 => format!("{:.2} TB", b / 1e12),
        b if b >= 0.99999e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 0.9999e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 999.5 => format!("{:.0} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

/// A column: its head and what it shows of a VM, as HTML.
type Column = (&'static str, fn(&Vm) -> String);

const COLUMNS: [Column; 14] = [
    ("VM", |vm| escape(&vm.name)),
    ("network<br>downtime, ms", |vm| {
        strong(&some(vm.network_downtime_ms))
    }),
    ("predicted<br>ms", |vm| some(vm.predicted_gap_ms)),
    ("vCPU<br>downtime, ms", |vm| some(vm.vcpu_downtime_ms)),
    ("rule<br>switch, ms", |vm| some(vm.rule_switch_ms)),
    ("stop against<br>predicted, ms", |vm| {
        vm.stop_error_ms.map_or_else(none, signed)
    }),
    ("UDP<br>sent", |vm| number(vm.udp_sent as f64)),
    ("lost", lost),
    ("dup.<br>/ reord.", |vm| {
        format!("{} / {}", vm.udp_duplicated, vm.udp_reordered)
    }),
    ("TCP<br>lost", |vm| {
        let class = if vm.tcp_lost == 0 { "good" } else { "bad" };
        format!(
            "<span class=\"{class}\">{}</span> <small>of {}</small>",
            vm.tcp_lost, vm.tcp_sessions
        )
    }),
    ("TCP<br>stall, ms", |vm| some(vm.tcp_stall_ms)),
    ("moved<br><small>last burst</small>", |vm| {
        format!(
            "{} <small>{}</small>",
            bytes(vm.bytes_moved),
            bytes(vm.last_burst_bytes)
        )
    }),
    (
        "sent <small>of it as references / differences /<br>packed / plain</small>",
        |vm| {
            format!(
                "{} <small>{} / {} / {} / {}</small>",
                bytes(vm.bytes_sent),
                bytes(vm.bytes_referenced),
                bytes(vm.bytes_differences),
                bytes(vm.bytes_packed),
                bytes(vm.bytes_plain)
            )
        },
    ),
    ("usual<br>gap, ms", |vm| match vm.baseline.intervals {
        0 => none(),
        _ => number(vm.baseline.longest_ms),
    }),
];

/// One row for each VM of a migration.
pub(super) fn vms(migration: &Migration) -> String {
    let rows: Vec<&Vm> = migration.vms.iter().collect();
    let mut table = table(&COLUMNS, &rows);
    let with_guest = migration.vms.iter().any(|vm| vm.guest.is_some());
    if with_guest {
        table += "<h3>The same migration as the guests saw each other</h3>\n";
        table += &self::table(&GUEST_COLUMNS, &rows);
    }
    table
}

const GUEST_COLUMNS: [Column; 8] = [
    ("VM", |vm| escape(&vm.name)),
    ("UDP sent to other VMs", |vm| {
        guest(vm, |g| number(g.udp_sent as f64))
    }),
    ("lost", |vm| guest(vm, |g| g.udp_lost.to_string())),
    ("duplicated", |vm| {
        guest(vm, |g| g.udp_duplicated.to_string())
    }),
    ("longest gap, ms of its clock", |vm| {
        guest(vm, |g| number(g.longest_gap_ms))
    }),
    ("TCP sessions", |vm| {
        guest(vm, |g| g.tcp_sessions.to_string())
    }),
    ("lost", |vm| guest(vm, |g| g.tcp_lost.to_string())),
    ("longest stall, ms", |vm| {
        guest(vm, |g| number(g.longest_stall_ms))
    }),
];

/// The orders of flipping side by side, when there is more than one.
pub(super) fn orders(report: &Report) -> String {
    let rows = compare::orders(report);
    if rows.is_empty() {
        return String::new();
    }
    let middle = |spread: Option<Spread>| {
        spread.map_or_else(none, |s| {
            format!(
                "{} <small>{} – {}</small>",
                number(s.median),
                number(s.least),
                number(s.most)
            )
        })
    };
    let row = |row: &compare::OrderRow| {
        let cells = [
            escape(&row.order.replace('-', " ")),
            row.switchovers.to_string(),
            middle(row.lost),
            row.duplicated.to_string(),
            row.tcp_lost.to_string(),
            middle(row.network_ms),
            middle(row.vcpu_ms),
            middle(row.stop_error_ms),
        ];
        cells_row("td", &cells)
    };
    let heads = [
        "peers flipped",
        "VM switchovers",
        "UDP lost, each",
        "duplicated",
        "TCP lost",
        "network downtime, ms",
        "vCPU downtime, ms",
        "stop against predicted, ms",
    ];
    format!(
        "<section>\n<h2>The orders of flipping</h2>\n<p class=\"sub\">Median, smallest and largest of each.</p>\n\
         <div class=\"scroll\"><table>\n{}{}</table></div>\n</section>\n",
        cells_row("th", &heads.map(str::to_owned)),
        rows.iter().map(row).collect::<String>()
    )
}

/// The whole run, VM by VM.
pub(super) fn whole(report: &Report) -> String {
    if report.whole.is_empty() {
        return String::new();
    }
    let row = |vm: &crate::report::VmTotal| {
        let cells = [
            escape(&vm.name),
            number(vm.udp_sent as f64),
            vm.udp_lost.to_string(),
            vm.udp_duplicated.to_string(),
            vm.udp_reordered.to_string(),
            format!("{} <small>of {}</small>", vm.tcp_lost, vm.tcp_sessions),
            number(vm.tcp_records as f64),
            vm.probe_skipped.to_string(),
            vm.probe_drops.to_string(),
        ];
        cells_row("td", &cells)
    };
    let heads = [
        "VM",
        "UDP sent",
        "lost",
        "duplicated",
        "reordered",
        "TCP lost",
        "TCP records",
        "skipped by the probe",
        "dropped by the probe",
    ];
    format!(
        "<section>\n<h2>The whole run</h2>\n<p class=\"sub\">From the first packet to the last reply, between migrations as well.</p>\n\
         <div class=\"scroll\"><table>\n{}{}</table></div>\n</section>\n",
        cells_row("th", &heads.map(str::to_owned)),
        report.whole.iter().map(row).collect::<String>()
    )
}

fn table(columns: &[Column], rows: &[&Vm]) -> String {
    let heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |vm: &&Vm| {
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(vm)).collect();
        cells_row("td", &cells)
    };
    format!(
        "<div class=\"scroll\"><table>\n{}{}</table></div>\n",
        cells_row("th", &heads),
        rows.iter().map(row).collect::<String>()
    )
}

fn cells_row(tag: &str, cells: &[String]) -> String {
    let cells: String = cells
        .iter()
        .map(|cell| format!("<{tag}>{cell}</{tag}>"))
        .collect();
    format!("<tr>{cells}</tr>\n")
}

fn lost(vm: &Vm) -> String {
    if vm.udp_lost == 0 {
        return "<span class=\"good\">0</span>".to_owned();
    }
    format!(
        "<span class=\"bad\">{}</span> <small>{} req., {} rep.</small>",
        vm.udp_lost, vm.udp_lost_requests, vm.udp_lost_replies
    )
}

fn guest(vm: &Vm, show: fn(&crate::report::GuestView) -> String) -> String {
    vm.guest.as_ref().map_or_else(none, show)
}

fn none() -> String {
    "<small>–</small>".to_owned()
}

fn some(value: Option<f64>) -> String {
    value.map_or_else(none, number)
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    format!("{sign}{}", number(value.abs()))
}

fn strong(text: &str) -> String {
    format!("<span class=\"strong\">{text}</span>")
}
