//! What a host's switch alone takes: link, update, the death of an uplink. Measured by `ovs` itself
//! on switches in namespaces of their own, which need a box around them where the caller is not
//! root; so our own binary runs once inside and writes its figures as JSON.

use super::{Measured, at_most, figure};
use crate::boxed::{Program, SELF_EXE, netns_path};
use crate::cli::{self, UpOptions};
use crate::demo::DemoError;
use crate::parts::PartError;
use crate::preflight::Needs;
use crate::testbed::{self, LabError, Options, Testbed};
use measure::report::Figure;
use model::Encap;
use ovs::Netns;
use ovs::bench::stage::Plan;
use ovs::bench::stream::Stream;
use ovs::bench::{Stage, failover, linking, updating};
use ovs::config::BondMode;
use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const INSIDE_COMMAND: &str = "__lab-bench";

const LINK: &str = "link";
const UPDATE: &str = "update";
const BOND: &str = "bond";
const STREAM: &str = "stream";

const PAIRINGS: u32 = 10;
pub(super) const UPDATES: u32 = 100;
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// What a switch needs of the host; no VMs here.
const PROGRAMS: &[&str] = &["ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd"];

/// Pairings, ms.
pub(super) async fn link(up: &UpOptions) -> Result<Vec<f64>, DemoError> {
    let [pairings] = inside(up, LINK).await?;
    Ok(pairings)
}

/// Updates, ms, and the packets that were lost meanwhile.
pub(super) async fn update(up: &UpOptions) -> Result<[Vec<f64>; 2], DemoError> {
    inside(up, UPDATE).await
}

/// Sends a packet a millisecond in a standing lab, from one site to an address that others have;
/// gives how many were lost.
pub(super) async fn stream(
    testbed: Testbed,
    from: &str,
    to: &[&str],
    ends: [SocketAddr; 2],
    lasts: Duration,
) -> Result<u64, DemoError> {
    let mut argv = vec![
        SELF_EXE.to_owned(),
        INSIDE_COMMAND.to_owned(),
        STREAM.to_owned(),
    ];
    argv.extend(ends.map(|end| end.to_string()));
    argv.push(lasts.as_millis().to_string());
    argv.push(from.to_owned());
    argv.extend(to.iter().map(|site| (*site).to_owned()));
    let program = Program {
        argv,
        urgent: true,
        ..Program::default()
    };
    let run = move || testbed.boxed().run(&program).map_err(LabError::from);
    let said = tokio::task::spawn_blocking(run)
        .await
        .map_err(|_| PartError::Interrupted)?
        .map_err(PartError::from)?;
    match serde_json::from_str::<Vec<Vec<f64>>>(&said).as_deref() {
        Ok([figures]) if !figures.is_empty() => Ok(figures[0] as u64),
        _ => Err(PartError::Garbled { what: STREAM, said }.into()),
    }
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
        (Ok(runtime), Some(STREAM)) => match Streaming::read(&args[1..]) {
            Some(what) => run(&runtime, what.measure()),
            None => Err("two ends, a time and sites are needed".to_owned()),
        },
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

/// What a stream runs between.
struct Streaming {
    ends: [SocketAddr; 2],
    lasts: Duration,
    sites: Vec<PathBuf>,
}

impl Streaming {
    /// Two ends, milliseconds, the sender's site and the receivers'.
    fn read(args: &[OsString]) -> Option<Self> {
        let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
        let [from, to, lasts, sites @ ..] = words.as_slice() else {
            return None;
        };
        Some(Self {
            ends: [from.parse().ok()?, to.parse().ok()?],
            lasts: Duration::from_millis(lasts.parse().ok()?),
            sites: sites.iter().map(|site| netns_path(site)).collect(),
        })
    }

    async fn measure(self) -> Result<Vec<Vec<f64>>, ovs::Error> {
        let all: Result<Vec<_>, _> = self.sites.iter().map(|path| Netns::open(path)).collect();
        let all = all?;
        let Some((sender, sinks)) = all.split_first() else {
            return Ok(Vec::new());
        };
        let sinks: Vec<&Netns> = sinks.iter().collect();
        let [from, to] = self.ends;
        let from = SocketAddr::new(from.ip(), 0);
        let every = Duration::from_millis(1);
        let stream = Stream::start_to_many((sender, from), &sinks, to, every).await?;
        tokio::time::sleep(self.lasts).await;
        let outcome = stream.stop().await?;
        Ok(vec![vec![outcome.lost as f64, outcome.sent as f64]])
    }
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
