//! What plans foresee beside what comes of them: total time, bytes and downtime of moves under various
//! loads and rates.

use super::{Measured, at_most, figure, within};
use crate::cli::{self, UpOptions};
use crate::demo::{Audience, DemoError, Tour};
use crate::shop::{HOME, Load};
use measure::guest::Dirty;
use measure::report::{Figure, Migration};
use model::migration::{Options, State};
use std::time::Duration;

/// Where the cluster goes from home.
const AWAY: &str = "south";
/// Probe and guests talk this long before the first migration.
const WARM_UP: Duration = Duration::from_secs(3);
/// Guests under a new load are left to themselves for this long.
const SETTLES: Duration = Duration::from_secs(3);
/// A total may be off by this, percent.
const TOTAL_OFF: f64 = 20.0;
/// A downtime may be off by this factor, or by this, ms.
const DOWNTIME_FACTOR: f64 = 2.0;
const DOWNTIME_OFF_MS: f64 = 30.0;

/// What the guests do, and what the link may be used for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    /// Random data that is rewritten, MiB.
    mib: u32,
    /// Pages rewritten each second; none leaves the guests idle.
    pages: u32,
    /// Rate that is asked for, Mbit/s; 0 leaves it to the plan.
    mbit: f64,
}

const fn kind(mib: u32, pages: u32, mbit: f64) -> Kind {
    Kind { mib, pages, mbit }
}

/// Clusters and what they are moved under, each there and back: twenty moves.
const SETTINGS: [(u8, &[Kind]); 3] = [
    (
        1,
        &[
            kind(0, 0, 0.0),
            kind(16, 200, 0.0),
            kind(48, 500, 0.0),
            kind(48, 1500, 0.0),
            kind(32, 500, 100.0),
        ],
    ),
    (
        2,
        &[kind(48, 500, 0.0), kind(16, 1000, 0.0), kind(8, 0, 120.0)],
    ),
    (4, &[kind(48, 500, 0.0), kind(16, 200, 0.0)]),
];

/// One move, as planned and as it was.
#[derive(Debug, Clone, PartialEq)]
struct Move {
    what: String,
    planned_ms: f64,
    took_ms: f64,
    planned_bytes: u64,
    bytes: u64,
    planned_gap_ms: f64,
    gaps_ms: Vec<f64>,
}

impl Move {
    /// None of one that did not arrive, or that had no plan.
    fn of(what: &str, moved: &Migration) -> Option<Self> {
        (moved.state == "arrived").then_some(())?;
        Some(Self {
            what: what.to_owned(),
            planned_ms: moved.predicted_total_ms?,
            took_ms: moved.total_ms,
            planned_bytes: moved.predicted_bytes?,
            bytes: moved.vms.iter().map(|vm| vm.bytes_moved).sum(),
            planned_gap_ms: moved.predicted_gap_ms?,
            gaps_ms: moved
                .vms
                .iter()
                .filter_map(|vm| vm.network_downtime_ms)
                .collect(),
        })
    }

    fn total_off(&self) -> f64 {
        (self.planned_ms / self.took_ms.max(1.0) - 1.0) * 100.0
    }

    /// How far a downtime is off: 1 is the most that is allowed.
    fn gap_off(&self, gap_ms: f64) -> f64 {
        let (planned, real) = (self.planned_gap_ms.max(0.1), gap_ms.max(0.1));
        let factor = (planned / real).max(real / planned) / DOWNTIME_FACTOR;
        factor.min((planned - real).abs() / DOWNTIME_OFF_MS)
    }

    fn worst_gap(&self) -> f64 {
        let worst = self
            .gaps_ms
            .iter()
            .max_by(|a, b| self.gap_off(**a).total_cmp(&self.gap_off(**b)));
        worst.copied().unwrap_or(f64::NAN)
    }

    fn row(&self) -> String {
        let mega = |bytes: u64| bytes as f64 / 1e6;
        format!(
            "{:<22}{:>7.1}{:>7.1}{:>+6.0} %{:>8.0}{:>7.0}{:>8.0}{:>7.0}",
            self.what,
            self.planned_ms / 1e3,
            self.took_ms / 1e3,
            self.total_off(),
            mega(self.planned_bytes),
            mega(self.bytes),
            self.planned_gap_ms,
            self.worst_gap(),
        )
    }
}

/// The heads of [`Move::row`].
const HEAD: &str = "                         total, s             sent, MB     downtime, ms\n\
     move                   plan   real    off    plan   real    plan  worst";

pub(super) async fn prediction(
    up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let (mut moves, mut notes) = (Vec::new(), Vec::new());
    for (vms, kinds) in SETTINGS {
        let up = UpOptions {
            vms,
            load: Load::IDLE,
            ..up.clone()
        };
        let (made, said) = cluster(&up, kinds, rounds, audience).await?;
        moves.extend(made);
        notes.extend(said);
    }
    audience.say(HEAD);
    for one in &moves {
        audience.say(&one.row());
    }
    Ok(Measured {
        figures: figures(&moves),
        notes,
        ..Measured::default()
    })
}

/// One cluster there and back, under each load.
async fn cluster(
    up: &UpOptions,
    kinds: &[Kind],
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<(Vec<Move>, Vec<String>), DemoError> {
    let standing = cli::up(up, &mut |step| audience.step(step)).await?;
    let lab = standing.clone();
    let (vms, kinds) = (up.vms, kinds.to_vec());
    within(standing, async move {
        let mut tour = Tour::begin(&lab, WARM_UP).await?;
        let (mut names, mut away) = (Vec::new(), false);
        'tour: for kind in kinds {
            tour.load(Dirty {
                mb: Some(kind.mib),
                pages: Some(kind.pages),
                random: Some(true),
            })
            .await?;
            tokio::time::sleep(SETTLES).await;
            for _ in 0..2 * rounds {
                let to = if away { HOME } else { AWAY };
                let asked = Options {
                    bandwidth_mbit: kind.mbit,
                    ..Options::default()
                };
                let moved = tour.travel(to, asked, audience).await?;
                names.push(name(vms, kind));
                match moved.state {
                    State::Arrived => away = !away,
                    State::Aborted => {}
                    _ => break 'tour,
                }
            }
        }
        let seen = tour.end().await?;
        let mut notes = seen.notes;
        let mut moves = Vec::new();
        for (name, moved) in names.iter().zip(&seen.migrations) {
            match Move::of(name, moved) {
                Some(one) => moves.push(one),
                None => notes.push(format!("{} ({name}) did not arrive", moved.id)),
            }
        }
        Ok((moves, notes))
    })
    .await
}

fn name(vms: u8, kind: Kind) -> String {
    let load = match kind.pages {
        0 => "idle".to_owned(),
        pages => format!("{} MB {pages}/s", kind.mib),
    };
    match kind.mbit > 0.0 {
        true => format!("{vms} VM {load} {:.0}M", kind.mbit),
        false => format!("{vms} VM {load}"),
    }
}

fn figures(moves: &[Move]) -> Vec<Figure> {
    let gaps = || {
        moves
            .iter()
            .flat_map(|one| one.gaps_ms.iter().map(move |gap| (one, *gap)))
    };
    vec![
        figure(
            &format!("total time off what was planned, {} moves", moves.len()),
            "%",
            moves.iter().map(|one| one.total_off().abs()).collect(),
            at_most(None, Some(TOTAL_OFF)),
        ),
        Figure {
            note: "1 is a factor of 2, or 30 ms where that is more".to_owned(),
            ..figure(
                "downtime off what was planned",
                "x",
                gaps().map(|(one, gap)| one.gap_off(gap)).collect(),
                at_most(None, Some(1.0)),
            )
        },
        figure(
            "bytes against planned",
            "x",
            moves
                .iter()
                .map(|one| one.bytes as f64 / one.planned_bytes.max(1) as f64)
                .collect(),
            None,
        ),
        figure(
            "network downtime of these moves",
            "ms",
            gaps().map(|(_, gap)| gap).collect(),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(planned_gap_ms: f64) -> Move {
        Move {
            what: "x".into(),
            planned_ms: 9_000.0,
            took_ms: 10_000.0,
            planned_bytes: 90,
            bytes: 100,
            planned_gap_ms,
            gaps_ms: vec![50.0, 130.0],
        }
    }

    #[test]
    fn a_downtime_may_be_off_by_a_factor_of_two_or_by_thirty_ms() {
        assert!(one(60.0).gap_off(119.0) < 1.0);
        assert!(one(60.0).gap_off(130.0) > 1.0);
        assert!(one(10.0).gap_off(39.0) < 1.0);
        assert!(one(10.0).gap_off(41.0) > 1.0);
        assert_eq!(one(100.0).worst_gap(), 50.0);
    }

    #[test]
    fn a_total_that_is_off_by_more_than_a_fifth_is_missed() {
        let good = figures(&[one(60.0)]);
        assert!((good[0].values[0] - 10.0).abs() < 1e-9);
        let late = Move {
            took_ms: 13_000.0,
            ..one(60.0)
        };
        let bad = &figures(&[late])[0];
        let verdict = measure::report::verdict::of_figure(bad).unwrap();
        assert!(!verdict.met, "{verdict:?}");
    }

    #[test]
    fn there_are_twenty_moves_under_different_loads() {
        let kinds = SETTINGS.iter().map(|(_, kinds)| kinds.len());
        assert_eq!(2 * kinds.sum::<usize>(), 20);
        assert!(one(60.0).row().chars().count() <= 80);
    }
}
