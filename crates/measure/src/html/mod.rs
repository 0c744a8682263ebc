//! A report as one self-contained HTML page: inline style, inline SVG, no script, nothing fetched.
//!
//! This module lays out the page; the pictures are in modules of their own: the timeline of a
//! migration, one VM's switchover packet by packet, strips of a bench's values.

mod figures;
mod strip;
mod svg;
mod switchover;
mod timeline;

use crate::report::verdict::{Spread, judged, number, operations, verdicts};
use crate::report::{Figure, Migration, Report};
pub(crate) use figures::bytes;
use svg::escape;

/// The page.
pub fn render(report: &Report) -> String {
    let title = if report.title.is_empty() {
        "Transhume report"
    } else {
        &report.title
    };
    let sections = [
        tiles(report),
        targets(report),
        figures::orders(report),
        report.migrations.iter().map(migration).collect(),
        benches(report),
        figures::whole(report),
        notes(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"sub\">{setting}</p>\n{body}\
         <footer>{schema}, {count}. The numbers behind this page are in the JSON file of the same run.</footer>\n\
         </main>\n</body>\n</html>\n",
        title = escape(title),
        style = include_str!("style.css"),
        setting = escape(&setting(report)),
        body = sections.concat(),
        schema = escape(&report.schema),
        count = plural(report.migrations.len(), "migration"),
    )
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// One line: when, WAN and machine.
pub(crate) fn setting(report: &Report) -> String {
    let (wan, machine) = (&report.wan, &report.machine);
    let mut parts = Vec::new();
    let mut add = |given: bool, text: String| {
        if given {
            parts.push(text);
        }
    };
    let started = i64::try_from(report.started_unix_ms).unwrap_or(0);
    add(started > 0, utc(started / 1000));
    add(true, format!("WAN {} ms round trip", number(wan.rtt_ms)));
    let rate = match wan.rate_mbit {
        0.0 => "unlimited".to_owned(),
        rate => format!("{} Mbit/s", number(rate)),
    };
    add(true, rate);
    add(
        wan.jitter_ms > 0.0,
        format!("{} ms jitter", number(wan.jitter_ms)),
    );
    add(
        wan.loss_percent > 0.0,
        format!("{} % loss", number(wan.loss_percent)),
    );
    add(
        machine.cpus > 0,
        plural(usize::try_from(machine.cpus).unwrap_or(0), "CPU"),
    );
    add(
        machine.memory_mb > 0,
        format!("{} GiB", number(machine.memory_mb as f64 / 1024.0)),
    );
    add(
        !machine.accelerator.is_empty(),
        machine.accelerator.to_uppercase(),
    );
    add(!machine.qemu.is_empty(), format!("QEMU {}", machine.qemu));
    add(
        !machine.ovs.is_empty(),
        format!("Open vSwitch {}", machine.ovs),
    );
    add(
        !machine.kernel.is_empty(),
        format!("Linux {}", machine.kernel),
    );
    add(machine.load > 0.0, format!("load {}", number(machine.load)));
    let unbroken = parts.iter().map(|part| part.replace(' ', "\u{a0}"));
    unbroken.collect::<Vec<_>>().join(" · ")
}

/// Unix seconds as a date and time of day in UTC: days to civil date by the usual arithmetic on
/// years that begin in March, so that the leap day comes last.
fn utc(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

fn tiles(report: &Report) -> String {
    let judged = judged(report);
    let vms = || judged.iter().flat_map(|m| &m.vms);
    if vms().next().is_none() {
        return String::new();
    }
    let tile = |value: String, what: &str| {
        format!(
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>\n",
            escape(&value),
            escape(what)
        )
    };
    let sent: u64 = vms().map(|vm| vm.udp_sent).sum();
    let lost: u64 = vms().map(|vm| vm.udp_lost).sum();
    let sessions: u64 = vms().map(|vm| vm.tcp_sessions).sum();
    let broken: u64 = vms().map(|vm| vm.tcp_lost).sum();
    let mut all = tile(
        number(lost as f64),
        &format!(
            "UDP packets lost of {} during migrations",
            number(sent as f64)
        ),
    );
    all += &tile(
        number(broken as f64),
        &format!("TCP sessions lost of {sessions}"),
    );
    if let Some(gap) = Spread::of(vms().filter_map(|vm| vm.network_downtime_ms)) {
        let what = format!("network downtime, median; worst {} ms", number(gap.most));
        all += &tile(format!("{} ms", number(gap.median)), &what);
    }
    let bytes: u64 = vms().map(|vm| vm.bytes_moved).sum();
    let total: f64 = judged.iter().map(|m| m.total_ms).sum();
    let what = format!("moved over the WAN in {} s", number(total / 1000.0));
    all += &tile(figures::bytes(bytes), &what);
    format!("<div class=\"tiles\">\n{all}</div>\n")
}

fn targets(report: &Report) -> String {
    let verdicts = verdicts(report);
    if verdicts.is_empty() {
        return String::new();
    }
    let row = |v: &crate::report::verdict::Verdict| {
        let (class, word) = if v.met {
            ("good", "✓ met")
        } else {
            ("bad", "✗ missed")
        };
        format!(
            "<tr><td>{}</td><td class=\"left strong\">{}</td><td class=\"left\">{}</td><td class=\"left {class}\">{word}</td></tr>\n",
            escape(&v.what),
            escape(&v.measured),
            escape(&v.target),
        )
    };
    let rows: String = verdicts.iter().map(row).collect();
    format!(
        "<section>\n<h2>Beside the targets</h2>\n<div class=\"scroll\"><table>\n\
         <tr><th>what</th><th class=\"left\">measured</th><th class=\"left\">target</th><th class=\"left\"></th></tr>\n\
         {rows}</table></div>\n</section>\n"
    )
}

fn migration(m: &Migration) -> String {
    let mut facts = vec![m.kind.clone()];
    if !m.order.is_empty() {
        facts.push(format!("flip {}", m.order.replace('-', " ")));
    }
    facts.push(format!(
        "{} in {} s",
        if m.state.is_empty() { "done" } else { &m.state },
        number(m.total_ms / 1000.0)
    ));
    if let (Some(total_ms), Some(bytes)) = (m.predicted_total_ms, m.predicted_bytes) {
        let moved = m.vms.iter().map(|vm| vm.bytes_moved).sum();
        facts.push(format!(
            "predicted {} s and {}, moved {}",
            number(total_ms / 1000.0),
            figures::bytes(bytes),
            figures::bytes(moved)
        ));
    }
    if !m.id.is_empty() {
        facts.push(m.id.clone());
    }
    let plots: String = m
        .vms
        .iter()
        .filter_map(|vm| {
            let picture = switchover::draw(vm, vm.plot.as_ref()?)?;
            let gap = vm.network_downtime_ms.map_or_else(
                || "no reply measured".to_owned(),
                |gap| format!("{} ms without a reply, {} of {} packets lost", number(gap), vm.udp_lost, number(vm.udp_sent as f64)),
            );
            Some(format!(
                "<figure><figcaption><b>{}</b> <small>{}</small></figcaption>\n{picture}</figure>\n",
                escape(&vm.name),
                escape(&gap)
            ))
        })
        .collect();
    let pictures = if plots.is_empty() {
        String::new()
    } else {
        format!(
            "<h3>The switchover as the outside peer saw it</h3>\n<div class=\"plots\">\n{plots}</div>\n{PLOT_KEY}"
        )
    };
    format!(
        "<section>\n<h2>{cluster}: {from} → {to}</h2>\n<p class=\"sub\">{facts}</p>\n\
         <h3>Timeline</h3>\n<div class=\"scroll\"><figure>{timeline}</figure></div>\n{key}{enlarged}\
         <h3>Figures</h3>\n{table}{pictures}</section>\n",
        cluster = escape(&m.cluster),
        from = escape(&m.from),
        to = escape(&m.to),
        facts = escape(&facts.join(" · ")),
        timeline = timeline::draw(m),
        enlarged = timeline::enlarged(m).map_or_else(String::new, |picture| format!(
            "<h3>Its switchover, enlarged: time after the first stop</h3>\n<div class=\"scroll\"><figure>{picture}</figure></div>\n"
        )),
        key = phase_key(m),
        table = figures::vms(m),
    )
}

const PLOT_KEY: &str = "<ul class=\"key\">\
    <li><svg viewBox=\"0 0 12 12\"><path class=\"dot\" d=\"M6 6h0\"/></svg>packet answered</li>\
    <li><svg viewBox=\"0 0 12 12\"><path class=\"dot-copy\" d=\"M6 6h0\"/></svg>answered more than once</li>\
    <li><svg viewBox=\"0 0 12 12\"><path class=\"lost\" d=\"M3 3L9 9M3 9L9 3\"/></svg>lost</li>\
    <li><svg viewBox=\"0 0 12 12\"><rect class=\"gap\" width=\"12\" height=\"12\"/></svg>network downtime</li>\
    <li><svg viewBox=\"0 0 12 12\"><line class=\"m-flip\" x1=\"6\" y1=\"0\" x2=\"6\" y2=\"12\"/></svg>peers flipped</li>\
    <li><svg viewBox=\"0 0 12 12\"><line class=\"m-stop\" x1=\"6\" y1=\"0\" x2=\"6\" y2=\"12\"/></svg>vCPUs stopped</li>\
    <li><svg viewBox=\"0 0 12 12\"><line class=\"m-resume\" x1=\"6\" y1=\"0\" x2=\"6\" y2=\"12\"/></svg>resumed</li></ul>\n";

/// The colours of the phases that occur, in order of their first appearance.
fn phase_key(m: &Migration) -> String {
    let mut names: Vec<&str> = Vec::new();
    for phase in &m.phases {
        if !names.contains(&phase.name.as_str()) {
            names.push(&phase.name);
        }
    }
    let item = |name: &&str| {
        format!(
            "<li><svg viewBox=\"0 0 12 12\"><rect class=\"{}\" width=\"12\" height=\"12\"/></svg>{}</li>",
            timeline::class(name),
            escape(name)
        )
    };
    format!(
        "<ul class=\"key\">{}</ul>\n",
        names.iter().map(item).collect::<String>()
    )
}

fn benches(report: &Report) -> String {
    let picture = |figure: &Figure| {
        let strip = strip::draw(figure)?;
        let times = plural(figure.values.len(), "measurement");
        let note = if figure.note.is_empty() {
            times
        } else {
            format!("{times}; {}", figure.note)
        };
        Some(format!(
            "<figure><figcaption><b>{}</b> <small>{}</small></figcaption>\n{strip}</figure>\n",
            escape(&figure.name),
            escape(&note)
        ))
    };
    let pictures: String = operations(report).iter().filter_map(picture).collect();
    if pictures.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>Single operations</h2>\n<h3>Every measurement is a dot</h3>\n<div class=\"plots\">\n{pictures}</div>\n</section>\n"
    )
}

fn notes(report: &Report) -> String {
    let items: String = report
        .notes
        .iter()
        .map(|note| format!("<p>{}</p>\n", escape(note)))
        .collect();
    format!(
        "<section>\n<h2>How this was measured</h2>\n{items}{}</section>\n",
        include_str!("definitions.html")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_out() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(utc(1_763_769_600), "2025-11-22 00:00 UTC");
    }
}
