//! `lab demo`: the main job, end to end, and what it is built of.
//!
//! - [`tour`]: a cluster moved about under the eyes of a probe; also what benches are made of.
//! - [`witness`]: those eyes, whoever moves.
//! - [`machine`]: what it ran on, for the report.
//! - [`own`]: a lab folder of a command's own, so that a standing lab is not touched.
//! - here: the demo itself, and its verdict.
//!
//! Showing what happens is left to an [`Audience`].

pub mod machine;
pub mod own;
pub mod tour;
pub mod witness;

pub use tour::{Tour, TourError};

use crate::cli::{self, Standing, Step, UpOptions};
use crate::parts::PartError;
use crate::wan::Shaping;
use api::Client;
use async_trait::async_trait;
use measure::report::{Report, ReportError, Wan};
use model::MigrationId;
use model::migration::{FlipOrder, Migration, Options, State};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The two ends of the tour.
const AWAY: &str = "south";

/// Probe and guests talk this long before the first migration.
const WARM_UP: Duration = Duration::from_secs(3);

/// Whoever is shown what happens.
#[async_trait]
pub trait Audience: Send {
    /// A lab on its way up has done something.
    fn step(&mut self, step: Step);
    /// A sentence.
    fn say(&mut self, sentence: &str);
    /// Follows a migration to its end, whatever that is.
    async fn follow(
        &mut self,
        client: &Client,
        id: &MigrationId,
    ) -> Result<Migration, api::client::Error>;
}

/// How the demo runs.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoOptions {
    /// The lab; without a folder it has one of its own.
    pub up: UpOptions,
    /// How often there and back.
    pub rounds: u32,
    /// When peers are flipped.
    pub order: FlipOrder,
    /// Whether memory goes as references and differences.
    pub deltas: bool,
    /// Time between the stops of two VMs, ms; what the engine thinks best where it is not given.
    pub stagger_ms: Option<f64>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// How the report is called.
    pub title: String,
}

/// Why the demo did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The lab.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The tour.
    #[error(transparent)]
    Tour(#[from] TourError),
    /// The report's file.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The folder for it.
    #[error("cannot make the folder {path} for the report: {source}; name another with --report")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// What came of it.
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// What should not have happened, a sentence each.
    pub faults: Vec<String>,
}

/// Brings a lab up, moves the cluster there and back, reports, and takes the lab down, also when
/// anything fails or the user ends it.
///
/// # Errors
/// What stood in the way. Losses are no error: [`Outcome::faults`] tells them.
pub async fn demo(
    options: &DemoOptions,
    audience: &mut dyn Audience,
) -> Result<Outcome, DemoError> {
    let mut up = options.up.clone();
    if up.folder.is_none() {
        up.folder = Some(own::folder("demo").map_err(PartError::from)?);
    }
    let standing = cli::up(&up, &mut |step| audience.step(step)).await?;
    let moved = tokio::select! {
        moved = show(&standing, options, audience) => moved,
        () = cli::interrupted() => Err(PartError::Interrupted.into()),
    };
    let ended = standing.down().await;
    let outcome = moved?;
    ended?;
    Ok(outcome)
}

async fn show(
    standing: &Standing,
    options: &DemoOptions,
    audience: &mut dyn Audience,
) -> Result<Outcome, DemoError> {
    let mut report = begin(&options.title, &options.up.shaping);
    audience.say(
        "A client in office holds a 2 ms UDP stream and two TCP sessions with every VM; the VMs \
         talk among themselves.",
    );
    let mut tour = Tour::begin(standing, WARM_UP).await?;
    let asked = Options {
        order: options.order,
        deltas: options.deltas,
        stagger_ms: options.stagger_ms,
        ..Options::default()
    };
    let mut faults = Vec::new();
    'rounds: for _ in 0..options.rounds {
        for to in [AWAY, crate::shop::HOME] {
            audience.say(&format!("\nshop goes to {to}"));
            let moved = tour.travel(to, asked.clone(), audience).await?;
            if moved.state != State::Arrived {
                faults.push(format!("{} did not arrive: {}", moved.id, moved.message));
                break 'rounds;
            }
        }
    }
    let seen = tour.end().await?;
    report.migrations = seen.migrations;
    report.whole = seen.whole;
    faults.extend(seen.missing);
    report.machine = machine::look(&standing.client).await;
    report.notes = seen.notes;
    report.notes.extend(seen.read_back);
    if options.order == FlipOrder::BeforeStop {
        faults.extend(losses(&report));
    }
    if let Some(path) = &options.report {
        save(&report, path)?;
    }
    Ok(Outcome { report, faults })
}

/// An empty report of this moment.
pub(crate) fn begin(title: &str, shaping: &Shaping) -> Report {
    let wan = Wan {
        rtt_ms: shaping.delay_ms * 4.0,
        rate_mbit: shaping.rate_mbit,
        jitter_ms: shaping.jitter_ms,
        loss_percent: shaping.loss * 100.0,
    };
    let mut report = Report::new(title, wan);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    report.started_unix_ms = since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
    report
}

/// Writes a report and the page beside it; makes the folder.
pub(crate) fn save(report: &Report, path: &Path) -> Result<(), DemoError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|source| DemoError::Folder {
            path: folder.to_owned(),
            source,
        })?;
    }
    Ok(report.save(path)?)
}

/// What nobody who talks to the cluster may notice: the client's streams and sessions, and those
/// of the VMs among themselves.
fn losses(report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |count: u64, what: &str, whose: &str| {
        if count > 0 {
            faults.push(format!("{whose}: {count} {what}"));
        }
    };
    for vm in &report.whole {
        fault(vm.udp_lost, "UDP packets lost", &vm.name);
        fault(vm.tcp_lost, "TCP sessions lost", &vm.name);
        if vm.udp_max_copies > 2 {
            let copies = u64::from(vm.udp_max_copies);
            fault(copies, "replies to a single UDP packet", &vm.name);
        }
    }
    for migration in &report.migrations {
        for vm in &migration.vms {
            let Some(guest) = &vm.guest else { continue };
            let whose = format!("{} {} to other VMs", migration.id, vm.name);
            fault(guest.udp_lost, "UDP packets lost", &whose);
            fault(guest.tcp_lost, "TCP sessions lost", &whose);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::report::{GuestView, Vm, VmTotal};

    fn total(name: &str) -> VmTotal {
        VmTotal {
            name: name.to_owned(),
            udp_max_copies: 2,
            ..VmTotal::default()
        }
    }

    #[test]
    fn a_packet_answered_twice_is_no_fault_and_three_times_is_one() {
        let mut report = begin("x", &Shaping::default());
        report.whole = vec![total("a")];
        assert!(losses(&report).is_empty());
        report.whole[0].udp_max_copies = 3;
        assert_eq!(losses(&report).len(), 1);
    }

    #[test]
    fn what_the_vms_lose_among_themselves_counts_as_well() {
        let mut report = begin("x", &Shaping::default());
        let guest = GuestView {
            udp_lost: 7,
            ..GuestView::default()
        };
        let vm = Vm {
            name: "shop-1".to_owned(),
            guest: Some(guest),
            ..Vm::default()
        };
        report.migrations = vec![measure::report::Migration {
            id: "m-0001".to_owned(),
            vms: vec![vm],
            ..measure::report::Migration::default()
        }];
        let faults = losses(&report);
        assert_eq!(faults, ["m-0001 shop-1 to other VMs: 7 UDP packets lost"]);
    }

    #[test]
    fn the_report_says_the_round_trip_of_the_whole_way() {
        let report = begin("x", &Shaping::with_rtt_ms(31.0));
        assert_eq!((report.wan.rtt_ms, report.wan.rate_mbit), (31.0, 200.0));
    }
}
