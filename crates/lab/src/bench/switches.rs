//! What a host's switch alone takes: link, update, the death of an uplink. Measured by `ovs` itself
//! on switches in namespaces of their own, which need a box around them where the caller is not
//! root; so our own binary runs once inside and writes its figures as JSON.

use super::{Measured, at_most, figure};
use crate::boxed::{Program, SELF_EXE};
use crate::cli::{self, UpOptions};
use crate::demo::DemoError;
use crate::parts::PartError;
use crate::preflight::Needs;
use crate::testbed::{self, LabError, Options, Testbed};
use measure::report::Figure;
use model::Encap;
use ovs::bench::stage::Plan;
use ovs::bench::{Stage, failover, linking, updating};
use ovs::config::BondMode;
use std::ffi::OsString;
use std::future::Future;
use std::time::Duration;

pub(crate) const INSIDE_COMMAND: &str = "__lab-bench";

const LINK: &str = "link";
const UPDATE: &str = "update";
const BOND: &str = "bond";

const PAIRINGS: u32 = 10;
const UPDATES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// What a switch needs of the host; no VMs here.
const PROGRAMS: &[&str] = &["ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd"];

pub(super) async fn link(up: &UpOptions) -> Result<Measured, DemoError> {
    let [pairings] = inside(up, LINK).await?;
    Ok(Measured {
        link_ms: pairings,
        ..Measured::default()
    })
}

pub(super) async fn update(up: &UpOptions) -> Result<Measured, DemoError> {
    let [updates, lost] = inside(up, UPDATE).await?;
    let what = format!("packets lost in {UPDATES} updates under a 1 ms stream");
    Ok(Measured {
        update_ms: updates,
        figures: vec![figure(&what, "packets", lost, at_most(None, Some(0.0)))],
        ..Measured::default()
    })
}

pub(super) async fn bond(up: &UpOptions) -> Result<Measured, DemoError> {
    let [gaps] = inside(up, BOND).await?;
    Ok(Measured {
        figures: vec![Figure {
            note: "1 ms streams in both directions; either uplink".to_owned(),
            ..figure(
                "gap when an uplink dies",
                "ms",
                gaps,
                at_most(None, Some(30.0)),
            )
        }],
        ..Measured::default()
    })
}

/// Runs one of the measurements in a box of its own.
async fn inside<const N: usize>(
    up: &UpOptions,
    what: &'static str,
) -> Result<[Vec<f64>; N], DemoError> {
    let (up, folder) = (up.clone(), up.folder.clone());
    let run = move || -> Result<String, PartError> {
        let testbed = Testbed::up(&Options {
            folder: up.folder.as_deref(),
            needs: Needs {
                programs: PROGRAMS,
                ..Needs::default()
            },
            exe: up.exe.clone(),
            ..Options::default()
        })?;
        let program = Program {
            argv: [SELF_EXE, INSIDE_COMMAND, what].map(str::to_owned).into(),
            ..Program::default()
        };
        let said = testbed.boxed().run(&program);
        testbed::down(up.folder.as_deref())?;
        Ok(said.map_err(LabError::from)?)
    };
    let mut running = tokio::task::spawn_blocking(run);
    let said = tokio::select! {
        said = &mut running => said.map_err(|_| PartError::Interrupted)??,
        () = cli::interrupted() => {
            // The box's end ends what runs in it; only then is nothing left behind.
            let ended = tokio::task::spawn_blocking(move || testbed::down(folder.as_deref()));
            let _ = tokio::join!(ended, running);
            return Err(PartError::Interrupted.into());
        }
    };
    let figures: Vec<Vec<f64>> = serde_json::from_str(&said).unwrap_or_default();
    figures
        .try_into()
        .map_err(|_| PartError::Garbled { what, said }.into())
}

/// The hidden subcommand: the measurement's name; figures on standard output; the exit code.
pub(crate) fn inside_main(args: &[OsString]) -> i32 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match (runtime, args.first().and_then(|name| name.to_str())) {
        (Err(e), _) => Err(e.to_string()),
        (Ok(runtime), Some(LINK)) => run(&runtime, links()),
        (Ok(runtime), Some(UPDATE)) => run(&runtime, updates()),
        (Ok(runtime), Some(BOND)) => run(&runtime, failovers()),
        (Ok(_), _) => Err("the name of a measurement is needed".to_owned()),
    };
    match done {
        Ok(figures) => {
            println!("{figures}");
            0
        }
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}

fn run(
    runtime: &tokio::runtime::Runtime,
    measurement: impl Future<Output = Result<Vec<Vec<f64>>, ovs::Error>>,
) -> Result<String, String> {
    let figures = runtime.block_on(measurement).map_err(|e| e.to_string())?;
    serde_json::to_string(&figures).map_err(|e| e.to_string())
}

async fn links() -> Result<Vec<Vec<f64>>, ovs::Error> {
    let stage = Stage::build(Plan::default()).await?;
    Ok(vec![
        linking(&stage, PAIRINGS, Encap::Vxlan).await?.pairing_ms,
    ])
}

async fn updates() -> Result<Vec<Vec<f64>>, ovs::Error> {
    let stage = Stage::build(Plan {
        hosts: 3,
        ..Plan::default()
    })
    .await?;
    let seen = updating(&stage, UPDATES, PAUSE, Encap::Vxlan).await?;
    Ok(vec![seen.rule_switch_ms, vec![seen.stream.lost as f64]])
}

async fn failovers() -> Result<Vec<Vec<f64>>, ovs::Error> {
    let stage = Stage::build(Plan {
        uplinks: 2,
        bond: BondMode::ActiveBackup,
        ..Plan::default()
    })
    .await?;
    let mut gaps = Vec::new();
    for uplink in [0, 1] {
        let cost = failover(&stage, uplink, Encap::Vxlan).await?;
        gaps.extend([cost.outward.longest_gap_ms, cost.inward.longest_gap_ms]);
    }
    Ok(vec![gaps])
}
