//! A small SVG writer, and the linear scale with its ticks.
//!
//! Colours come from the page's style sheet by class, so that one picture serves light and dark.

use std::fmt::Write;

/// Text as it may stand in HTML and SVG, in attributes too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate: a tenth of a pixel is enough, and a picture has thousands.
pub(super) fn at(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded.is_finite() {
        format!("{rounded}")
    } else {
        "0".to_owned()
    }
}

/// Where a text is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture in the making.
pub(super) struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Svg {
    /// `label` is what a screen reader says.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        Self {
            width,
            height,
            label: escape(label),
            body: String::new(),
        }
    }

    pub(super) fn finish(self) -> String {
        let (w, h) = (at(self.width), at(self.height));
        format!(
            "<svg viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{}\">{}</svg>\n",
            self.label, self.body
        )
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (at(from.0), at(from.1), at(to.0), at(to.1));
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ));
    }

    /// A rectangle with a text that shows while the pointer is over it.
    pub(super) fn rect(&mut self, class: &str, place: (f64, f64), size: (f64, f64), hint: &str) {
        let (x, y, w, h) = (at(place.0), at(place.1), at(size.0.max(0.0)), at(size.1));
        let hint = escape(hint);
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"><title>{hint}</title></rect>"
        ));
    }

    pub(super) fn text(&mut self, class: &str, place: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y) = (at(place.0), at(place.1));
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// A path from its commands; dots are strokes of no length with round ends (`M1 2h0`).
    pub(super) fn path(&mut self, class: &str, commands: &str) {
        if !commands.is_empty() {
            self.push(format_args!("<path class=\"{class}\" d=\"{commands}\"/>"));
        }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(element);
    }
}

/// A linear scale from values to pixels.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// Values `from..to` on pixels `start..end`. An empty span of values is widened.
    pub(super) fn new(from: f64, to: f64, start: f64, end: f64) -> Self {
        let to = if to - from > 1e-9 { to } else { from + 1.0 };
        Self {
            from,
            to,
            start,
            end,
        }
    }

    pub(super) fn of(&self, value: f64) -> f64 {
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }

    /// `of`, kept within the pixels.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        let (low, high) = (self.start.min(self.end), self.start.max(self.end));
        self.of(value).clamp(low, high)
    }

    pub(super) fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    /// Round values inside the scale, about `count` of them.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        let step = step((self.to - self.from) / count.max(1) as f64);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last.min(first + 100))
            .map(|i| i as f64 * step)
            .collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `least`.
fn step(least: f64) -> f64 {
    let least = if least.is_finite() && least > 0.0 {
        least
    } else {
        1.0
    };
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
    steps
        .into_iter()
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// A tick's label: no digits after the point that its step does not need.
pub(super) fn tick_label(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new(-130.0, 420.0, 0.0, 100.0);
        assert_eq!(scale.ticks(6), [-100.0, 0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(Scale::new(0.0, 0.9, 0.0, 1.0).ticks(4).len(), 2);
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a b=\"'&\u{7}"), "&lt;a b=&quot;&#39;&amp; ");
    }

    #[test]
    fn a_value_that_is_no_number_leaves_a_valid_picture() {
        assert_eq!(at(f64::NAN), "0");
        assert!(Scale::new(0.0, f64::NAN, 0.0, 1.0).ticks(5).len() <= 101);
    }
}
