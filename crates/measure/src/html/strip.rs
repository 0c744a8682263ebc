//! A strip of dots: every value of a bench figure on one line, its median, its target.

use super::svg::{Anchor, Scale, Svg, at, tick_label};
use crate::report::Figure;
use crate::report::verdict::{Spread, number};
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 78.0;
const SIDE: f64 = 14.0;
const LINE: f64 = 34.0;

pub(super) fn draw(figure: &Figure) -> Option<String> {
    let spread = Spread::of(figure.values.iter().copied())?;
    let peer = figure.peer.as_ref();
    let peer = peer.and_then(|peer| Spread::of(peer.values.iter().copied()));
    let factor = peer.map_or(1.0, |peer| peer.median);
    let bounds = figure
        .target
        .map_or([None; 2], |target| [target.median, target.worst]);
    let bounds = bounds.map(|bound| bound.map(|bound| bound * factor));
    let bound = bounds.into_iter().flatten().fold(0.0, f64::max);
    let x = Scale::new(0.0, spread.most.max(bound) * 1.05, SIDE, WIDTH - SIDE);
    let mut svg = Svg::new(WIDTH, HEIGHT, &figure.name);
    for tick in x.ticks(6) {
        svg.line("grid", (x.of(tick), 16.0), (x.of(tick), LINE + 16.0));
        let label = if tick == 0.0 {
            "0".to_owned()
        } else {
            format!("{} {}", tick_label(tick), figure.unit)
        };
        let anchor = if tick == 0.0 {
            Anchor::Start
        } else {
            Anchor::Middle
        };
        svg.text("tick", (x.of(tick), LINE + 32.0), anchor, &label);
    }
    svg.line(
        "axis-line",
        (SIDE, LINE + 16.0),
        (WIDTH - SIDE, LINE + 16.0),
    );
    let mut dots = String::new();
    for (i, value) in figure.values.iter().enumerate() {
        // Spread up and down in a fixed pattern, so that equal values do not hide each other.
        let lift = [0.0, -5.0, 5.0, -9.0, 9.0][i % 5];
        let _ = write!(dots, "M{} {}h0", at(x.clamped(*value)), at(LINE + lift));
    }
    svg.path("dot-strip", &dots);
    let median = x.of(spread.median);
    svg.line("median", (median, 18.0), (median, LINE + 16.0));
    let label = format!("median {}", number(spread.median));
    let anchor = side(median);
    svg.text("mark", (median, 12.0), anchor, &label);
    let clear = 6.2 * label.len() as f64 + 24.0;
    for bound in bounds.into_iter().flatten() {
        let px = x.of(bound);
        svg.line("bound", (px, 18.0), (px, LINE + 16.0));
        if (px - median).abs() > clear {
            let label = format!("target {}", number(bound));
            svg.text("mark", (px, 12.0), side(px), &label);
        }
    }
    Some(svg.finish())
}

/// Near an edge a label leans inwards.
fn side(x: f64) -> Anchor {
    match x {
        x if x < 50.0 => Anchor::Start,
        x if x > WIDTH - 50.0 => Anchor::End,
        _ => Anchor::Middle,
    }
}
