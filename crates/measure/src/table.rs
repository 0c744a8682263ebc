//! A report for a terminal, within 80 columns, plain text.

use crate::html::{bytes, setting};
use crate::report::compare::{OrderRow, orders};
use crate::report::verdict::{Spread, Verdict, number, verdicts};
use crate::report::{Migration, Report, Vm};
use std::fmt::Write;

/// Columns that are never exceeded.
pub const WIDTH: usize = 80;

/// The report as text.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let title = if report.title.is_empty() {
        "Transhume report"
    } else {
        &report.title
    };
    let _ = writeln!(out, "{}", cut(title, WIDTH));
    for line in wrap(&setting(report), WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    for migration in &report.migrations {
        out.push('\n');
        of_migration(&mut out, migration);
    }
    if !report.migrations.is_empty() {
        out.push_str("\n  ms: network downtime, predicted, vCPU downtime, rule switch\n");
    }
    let orders = orders(report);
    if !orders.is_empty() {
        of_orders(&mut out, &orders);
    }
    let verdicts = verdicts(report);
    if !verdicts.is_empty() {
        out.push('\n');
        for verdict in &verdicts {
            of_verdict(&mut out, verdict);
        }
    }
    for note in &report.notes {
        out.push('\n');
        for line in wrap(note, WIDTH) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn of_migration(out: &mut String, m: &Migration) {
    let order = if m.order.is_empty() {
        String::new()
    } else {
        format!(", flip {}", m.order)
    };
    let state = if m.state.is_empty() { "done" } else { &m.state };
    let mut seconds = number(m.total_ms / 1000.0);
    if let Some(predicted) = m.predicted_total_ms {
        seconds.push_str(&format!(" of {}", number(predicted / 1000.0)));
    }
    let head = format!(
        "{} {}: {} → {}, {}{order}, {state} in {seconds} s",
        m.id, m.cluster, m.from, m.to, m.kind
    );
    let _ = writeln!(out, "{}", cut(head.trim_start(), WIDTH));
    let _ = writeln!(
        out,
        "  {:<12}{:>6}{:>6}{:>6}{:>6}{:>8}{:>5}{:>4}{:>4}{:>6}{:>6}{:>9}",
        "VM", "net", "pred", "vCPU", "rule", "UDP", "lost", "dup", "ord", "TCP", "lost", "moved"
    );
    for vm in &m.vms {
        of_vm(out, vm);
    }
}

fn of_vm(out: &mut String, vm: &Vm) {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    let _ = writeln!(
        out,
        "  {:<12}{:>6}{:>6}{:>6}{:>6}{:>8}{:>5}{:>4}{:>4}{:>6}{:>6}{:>9}",
        cut(&vm.name, 11),
        ms(vm.network_downtime_ms),
        ms(vm.predicted_gap_ms),
        ms(vm.vcpu_downtime_ms),
        ms(vm.rule_switch_ms),
        count(vm.udp_sent, 7),
        count(vm.udp_lost, 4),
        count(vm.udp_duplicated, 3),
        count(vm.udp_reordered, 3),
        count(vm.tcp_sessions, 5),
        count(vm.tcp_lost, 5),
        bytes(vm.bytes_moved),
    );
}

fn of_orders(out: &mut String, rows: &[OrderRow]) {
    let _ = writeln!(
        out,
        "\n  {:<18}{:>5}{:>14}{:>5}{:>9}{:>13}{:>13}",
        "peers flipped", "VMs", "UDP lost", "dup", "TCP lost", "net ms", "vCPU ms"
    );
    let middle = |spread: Option<Spread>, show: fn(f64) -> String| {
        spread.map_or_else(
            || "–".to_owned(),
            |s| format!("{} ≤{}", show(s.median), show(s.most)),
        )
    };
    for row in rows {
        let _ = writeln!(
            out,
            "  {:<18}{:>5}{:>14}{:>5}{:>9}{:>13}{:>13}",
            cut(&row.order.replace('-', " "), 17),
            row.switchovers,
            middle(row.lost, number),
            count(row.duplicated, 4),
            count(row.tcp_lost, 4),
            middle(row.network_ms, short),
            middle(row.vcpu_ms, short)
        );
    }
}

fn of_verdict(out: &mut String, verdict: &Verdict) {
    let sign = if verdict.met { "✓" } else { "✗" };
    let what = format!("{sign} {}", verdict.what);
    let rest = format!("{}  (target {})", verdict.measured, verdict.target);
    if width(&what) + 2 + width(&rest) <= WIDTH {
        let gap = WIDTH - width(&what) - width(&rest);
        let _ = writeln!(out, "{what}{}{rest}", " ".repeat(gap));
    } else {
        let _ = writeln!(out, "{}", cut(&what, WIDTH));
        for line in wrap(&rest, WIDTH - 4) {
            let _ = writeln!(out, "    {line}");
        }
    }
}

/// At most five characters.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 99_999.5 => ">99 s".to_owned(),
        v if v >= 99.95 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

/// At most `room` characters.
fn count(value: u64, room: usize) -> String {
    let mut text = value.to_string();
    let mut rest = value;
    for unit in ["k", "M", "G", "T", "P", "E"] {
        if text.len() <= room {
            break;
        }
        rest /= 1_000;
        text = format!("{rest}{unit}");
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Breaks a text between words; a word that is too long is cut.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, room)),
        }
    }
    lines
}
