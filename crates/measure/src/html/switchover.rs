//! One VM's switchover, packet by packet.
//!
//! Two panels share the time axis, whose zero is the stop. Above: every packet of the stream by
//! the moment it was sent, its height the time until its reply; packets that waited in the
//! target's queue form a slope. Below: every reply by the moment it arrived, its height the time
//! since the reply before; the network downtime is the tallest stem.

use super::svg::{Anchor, Scale, Svg, at, tick_label};
use crate::report::verdict::number;
use crate::report::{Plot, Vm};
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 42.0;
const PANEL: f64 = 96.0;
const BETWEEN: f64 = 30.0;
const HEIGHT: f64 = TOP + 2.0 * PANEL + BETWEEN + 36.0;

pub(super) fn draw(vm: &Vm, plot: &Plot) -> Option<String> {
    let zero = vm.stop_at_ms.or(vm.gap_at_ms)?;
    let (first, last) = (plot.packets.first()?, plot.packets.last()?);
    let x = Scale::new(
        first.sent_ms - zero,
        last.sent_ms - zero,
        LEFT,
        WIDTH - RIGHT,
    );
    let label = format!("Packets of {} around its switchover", vm.name);
    let mut svg = Svg::new(WIDTH, HEIGHT, &label);
    let (upper, lower) = (TOP + PANEL, TOP + 2.0 * PANEL + BETWEEN);
    band(&mut svg, vm, &x, zero, lower);
    for tick in x.ticks(6) {
        svg.line("grid", (x.of(tick), TOP), (x.of(tick), upper));
        svg.line("grid", (x.of(tick), lower - PANEL), (x.of(tick), lower));
        let place = (x.of(tick), lower + 16.0);
        svg.text("tick", place, Anchor::Middle, &tick_label(tick));
    }
    let since = if vm.stop_at_ms.is_some() {
        "stop"
    } else {
        "last reply"
    };
    let place = (WIDTH - RIGHT, lower + 31.0);
    svg.text("axis", place, Anchor::End, &format!("ms after the {since}"));
    trips(&mut svg, plot, &x, zero, upper);
    intervals(&mut svg, plot, &x, zero, lower);
    marks(&mut svg, vm, &x, zero, lower);
    title(&mut svg, upper, "round trip of each packet, ms");
    title(&mut svg, lower, "time since the reply before, ms");
    Some(svg.finish())
}

/// Horizontal grid and labels.
fn frame(svg: &mut Svg, y: &Scale, bottom: f64) {
    for tick in y.ticks(3) {
        svg.line("grid", (LEFT, y.of(tick)), (WIDTH - RIGHT, y.of(tick)));
        let place = (LEFT - 6.0, y.of(tick) + 4.0);
        svg.text("tick", place, Anchor::End, &tick_label(tick));
    }
    svg.line("axis-line", (LEFT, bottom), (WIDTH - RIGHT, bottom));
}

/// A panel's title; drawn last, for marks run behind it.
fn title(svg: &mut Svg, bottom: f64, text: &str) {
    svg.text("panel", (LEFT, bottom - PANEL - 6.0), Anchor::Start, text);
}

/// The gap as a band behind everything.
fn band(svg: &mut Svg, vm: &Vm, x: &Scale, zero: f64, lower: f64) {
    let (Some(start), Some(length)) = (vm.gap_at_ms, vm.network_downtime_ms) else {
        return;
    };
    let (from, to) = (x.clamped(start - zero), x.clamped(start - zero + length));
    let hint = format!("no reply for {length:.1} ms");
    if to > from {
        svg.rect("gap", (from, TOP), (to - from, lower - TOP), &hint);
    }
}

fn trips(svg: &mut Svg, plot: &Plot, x: &Scale, zero: f64, bottom: f64) {
    let most = plot.packets.iter().filter_map(|packet| packet.rtt_ms);
    let y = Scale::new(0.0, most.fold(1.0, f64::max) * 1.08, bottom, bottom - PANEL);
    frame(svg, &y, bottom);
    let (mut dots, mut copies, mut lost) = (String::new(), String::new(), String::new());
    for packet in &plot.packets {
        let px = x.of(packet.sent_ms - zero);
        match packet.rtt_ms {
            Some(rtt) => {
                let class = if packet.copies > 1 {
                    &mut copies
                } else {
                    &mut dots
                };
                dot(class, px, y.of(rtt));
            }
            None => cross(&mut lost, px, bottom - PANEL + 6.0),
        }
    }
    svg.path("dot", &dots);
    svg.path("dot-copy", &copies);
    svg.path("lost", &lost);
}

fn intervals(svg: &mut Svg, plot: &Plot, x: &Scale, zero: f64, bottom: f64) {
    let replies = plot.packets.iter();
    let mut moments: Vec<f64> = replies
        .filter_map(|packet| Some(packet.sent_ms + packet.rtt_ms? - zero))
        .collect();
    moments.sort_by(f64::total_cmp);
    let pairs = || moments.windows(2).map(|pair| (pair[1], pair[1] - pair[0]));
    let most = pairs().map(|(_, interval)| interval).fold(1.0, f64::max);
    let y = Scale::new(0.0, most * 1.08, bottom, bottom - PANEL);
    frame(svg, &y, bottom);
    let (mut stems, mut dots) = (String::new(), String::new());
    for (moment, interval) in pairs().filter(|(moment, _)| x.holds(*moment)) {
        let (px, py) = (x.of(moment), y.of(interval));
        let _ = write!(stems, "M{} {}V{}", at(px), at(bottom), at(py));
        if interval > plot.interval_ms * 5.0 {
            dot(&mut dots, px, py);
        }
    }
    svg.path("stem", &stems);
    svg.path("dot", &dots);
    let tallest = pairs().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((moment, interval)) = tallest.filter(|(moment, _)| x.holds(*moment)) {
        let place = (x.of(moment) + 8.0, y.of(interval) + 4.0);
        svg.text(
            "peak",
            place,
            Anchor::Start,
            &format!("{} ms", number(interval)),
        );
    }
}

fn dot(path: &mut String, x: f64, y: f64) {
    let _ = write!(path, "M{} {}h0", at(x), at(y));
}

fn cross(path: &mut String, x: f64, y: f64) {
    let (l, r, t, b) = (at(x - 3.0), at(x + 3.0), at(y - 3.0), at(y + 3.0));
    let _ = write!(path, "M{l} {t}L{r} {b}M{l} {b}L{r} {t}");
}

/// Flip, stop and resume as vertical lines; their names stand in a row above and make room for
/// each other.
fn marks(svg: &mut Svg, vm: &Vm, x: &Scale, zero: f64, lower: f64) {
    let all = [
        ("flip", "m-flip", vm.flip_at_ms),
        ("stop", "m-stop", vm.stop_at_ms),
        ("resume", "m-resume", vm.resume_at_ms),
    ];
    let mut free = LEFT - 8.0;
    for (name, class, moment) in all {
        let Some(moment) = moment.map(|at| at - zero).filter(|at| x.holds(*at)) else {
            continue;
        };
        let px = x.of(moment);
        svg.line(class, (px, TOP - 22.0), (px, lower));
        let label = if moment == 0.0 {
            name.to_owned()
        } else {
            format!(
                "{name} {}{}",
                if moment > 0.0 { "+" } else { "−" },
                number(moment.abs())
            )
        };
        // Before its line where there is room, else behind it.
        let width = 6.2 * label.chars().count() as f64;
        let (place, anchor, end) = if name != "resume" && px - width - 4.0 > free {
            (px - 4.0, Anchor::End, px)
        } else {
            let start = (px + 4.0).max(free + 4.0);
            (start, Anchor::Start, start + width)
        };
        svg.text("mark", (place, TOP - 24.0), anchor, &label);
        free = end;
    }
}
