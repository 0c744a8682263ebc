//! `lab compare`: the same cluster, load and WAN, moved by us and moved today's way.
//!
//! ```text
//! our lab up ─ there ─ back ─ down ─▶ libvirt's lab up ─ there, all at once ─ back, one by one ─ down
//! ```
//!
//! One after the other, so that neither half pays for the other one's guests, and under the same
//! witness. Here: the order of things. [`judge`] puts the figures beside what must show,
//! [`today`] is the other way. The table is `measure`'s ([`measure::sides`]).

mod judge;
mod today;

pub(crate) use today::daemon as libvirtd;

pub(crate) use today::{INSIDE_COMMAND, inside_main};

use crate::cli::{self, UpOptions};
use crate::demo::witness::{Seen, Witness};
use crate::demo::{self, Audience, DemoError, Tour, machine, own};
use crate::folder::Folder;
use crate::parts::PartError;
use crate::preflight::{self, Needs};
use crate::shop::STREAM_MS;
use crate::shop::{HOME, Shop};
use crate::testbed::LabError;
use measure::report::Report;
use measure::report::verdict::{Verdict, of_figure};
use measure::sides::{VIRSH_IN_TURN, VIRSH_TOGETHER};
use model::migration::{Options, State};
use std::path::PathBuf;
use std::time::Duration;
use today::{How, Today};

/// Where the cluster goes from home.
pub(crate) const AWAY: &str = "south";

/// Probe and guests talk this long before the first migration.
const WARM_UP: Duration = Duration::from_secs(3);

/// How both halves run.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareOptions {
    /// Cluster, load and WAN; without a folder each half has one of its own.
    pub up: UpOptions,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// Disks are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lab compare moves VMs without disks: leave --disk out")]
pub struct WithDisks;

impl CompareOptions {
    /// Refuses what is not compared before anything is started.
    ///
    /// # Errors
    /// [`WithDisks`].
    pub fn check(&self) -> Result<(), WithDisks> {
        match &self.up.disk {
            Some(_) => Err(WithDisks),
            None => Ok(()),
        }
    }
}

/// What came of it.
pub struct Outcome {
    /// Every figure of both.
    pub report: Report,
    /// What must show, and whether it did.
    pub rows: Vec<Verdict>,
    /// What should not have happened, a sentence each.
    pub faults: Vec<String>,
}

/// Makes both halves, one after the other; each lab is gone when its half is over, also when anything
/// fails or the user ends it.
///
/// # Errors
/// What stood in the way. A row that is missed is no error.
pub async fn compare(
    options: &CompareOptions,
    audience: &mut dyn Audience,
) -> Result<Outcome, DemoError> {
    let mut up = options.up.clone();
    if up.folder.is_none() {
        up.folder = Some(own::folder("compare").map_err(PartError::from)?);
    }
    everything_is_here(&up)?;
    let mut report = demo::begin("Ours beside virsh migrate", &up.shaping);
    let mut faults = Vec::new();
    audience.say("Ours");
    let shop = ours(&up, &mut report, &mut faults, audience).await?;
    audience.say("\nToday's way: virsh migrate over a stretched layer 2");
    let accel = report.machine.accelerator.clone();
    let lab = today::up(&up, &shop, &accel, &mut |step| audience.step(step)).await?;
    let moved = tokio::select! {
        moved = theirs(&lab, &mut faults, audience) => moved,
        () = cli::interrupted() => Err(PartError::Interrupted.into()),
    };
    let ended = lab.down().await;
    let seen = moved?;
    ended?;
    report.migrations.extend(seen.migrations);
    report.notes.extend(seen.notes);
    report.notes.extend(differences());
    report.machine.load = machine::bare().load;
    report.figures = judge::figures(&report);
    if let Some(path) = &options.report {
        demo::save(&report, path)?;
    }
    let rows = report.figures.iter().filter_map(of_figure).collect();
    Ok(Outcome {
        report,
        rows,
        faults,
    })
}

/// The second half's programs as well, before the first half takes its minute.
fn everything_is_here(up: &UpOptions) -> Result<(), PartError> {
    let folder = Folder::locate(up.folder.as_deref())?;
    let needs = Needs {
        programs: today::PROGRAMS,
        ..Needs::default()
    };
    let lacking = preflight::check(&folder, &needs, up.exe.as_deref());
    let lacking = lacking.into_iter().next().map(LabError::from);
    lacking.map_or(Ok(()), |lacking| Err(lacking.into()))
}

async fn ours(
    up: &UpOptions,
    report: &mut Report,
    faults: &mut Vec<String>,
    audience: &mut dyn Audience,
) -> Result<Shop, DemoError> {
    let standing = cli::up(up, &mut |step| audience.step(step)).await?;
    let tour = async {
        let mut tour = Tour::begin(&standing, WARM_UP).await?;
        for to in [AWAY, HOME] {
            audience.say(&format!("\nshop goes to {to}"));
            let moved = tour.travel(to, Options::default(), audience).await?;
            if moved.state != State::Arrived {
                faults.push(format!("{} did not arrive: {}", moved.id, moved.message));
                break;
            }
        }
        report.machine = machine::look(&standing.client).await;
        Ok::<Seen, DemoError>(tour.end().await?)
    };
    let seen = tokio::select! {
        seen = tour => seen,
        () = cli::interrupted() => Err(PartError::Interrupted.into()),
    };
    let shop = standing.shop.clone();
    let ended = standing.down().await;
    let seen = seen?;
    ended?;
    report.migrations = seen.migrations;
    report.whole = seen.whole;
    report.notes = seen.notes;
    Ok(shop)
}

async fn theirs(
    lab: &Today,
    faults: &mut Vec<String>,
    audience: &mut dyn Audience,
) -> Result<Seen, DemoError> {
    let mut witness = Witness::begin(
        lab.testbed().boxed(),
        lab.targets(),
        false,
        STREAM_MS,
        WARM_UP,
    )
    .await?;
    let ways = [
        (How::Together, VIRSH_TOGETHER, [HOME, AWAY]),
        (How::InTurn, VIRSH_IN_TURN, [AWAY, HOME]),
    ];
    for (how, word, ends) in ways {
        let manner = measure::sides::title(word);
        audience.say(&format!("\nshop goes to {}: {manner}", ends[1]));
        let moved = witness
            .watch(today::go(lab, word, ends, how, audience))
            .await?;
        if moved.state != State::Arrived {
            faults.push(format!("{manner}: {}", moved.message));
            break;
        }
    }
    let mut seen = witness.end().await?;
    for (migration, (_, word, _)) in seen.migrations.iter_mut().zip(ways) {
        migration.order = word.to_owned();
    }
    Ok(seen)
}

/// What a reader must know to call the comparison fair.
fn differences() -> [String; 2] {
    [
        "Alike: machine, CPU model, memory, kernel, command line and load of the VMs, WAN, probe. \
         Not alike: our QEMUs' main and migration threads go before ordinary processes where the \
         lab was started by root, libvirt's run as libvirt starts them; ours cross Open vSwitch in \
         user space, libvirt's the kernel's bridge and VXLAN, which cost less CPU. virsh migrate \
         has its defaults: no bound on the bandwidth, 300 ms of downtime, no TLS, no compression, \
         and TCP buffers no larger than Linux gives, since QEMU takes for sent what they hold."
            .to_owned(),
        "Rule switch: ours from the first flip order falling due until the last switch has \
         acknowledged; virsh's from the VM's resume until the last of the three sites' switches \
         has learnt the new place."
            .to_owned(),
    ]
}
