//! Plain lines, for logs and pipes: each phase once, numbers now and then.

use super::{News, Scene, View};
use crate::output;
use crate::units::{bytes, ms};
use std::collections::HashMap;

/// Numbers come at most this often, ms.
const NUMBERS_EVERY: u64 = 2000;

#[derive(Debug, Default)]
pub(super) struct Lines {
    said: HashMap<String, u64>,
    numbers_at: Option<u64>,
    gap_said: bool,
}

impl View for Lines {
    fn show(&mut self, scene: &Scene, news: &News) {
        for line in self.say(scene, news) {
            // Nobody reads any more: the migration is still followed to its end.
            let _ = output::line(&line);
        }
    }
}

impl Lines {
    fn say(&mut self, scene: &Scene, news: &News) -> Vec<String> {
        let mut lines = Vec::new();
        let at = |after_ms: u64| format!("{:>7.1} s", after_ms as f64 / 1000.0);
        match news {
            News::Phase {
                after_ms,
                vm,
                phase,
                message,
            } => {
                let whose = vm.as_ref().map(|vm| format!(" {vm}")).unwrap_or_default();
                let key = format!("{phase}{whose}");
                let last = self.said.insert(key.clone(), *after_ms);
                if last.is_none_or(|last| after_ms.saturating_sub(last) >= NUMBERS_EVERY) {
                    lines.push(format!("{}  {key}: {message}", at(*after_ms)));
                } else if let Some(last) = last {
                    self.said.insert(key, last);
                }
            }
            News::Progress => {
                let due = self
                    .numbers_at
                    .is_none_or(|last| scene.after_ms >= last + NUMBERS_EVERY);
                if due {
                    self.numbers_at = Some(scene.after_ms);
                    lines.push(format!("{}  {}", at(scene.after_ms), numbers(scene)));
                }
            }
            News::Ended | News::Asked => {}
        }
        if let (Some(gap), false) = (scene.predicted_gap_ms(), self.gap_said) {
            self.gap_said = true;
            lines.push(format!(
                "{}  predicted gap: {}",
                at(scene.after_ms),
                ms(gap)
            ));
        }
        lines
    }
}

/// All VMs' numbers in one sentence.
pub(super) fn numbers(scene: &Scene) -> String {
    let mut text = format!(
        "{} sent, {}/s",
        bytes(scene.wire_bytes() as f64),
        bytes(scene.rate())
    );
    if let Some(slowest) = scene.slowest() {
        text.push_str(&format!(
            ", {} ready in {}",
            slowest.vm,
            ms(slowest.progress.ready_in_ms)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::{Event, What};
    use model::migration::{Figures, Kind, Migration, Options, Progress, State, VmMove};
    use model::plan::Needs;

    fn scene() -> Scene {
        let vm = |name: &str| VmMove {
            vm: name.parse().unwrap(),
            from: "north-1".parse().unwrap(),
            to: "south-1".parse().unwrap(),
            needs: Needs::default(),
            predicted: None,
            progress: Progress::default(),
            figures: Figures::default(),
        };
        Scene::new(Migration {
            id: "m-0001".parse().unwrap(),
            cluster: "shop".parse().unwrap(),
            from: "north".parse().unwrap(),
            to: "south".parse().unwrap(),
            kind: Kind::Live,
            options: Options::default(),
            state: State::PreCopy,
            message: "Memory flows.".into(),
            vms: vec![vm("shop-1"), vm("shop-2")],
            phases: Vec::new(),
            started_unix_ms: 1000,
            total_ms: 0.0,
            predicted: None,
            paused: false,
            given_mbit: 0.0,
        })
    }

    fn say(lines: &mut Lines, scene: &mut Scene, unix_ms: u64, what: What) -> Vec<String> {
        let news = scene.take(Event {
            seq: 1,
            unix_ms,
            what,
        });
        lines.say(scene, &news)
    }

    fn phase(phase: &str, message: &str) -> What {
        let migration = "m-0001".parse().unwrap();
        What::Phase {
            migration,
            vm: None,
            phase: phase.into(),
            message: message.into(),
        }
    }

    fn progress(vm: &str, wire_bytes: u64, ready_in_ms: f64) -> What {
        let progress = Progress {
            wire_bytes,
            rate: 1e6,
            ready_in_ms,
            ..Default::default()
        };
        What::Progress {
            migration: "m-0001".parse().unwrap(),
            vm: vm.parse().unwrap(),
            progress,
        }
    }

    #[test]
    fn each_phase_is_said_once_and_numbers_now_and_then() {
        let (mut lines, mut scene) = (Lines::default(), scene());
        let said = say(
            &mut lines,
            &mut scene,
            1500,
            phase("pre-copy", "Memory flows."),
        );
        assert_eq!(said, ["    0.5 s  pre-copy: Memory flows."]);
        assert!(
            say(
                &mut lines,
                &mut scene,
                1600,
                phase("pre-copy", "Memory flows.")
            )
            .is_empty()
        );
        let said = say(
            &mut lines,
            &mut scene,
            2000,
            progress("shop-1", 5_000_000, 900.0),
        );
        assert_eq!(
            said,
            ["    1.0 s  5.0 MB sent, 1.0 MB/s, shop-1 ready in 900.0 ms"]
        );
        assert!(
            say(
                &mut lines,
                &mut scene,
                2100,
                progress("shop-2", 5_000_000, 2500.0)
            )
            .is_empty()
        );
        let said = say(
            &mut lines,
            &mut scene,
            4000,
            progress("shop-2", 6_000_000, 2500.0),
        );
        assert_eq!(
            said,
            ["    3.0 s  11.0 MB sent, 2.0 MB/s, shop-2 ready in 2.5 s"]
        );
    }

    #[test]
    fn the_predicted_gap_is_said_once_when_it_is_known() {
        let (mut lines, mut scene) = (Lines::default(), scene());
        let mut known = scene.migration.clone();
        known.vms[0].figures.predicted_gap_ms = Some(148.0);
        known.vms[1].figures.predicted_gap_ms = Some(151.5);
        scene.ask(known);
        assert_eq!(
            lines.say(&scene, &News::Asked),
            ["    0.0 s  predicted gap: 151.5 ms"]
        );
        assert!(lines.say(&scene, &News::Asked).is_empty());
    }
}
