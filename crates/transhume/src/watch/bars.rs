//! Bars for a person at a terminal: one for each VM, the phase below, the predicted gap with it.

use super::lines::numbers;
use super::scene::fraction;
use super::{News, Scene, View};
use crate::units::{bytes, ms};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::migration::VmMove;
use std::time::Duration;

/// Steps of a bar.
const STEPS: u64 = 1000;

pub(super) struct Bars {
    all: MultiProgress,
    title: ProgressBar,
    vms: Vec<ProgressBar>,
    phase: ProgressBar,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let title = all.add(ProgressBar::no_length().with_style(style("{msg}")));
        let phase = all.add(ProgressBar::no_length().with_style(style("{spinner} {wide_msg}")));
        phase.enable_steady_tick(Duration::from_millis(120));
        Self {
            all,
            title,
            vms: Vec::new(),
            phase,
        }
    }
}

impl View for Bars {
    fn show(&mut self, scene: &Scene, _: &News) {
        let migration = &scene.migration;
        while self.vms.len() < migration.vms.len() {
            let bar = ProgressBar::new(STEPS).with_style(style("{prefix:14!} {bar:20} {msg}"));
            self.vms.push(self.all.insert_before(&self.phase, bar));
        }
        self.title.set_message(format!(
            "{}: {} {} → {}   {}",
            migration.id,
            migration.cluster,
            migration.from,
            migration.to,
            numbers(scene)
        ));
        for (bar, vm) in self.vms.iter().zip(&migration.vms) {
            bar.set_prefix(vm.vm.to_string());
            bar.set_position((fraction(vm) * STEPS as f64) as u64);
            bar.set_message(message(vm));
        }
        let mut phase = scene.phase.clone();
        if let Some(gap) = scene.predicted_gap_ms() {
            phase = format!("predicted gap {}   {phase}", ms(gap));
        }
        self.phase.set_message(phase);
    }

    fn close(&mut self) {
        self.phase.finish();
        self.title.finish();
        self.vms.iter().for_each(ProgressBar::abandon);
    }
}

/// The numbers beside a bar, 42 columns at most.
fn message(vm: &VmMove) -> String {
    let now = &vm.progress;
    let ready = match now.ready_in_ms {
        _ if now.passes == 0 => String::new(),
        left if left > 0.0 => format!("ready in {}", ms(left)),
        _ => "ready".to_owned(),
    };
    format!(
        "{:>8} {:>10} {:>2}. {ready}",
        bytes(now.wire_bytes as f64),
        format!("{}/s", bytes(now.rate)),
        now.passes,
    )
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours and tested; a plain bar is no reason to fail either.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::migration::{Figures, Progress};

    #[test]
    fn a_bar_with_large_numbers_fits_80_columns() {
        let vm = VmMove {
            vm: "shop-1".parse().unwrap(),
            from: "north-1".parse().unwrap(),
            to: "south-1".parse().unwrap(),
            needs: model::plan::Needs::default(),
            predicted: None,
            progress: Progress {
                wire_bytes: 999_400_000_000,
                rate: 999.4e6,
                passes: 99,
                ready_in_ms: 5_999_000.0,
                ..Progress::default()
            },
            figures: Figures::default(),
        };
        assert!(
            14 + 1 + 20 + 1 + message(&vm).chars().count() <= 80,
            "{}",
            message(&vm)
        );
    }

    #[test]
    fn the_templates_are_good() {
        for template in [
            "{msg}",
            "{spinner} {wide_msg}",
            "{prefix:14!} {bar:20} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
