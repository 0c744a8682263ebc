//! What the watchdog shows: a file that it writes anew at each change.

use crate::machine::{Phase, Reason, Seen, StepTook, Watchdog};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The interface that is watched.
    pub interface: String,
    /// Where it stands.
    pub phase: Phase,
    /// What it does and why, in one sentence.
    pub message: String,
    /// Since when, ms since the Unix epoch.
    pub since_unix_ms: u64,
    /// The link, its addresses and the gateway.
    pub place: Option<Seen>,
    /// Whether the target was reached by the last probe; nothing without target.
    pub reached: Option<bool>,
    /// How many runs there were since it started.
    pub runs: u64,
    /// The last run.
    pub last: Option<LastRun>,
}

/// The last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Why.
    pub reason: Reason,
    /// From the first sign to the first step, ms.
    pub waited_ms: u64,
    /// From the first sign to its end, ms; nothing while it is under way.
    pub took_ms: Option<u64>,
    /// What was done.
    pub steps: Vec<StepTook>,
}

impl Status {
    /// How a machine stands.
    pub fn of(dog: &Watchdog, interface: &str, since_unix_ms: u64) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let last = dog.last_run().map(|run| LastRun {
            reason: run.reason,
            waited_ms: ms(run.started.saturating_sub(run.noticed)),
            took_ms: run.ended.map(|ended| ms(ended.saturating_sub(run.noticed))),
            steps: run.steps.clone(),
        });
        Self {
            interface: interface.to_owned(),
            phase: dog.phase(),
            message: dog.sentence(),
            since_unix_ms,
            place: dog.place().cloned(),
            reached: dog.reached(),
            runs: dog.runs(),
            last,
        }
    }

    /// Reads what a watchdog has written.
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub fn read(file: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&new, file)
    }
}
