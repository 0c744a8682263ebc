//! What is done to a migration.

use super::Bed;
use crate::boxed::Program;
use crate::demo::DemoError;
use crate::parts::PartError;
use crate::testbed::LabError;
use crate::wan::{Change, Shaping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// A program that was killed is started again after this, as its supervisor would.
const AGAIN: Duration = Duration::from_millis(300);
/// A program that was killed is gone within this.
const GONE: Duration = Duration::from_secs(10);
/// Whose QEMU is killed.
const VICTIM: &str = "shop-1";

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the controller; it is started again.
    Controller,
    /// Of the source's agent.
    SourceAgent,
    /// Of the target's agent.
    TargetAgent,
    /// Of the source's QEMU of one VM: that VM is gone.
    SourceQemu,
    /// Of the target's QEMU of one VM.
    TargetQemu,
    /// Of the source's ovs-vswitchd.
    SourceSwitch,
    /// Of the target's ovs-vswitchd.
    TargetSwitch,
    /// Nothing crosses the WAN for so many seconds.
    Cut(u32),
}

impl Fault {
    /// Every kill.
    pub const KILLS: [Self; 7] = [
        Self::Controller,
        Self::SourceAgent,
        Self::TargetAgent,
        Self::SourceSwitch,
        Self::TargetSwitch,
        Self::TargetQemu,
        Self::SourceQemu,
    ];

    /// The cuts that are tried.
    pub const CUTS: [Self; 3] = [Self::Cut(1), Self::Cut(10), Self::Cut(60)];

    /// The VM that it may take with it.
    pub fn takes_a_vm(self) -> Option<&'static str> {
        matches!(self, Self::SourceQemu | Self::TargetQemu).then_some(VICTIM)
    }

    /// Does it, and puts right what a supervisor would.
    pub(super) async fn strike(self, bed: &Bed, from: &str, to: &str) -> Result<(), DemoError> {
        match self {
            Self::Controller => restart(bed, "controller").await,
            Self::SourceAgent => restart(bed, &format!("agent-{from}")).await,
            Self::TargetAgent => restart(bed, &format!("agent-{to}")).await,
            Self::SourceQemu => end_process(bed, from, is_vm),
            Self::TargetQemu => end_process(bed, to, is_vm),
            Self::SourceSwitch => end_process(bed, from, is_switch),
            Self::TargetSwitch => end_process(bed, to, is_switch),
            Self::Cut(seconds) => cut(bed, seconds).await,
        }
    }
}

fn is_vm(words: &[&str]) -> bool {
    words.contains(&format!("{}.{VICTIM}", crate::shop::NAME).as_str())
}

fn is_switch(words: &[&str]) -> bool {
    words
        .first()
        .is_some_and(|program| program.ends_with("ovs-vswitchd"))
}

async fn restart(bed: &Bed, name: &str) -> Result<(), DemoError> {
    let boxed = bed.standing.testbed.boxed();
    let lab = |error| PartError::from(LabError::from(error));
    boxed.kill(name, Signal::SIGKILL).map_err(lab)?;
    tokio::time::sleep(AGAIN).await;
    let since = Instant::now();
    loop {
        let status = boxed.status().map_err(lab)?;
        let Some(it) = status.processes.iter().find(|it| it.name == name) else {
            return Ok(());
        };
        if !it.is_alive() {
            let netns = it.netns.clone().unwrap_or_default();
            let program = Program::new(&netns, it.argv.clone());
            boxed.spawn(name, &program).map_err(lab)?;
            return Ok(());
        }
        if since.elapsed() > GONE {
            return Err(PartError::Slow {
                what: format!("{name} does not end"),
                seconds: GONE.as_secs(),
                said: "look at the machine's load".to_owned(),
            }
            .into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills the processes of a site of this lab whose words are wanted. None is fine: at some stages there
/// is none.
fn end_process(bed: &Bed, site: &str, wanted: impl Fn(&[&str]) -> bool) -> Result<(), DemoError> {
    let place = format!(
        "{}/sites/{site}/",
        bed.standing.testbed.folder().path().display()
    );
    for process in bed.standing.testbed.boxed().outside_pids() {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid));
        let line = line.unwrap_or_default();
        let words: Vec<&str> = line.split('\0').collect();
        if line.contains(&place) && wanted(&words) {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }
    Ok(())
}

async fn cut(bed: &Bed, seconds: u32) -> Result<(), DemoError> {
    let lab = |error| PartError::from(LabError::from(error));
    let mut wan = bed.standing.testbed.wan().map_err(PartError::from)?;
    let nothing = Shaping {
        loss: 1.0,
        ..Shaping::default()
    };
    wan.set(&Change::all_to(&nothing)).map_err(lab)?;
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    wan.set(&Change::all_to(&Shaping::default())).map_err(lab)?;
    Ok(())
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Controller => f.write_str("controller"),
            Self::SourceAgent => f.write_str("source agent"),
            Self::TargetAgent => f.write_str("target agent"),
            Self::SourceQemu => f.write_str("source QEMU"),
            Self::TargetQemu => f.write_str("target QEMU"),
            Self::SourceSwitch => f.write_str("source switch"),
            Self::TargetSwitch => f.write_str("target switch"),
            Self::Cut(seconds) => write!(f, "WAN cut {seconds} s"),
        }
    }
}
