//! `experiment`: the papers' experiments, watched while they run, tables at the end.

use super::shows::{Shown, of_demo};
use crate::cli::{ExperimentCommand, Format, Scenario3Args};
use crate::command::services;
use crate::failure::{Exit, Failure};
use crate::output;
use lab::cli::UpOptions;
use lab::experiment::scenario3::{self, Outcome, PAPER, Row, Scenario3};

pub(in crate::command) fn run(command: ExperimentCommand, format: Format) -> Result<(), Failure> {
    match command {
        ExperimentCommand::Scenario3(args) => third(args, format),
    }
}

fn third(args: Scenario3Args, format: Format) -> Result<(), Failure> {
    let asked = Scenario3 {
        up: UpOptions {
            folder: args.folder,
            guest: args.guest,
            ..UpOptions::default()
        },
        runs: args.runs,
        used_mib: args.used_mib,
        most_mib: args.most_mib,
    };
    let mut shown = Shown { format };
    let done = services::runtime()?.block_on(scenario3::scenario3(&asked, &mut shown));
    let outcome = done.map_err(of_demo)?;
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&outcome);
        let text = text.map_err(|error| Failure::of(Exit::Failed, &error))?;
        std::fs::write(path, text).map_err(|error| {
            let what = format!("cannot write the report {}: {error}", path.display());
            Failure::new(Exit::Failed, what, "Name another file with --report.")
        })?;
    }
    match format {
        Format::Json => output::json(&outcome)?,
        Format::Table => tell(&outcome)?,
    }
    let gone: usize = outcome.rows.iter().map(|row| row.failed).sum();
    let broken: u64 = outcome.rows.iter().map(|row| row.tcp_lost).sum();
    match (gone, broken) {
        (0, 0) => Ok(()),
        _ => Err(Failure::new(
            Exit::Failed,
            format!("{gone} moves did not arrive, and {broken} sessions broke"),
            "",
        )),
    }
}

fn tell(outcome: &Outcome) -> Result<(), Failure> {
    let head = [
        "SIZE",
        "MOVES",
        "TOTAL",
        "SENT",
        "DOWNTIME",
        "WORST",
        "VCPU",
        "LOST",
        "PING",
        "SLOWEST %",
        "CPU",
    ];
    let rows = outcome.rows.iter().map(cells);
    output::text(&format!("\n{}\n", output::table(&head, rows)))?;
    output::line(
        "Medians; lost: packets and sessions of all moves; ping, its slowest of a hundred, and the machine's \
         CPUs: at rest, then while it moves.",
    )?;
    for line in PAPER
        .iter()
        .copied()
        .chain(outcome.notes.iter().map(String::as_str))
    {
        output::line(line)?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let two = |values: [Option<f64>; 2], digits: usize| {
        values
            .map(|value| value.map_or("-".to_owned(), |value| format!("{value:.digits$}")))
            .join(" ")
    };
    vec![
        format!("{} vCPU {} GB", row.vcpus, row.memory_mib / 1024),
        format!("{} of {}", row.runs - row.failed, row.runs),
        format!("{:.1} s", row.total_s),
        format!("{:.0} MB", row.sent_mb),
        format!("{:.0} ms", row.downtime_ms),
        format!("{:.0} ms", row.worst_ms),
        format!("{:.0} ms", row.vcpu_ms),
        format!("{} {}", row.lost, row.tcp_lost),
        format!("{} ms", two(row.latency_ms, 1)),
        format!("{} ms", two(row.slow_ms, 0)),
        format!("{} %", two(row.cpu_percent, 0)),
    ]
}
