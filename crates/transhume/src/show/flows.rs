//! Rules of a switch, and the way of a packet.

use crate::units;
use api::view::Flows;
use model::flows::{FlowMark, FlowRow, Rate};
use model::trace::{End, Hop, Trace, Way};

/// Columns of a line.
const WIDTH: usize = 80;

/// The sums are of all rules, whatever is shown of them.
pub(crate) fn flows(flows: &Flows, differing: bool) -> String {
    let mut text = summary(flows);
    let mut table = None;
    let shown = |row: &&FlowRow| !differing || row.mark != FlowMark::AsAsked;
    for row in flows.rules.iter().filter(shown) {
        if table != Some(row.table) {
            table = Some(row.table);
            text.push_str(&format!("table {}\n", row.table));
        }
        rule(&mut text, row);
    }
    text
}

fn summary(flows: &Flows) -> String {
    let installed = flows.rules.iter().filter(|row| row.counted.is_some());
    let mut text = format!("{}: {} rules", flows.host, installed.count());
    for mark in [
        FlowMark::Missing,
        FlowMark::Changed,
        FlowMark::LeftOver,
        FlowMark::Foreign,
    ] {
        let count = flows.rules.iter().filter(|row| row.mark == mark).count();
        if let Some(word) = odd(mark).filter(|_| count > 0) {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    if flows.rules.iter().all(|row| row.mark == FlowMark::AsAsked) {
        text.push_str(", all as the directory asks");
    }
    text.push('\n');
    if flows.unsettled {
        text.push_str("The directory changed meanwhile: marks may be wrong; ask again.\n");
    }
    text
}

fn odd(mark: FlowMark) -> Option<&'static str> {
    match mark {
        FlowMark::AsAsked => None,
        FlowMark::Missing => Some("missing"),
        FlowMark::Changed => Some("changed"),
        FlowMark::LeftOver => Some("left over"),
        FlowMark::Foreign => Some("foreign"),
    }
}

fn rule(text: &mut String, row: &FlowRow) {
    let mark = odd(row.mark).map(|word| format!("  << {word}"));
    let title = format!("{}{}", row.purpose, mark.unwrap_or_default());
    put(text, &format!("{:>6}  ", row.priority), 8, &title, ' ');
    let matching = match row.matching.is_empty() {
        true => "all packets",
        false => &row.matching,
    };
    put(text, "", 8, matching, ',');
    put(text, "", 8, &row.actions, ',');
    if let Some(wanted) = &row.wanted {
        put(text, "", 8, &format!("asked for: {wanted}"), ',');
    }
    if let Some(counted) = row.counted {
        let mut line = format!(
            "{} packets, {} in {}",
            counted.packets,
            units::bytes(counted.bytes as f64),
            units::ms(counted.age_ms as f64)
        );
        if let Some(now) = row.rate {
            line.push_str(&format!("; {}", rate(now)));
        }
        put(text, "", 8, &line, ' ');
    }
}

/// What passes now.
pub(super) fn rate(rate: Rate) -> String {
    format!(
        "{:.1} packets/s, {}",
        rate.packets_s,
        units::bits(rate.bits_s)
    )
}

pub(crate) fn trace(trace: &Trace) -> String {
    let mut text = way(&trace.there);
    if let Some(back) = &trace.back {
        text.push('\n');
        text.push_str(&way(back));
    }
    text
}

fn way(way: &Way) -> String {
    let mut text = String::new();
    put(&mut text, "", 2, &way.packet, ' ');
    for (number, hop) in way.hops.iter().enumerate() {
        let underlay = hop.underlay.as_ref().map(|by| format!(" ({by})"));
        let title = format!(
            "{}, {}{}",
            hop.host,
            hop.enters,
            underlay.unwrap_or_default()
        );
        put(&mut text, &format!("{}. ", number + 1), 3, &title, ' ');
        steps(&mut text, hop);
    }
    put(&mut text, "=> ", 3, &way.verdict, ' ');
    text
}

fn steps(text: &mut String, hop: &Hop) {
    for step in &hop.traced.steps {
        let mark = step.mark.and_then(odd).map(|word| format!("  << {word}"));
        let title = format!("{}{}", step.purpose, mark.unwrap_or_default());
        put(text, &format!("{:>5}  ", step.table), 7, &title, ' ');
        if let Some(priority) = step.priority {
            let matching = match step.matching.is_empty() {
                true => "all packets",
                false => &step.matching,
            };
            put(
                text,
                "",
                7,
                &format!("priority {priority}: {matching}"),
                ',',
            );
        }
        let done = step.actions.iter().filter(|line| !line.starts_with("-> "));
        let done: Vec<&str> = done.map(String::as_str).collect();
        put(text, "", 7, &done.join(","), ',');
        for note in step.actions.iter().filter(|line| line.starts_with("-> ")) {
            put(text, "", 10, note, ' ');
        }
    }
    for end in &hop.traced.ends {
        put(text, "    -> ", 7, &ending(end), ' ');
    }
}

fn ending(end: &End) -> String {
    match end {
        End::Member { cluster, vm, .. } => format!("port of {cluster}/{vm}"),
        End::Tunnel {
            to,
            redirected: true,
            ..
        } => format!("tunnel to {to}, by a redirect"),
        End::Tunnel { to, .. } => format!("tunnel to {to}"),
        End::Outside { router } => format!("VXLAN-GPE to router {router}"),
        End::Gateway => "LISP gateway of the host".to_owned(),
        End::Answered => "answered, back to the sender".to_owned(),
        End::Held { vm } => format!("held in the queue for {vm}"),
        End::Port { number } => format!("port {number}, nobody's of ours"),
        End::Dropped { .. } => "dropped".to_owned(),
    }
}

/// Puts text behind a head, and where it is too long below it, indented; cut behind `at` where that is
/// possible.
fn put(text: &mut String, head: &str, indent: usize, said: &str, at: char) {
    let mut line = format!("{head:indent$}");
    let mut filled = false;
    for piece in said.split_inclusive(at) {
        let fits = line.chars().count() + piece.trim_end().chars().count() <= WIDTH;
        if filled && !fits {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
        }
        line.push_str(piece);
        filled = true;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_where_it_may_be_and_indented() {
        let mut text = String::new();
        put(
            &mut text,
            "1. ",
            3,
            &["set_field:7->reg0"; 9].join(","),
            ',',
        );
        assert!(text.lines().count() > 1);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("   set_field"))
        );
        assert_eq!(text.matches("set_field").count(), 9);
    }
}
