//! `lab bench`: every figure that the project promises, measured and put beside its target.
//!
//! | measurement | what |
//! |---|---|
//! | `lab-up` | from nothing until every VM answers |
//! | `link`, `update` | from the request to the API on, without WAN delay: [`operations`] |
//! | `bond` | a host's switch alone: [`switches`] |
//! | `single-idle`, `single-load` | a cluster of one VM, there and back: [`moves`] |
//! | `gang`, `gang-1gbit` | four VMs |
//! | `gang-disks` | the same with disks of 1 GB under write load |
//! | `kills`, `cuts` | every party killed, and the WAN cut, at every stage: [`faults`] |
//! | `orders` | predicted against real stop, and the orders of flipping |
//! | `planes` | the client as a member and at a LISP site, in turn: [`planes`] |
//! | `prediction` | what plans foresee beside what comes of them: [`prediction`] |
//!
//! Each measurement is a function of its own with a lab of its own, and gives figures. What a
//! figure must show stands beside it where it is made; judging is `measure`'s.

mod faults;
mod moves;
mod operations;
mod planes;
mod prediction;
mod switches;
mod underlays;

pub(crate) use switches::{INSIDE_COMMAND, inside_main};

use crate::cli::{self, Standing, UpOptions};
use crate::demo::{self, Audience, DemoError, machine, own};
use crate::parts::PartError;
use crate::wan::Shaping;
use measure::report::verdict::of_figure;
use measure::report::{Figure, Migration, Report, Target};
use std::path::PathBuf;

pub use measure::report::verdict::Verdict;

/// Every measurement, in the order in which they are made.
pub const NAMES: &[&str] = &[
    "lab-up",
    "link",
    "update",
    "bond",
    "single-idle",
    "single-load",
    "gang",
    "gang-1gbit",
    "orders",
    "gang-disks",
    "kills",
    "cuts",
    "prediction",
    "planes",
    "underlays",
];

/// What is measured, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BenchOptions {
    /// Only these; all when empty.
    pub only: Vec<String>,
    /// Of the faults, only those whose name or stage is among these; all when empty.
    pub faults: Vec<String>,
    /// How often, instead of what is usual for each measurement.
    pub rounds: Option<u32>,
    /// Folder of the guest; see [`crate::shop::Guest::find`].
    pub guest: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// A name that is none of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no measurement '{0}': there are {all}", all = NAMES.join(", "))]
pub struct NoSuchBench(pub String);

/// What one measurement gave.
#[derive(Debug, Default)]
struct Measured {
    figures: Vec<Figure>,
    /// Only of comparisons that the report shows side by side.
    migrations: Vec<Migration>,
    link_ms: Vec<f64>,
    update_ms: Vec<f64>,
    notes: Vec<String>,
}

impl BenchOptions {
    /// Refuses unknown names before anything is started.
    ///
    /// # Errors
    /// [`NoSuchBench`].
    pub fn check(&self) -> Result<(), NoSuchBench> {
        let unknown = self
            .only
            .iter()
            .find(|name| !NAMES.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(NoSuchBench(name.clone())))
    }

    fn wanted(&self) -> impl Iterator<Item = &'static str> {
        let named = |name: &&str| self.only.is_empty() || self.only.iter().any(|one| one == name);
        NAMES.iter().copied().filter(named)
    }

    fn up(&self) -> Result<UpOptions, PartError> {
        Ok(UpOptions {
            folder: Some(own::folder("bench")?),
            guest: self.guest.clone(),
            ..UpOptions::default()
        })
    }
}

/// Makes the measurements one after another; each row is shown when it is there. A measurement that
/// fails is noted, and the others are still made.
///
/// # Errors
/// The user ended it, or the report cannot be written.
pub async fn bench(
    options: &BenchOptions,
    audience: &mut dyn Audience,
    show: &mut (dyn FnMut(&Verdict) + Send),
) -> Result<Report, DemoError> {
    let mut report = demo::begin("Figures beside their targets", &Shaping::default());
    report.machine = machine::bare();
    for name in options.wanted() {
        audience.say(&format!("\n{name}"));
        match one(name, options, audience).await {
            Ok(measured) => take(&mut report, measured, show),
            Err(DemoError::Part(PartError::Interrupted)) => {
                return Err(PartError::Interrupted.into());
            }
            Err(error) => {
                let note = format!("{name} was not measured: {error}");
                audience.say(&note);
                report.notes.push(note);
            }
        }
    }
    report.machine.load = machine::bare().load;
    if let Some(path) = &options.report {
        demo::save(&report, path)?;
    }
    Ok(report)
}

fn take(report: &mut Report, measured: Measured, show: &mut (dyn FnMut(&Verdict) + Send)) {
    let mut only = Report::new("", report.wan.clone());
    only.link_ms = measured.link_ms;
    only.update_ms = measured.update_ms;
    only.figures = measured.figures;
    for figure in measure::report::verdict::operations(&only) {
        if let Some(verdict) = of_figure(&figure) {
            show(&verdict);
        }
    }
    report.link_ms.append(&mut only.link_ms);
    report.update_ms.append(&mut only.update_ms);
    report.figures.append(&mut only.figures);
    report.migrations.extend(measured.migrations);
    report.notes.extend(measured.notes);
}

async fn one(
    name: &str,
    options: &BenchOptions,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let up = options.up()?;
    let rounds = |usual| options.rounds.unwrap_or(usual);
    match name {
        "lab-up" => lab_up(&up, rounds(3), audience).await,
        "link" => operations::link(&up).await,
        "update" => operations::update(&up).await,
        "bond" => switches::bond(&up).await,
        "single-idle" => moves::single_idle(up, rounds(5), audience).await,
        "single-load" => moves::single_load(up, rounds(5), audience).await,
        "gang" => moves::gang(up, rounds(3), audience).await,
        "gang-1gbit" => moves::gang_1gbit(up, rounds(2), audience).await,
        "gang-disks" => moves::gang_disks(up, rounds(3), audience).await,
        "kills" => faults::kills(up, &options.faults, audience).await,
        "cuts" => faults::cuts(up, &options.faults, audience).await,
        "prediction" => prediction::prediction(up, rounds(1), audience).await,
        "planes" => planes::planes(up, rounds(1), audience).await,
        "underlays" => underlays::underlays(up, rounds(1), audience).await,
        _ => moves::orders(up, rounds(2), audience).await,
    }
}

async fn lab_up(
    up: &UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let standing = cli::up(up, &mut |step| audience.step(step)).await?;
        seconds.push(standing.up_ms / 1e3);
        standing.down().await?;
    }
    Ok(Measured {
        figures: vec![figure(
            "lab up to first answer of all four VMs",
            "s",
            seconds,
            at_most(None, Some(15.0)),
        )],
        ..Measured::default()
    })
}

/// Does something with a standing lab and takes it down, also when the user ends it.
async fn within<T>(
    standing: Standing,
    work: impl Future<Output = Result<T, DemoError>>,
) -> Result<T, DemoError> {
    let done = tokio::select! {
        done = work => done,
        () = cli::interrupted() => Err(PartError::Interrupted.into()),
    };
    let ended = standing.down().await;
    let done = done?;
    ended?;
    Ok(done)
}

fn figure(name: &str, unit: &str, values: Vec<f64>, target: Option<Target>) -> Figure {
    Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        values,
        target,
        ..Figure::default()
    }
}

fn at_most(median: Option<f64>, worst: Option<f64>) -> Option<Target> {
    Some(Target {
        median,
        worst,
        at_least: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_measurement_is_refused_and_the_known_ones_are_named() {
        let options = BenchOptions {
            only: vec!["gang".into(), "gong".into()],
            ..BenchOptions::default()
        };
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains("'gong'") && error.contains("gang-1gbit"));
    }

    #[test]
    fn measurements_are_made_in_their_own_order() {
        let options = BenchOptions {
            only: vec!["orders".into(), "link".into()],
            ..BenchOptions::default()
        };
        assert_eq!(options.wanted().collect::<Vec<_>>(), ["link", "orders"]);
        assert_eq!(BenchOptions::default().wanted().count(), NAMES.len());
    }

    #[test]
    fn a_row_is_shown_for_every_figure_with_a_target() {
        let mut report = demo::begin("x", &Shaping::default());
        let measured = Measured {
            figures: vec![
                figure("a", "ms", vec![1.0], at_most(Some(2.0), None)),
                figure("b", "ms", vec![1.0], None),
            ],
            link_ms: vec![3.0],
            ..Measured::default()
        };
        let mut rows = Vec::new();
        take(&mut report, measured, &mut |row| rows.push(row.clone()));
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.met));
        assert_eq!(report.figures.len(), 2);
    }
}
