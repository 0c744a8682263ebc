//! `lab demo`, `lab compare` and `lab bench`: watched while they run, a report at the end.

use super::{of_part, options, step};
use crate::cli::{BenchArgs, CompareArgs, DemoArgs, Format};
use crate::command::services;
use crate::failure::{Exit, Failure};
use crate::{output, watch};
use api::client::Error;
use async_trait::async_trait;
use lab::bench::BenchOptions;
use lab::cli::Step;
use lab::compare::CompareOptions;
use lab::demo::{Audience, DemoError, DemoOptions, TourError};
use measure::report::verdict::Verdict;
use model::MigrationId;
use model::migration::Migration;
use std::path::Path;

/// Shows what happens as `migrate --watch` does.
pub(super) struct Shown {
    pub(super) format: Format,
}

#[async_trait]
impl Audience for Shown {
    fn step(&mut self, made: Step) {
        step(&made, self.format);
    }

    fn say(&mut self, sentence: &str) {
        if self.format == Format::Table {
            let _ = output::line(sentence);
        }
    }

    async fn follow(&mut self, client: &api::Client, id: &MigrationId) -> Result<Migration, Error> {
        let mut view = watch::view(self.format);
        let followed = watch::follow(client, id, view.as_mut()).await;
        view.close();
        if let Ok(ended) = &followed {
            self.say(&format!("{}: {}", ended.id, ended.message));
        }
        followed
    }
}

pub(super) fn demo(folder: Option<&Path>, args: &DemoArgs, format: Format) -> Result<(), Failure> {
    let asked = DemoOptions {
        up: options(folder, &args.up),
        rounds: args.rounds,
        order: args.order.into(),
        deltas: !args.no_deltas,
        stagger_ms: args.stagger_ms,
        report: args.report.clone(),
        title: "A cluster moves live, there and back".to_owned(),
    };
    let mut shown = Shown { format };
    let done = services::runtime()?.block_on(lab::demo::demo(&asked, &mut shown));
    let outcome = done.map_err(of_demo)?;
    match format {
        Format::Json => output::json(&outcome.report)?,
        Format::Table => {
            output::text(&format!("\n{}", measure::table::render(&outcome.report)))?;
            if let Some(path) = &args.report {
                let page = path.with_extension("html");
                output::line(&format!("\n{} and {}", path.display(), page.display()))?;
            }
        }
    }
    if outcome.faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("this was noticed: {}", outcome.faults.join("; ")),
        "The report has the figures. A busy machine loses packets by itself: see its load, and \
         the baseline of each VM.",
    ))
}

pub(super) fn compare(
    folder: Option<&Path>,
    args: &CompareArgs,
    format: Format,
) -> Result<(), Failure> {
    let asked = CompareOptions {
        up: options(folder, &args.up),
        report: args.report.clone(),
    };
    asked
        .check()
        .map_err(|error| Failure::of(Exit::Usage, &error))?;
    let mut shown = Shown { format };
    let done = services::runtime()?.block_on(lab::compare::compare(&asked, &mut shown));
    let outcome = done.map_err(of_demo)?;
    match format {
        Format::Json => output::json(&outcome.report)?,
        Format::Table => {
            output::text(&format!("\n{}\n", measure::sides::render(&outcome.report)))?;
            for row in &outcome.rows {
                output::line(&of_row(row))?;
            }
            for note in &outcome.report.notes {
                output::line(&format!("\n{note}"))?;
            }
            if let Some(path) = &args.report {
                let page = path.with_extension("html");
                output::line(&format!("\n{} and {}", path.display(), page.display()))?;
            }
        }
    }
    let missed = outcome.rows.iter().filter(|row| !row.met);
    let mut wrong: Vec<String> = missed
        .map(|row| format!("{}: {} (target {})", row.what, row.measured, row.target))
        .collect();
    wrong.extend(outcome.faults);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("not as promised: {}", wrong.join("; ")),
        "A busy machine loses packets by itself: see its load, and the baseline of each VM in the \
         report.",
    ))
}

fn of_row(row: &Verdict) -> String {
    let sign = if row.met { "✓" } else { "✗" };
    format!(
        "{sign} {}\n      {}  (target {})",
        row.what, row.measured, row.target
    )
}

pub(super) fn bench(args: BenchArgs, format: Format) -> Result<(), Failure> {
    let asked = BenchOptions {
        faults: args.faults.clone(),
        only: args.only,
        rounds: args.rounds,
        guest: args.guest,
        report: args.report,
    };
    asked
        .check()
        .map_err(|error| Failure::of(Exit::Usage, &error))?;
    let mut shown = Shown { format };
    let mut missed = Vec::new();
    let done = services::runtime()?.block_on(lab::bench::bench(&asked, &mut shown, &mut |row| {
        if !row.met {
            missed.push(row.what.clone());
        }
        if format == Format::Table {
            let _ = output::line(&of_row(row));
        }
    }));
    let report = done.map_err(of_demo)?;
    match format {
        Format::Json => output::json(&report)?,
        Format::Table => output::text(&format!("\n{}", measure::table::render(&report)))?,
    }
    if missed.is_empty() && report.notes.is_empty() {
        return Ok(());
    }
    missed.extend(report.notes);
    Err(Failure::new(
        Exit::Failed,
        format!("not as promised: {}", missed.join("; ")),
        "A busy machine is late by itself: see its load in the report.",
    ))
}

pub(super) fn of_demo(error: DemoError) -> Failure {
    match error {
        DemoError::Part(error) | DemoError::Tour(TourError::Part(error)) => of_part(error),
        DemoError::Tour(TourError::Api(error)) => error.into(),
        _ => Failure::of(Exit::Failed, &error),
    }
}
