//! What the machine tells of itself.

use super::{Reason, Seen, State, Step, Watchdog};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The link is down: nothing can be done.
    NoLink,
    /// All is well.
    Settled,
    /// Signs of another place are waited out.
    Suspecting,
    /// A step is under way.
    Running,
    /// All steps are done; the target is probed.
    Verifying,
    /// It did not help; it is tried again later.
    Waiting,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTook {
    /// Which.
    pub step: Step,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// One run through the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Why.
    pub reason: Reason,
    /// When the first sign was seen.
    pub noticed: Duration,
    /// When its first step began.
    pub started: Duration,
    /// When all was well again, or its last step ended; none while it is under way.
    pub ended: Option<Duration>,
    /// What was done.
    pub steps: Vec<StepTook>,
}

impl Watchdog {
    /// Where it stands.
    pub fn phase(&self) -> Phase {
        if !self.is_up() {
            return Phase::NoLink;
        }
        match self.state {
            State::Settled => Phase::Settled,
            State::Suspecting { .. } => Phase::Suspecting,
            State::Running { .. } => Phase::Running,
            State::Verifying => Phase::Verifying,
            State::Waiting { .. } => Phase::Waiting,
        }
    }

    /// What it does and why, in one sentence.
    pub fn sentence(&self) -> String {
        if !self.is_up() {
            return "the link is down".to_owned();
        }
        match &self.state {
            State::Settled => "all is well".to_owned(),
            State::Suspecting { reason, .. } => {
                format!("perhaps another place: {}", reason.sentence())
            }
            State::Running { step, .. } => {
                let what = match step {
                    Step::Renew => "the address is renewed",
                    Step::Tunnel => "the tunnel is made anew",
                    Step::Names => "the names are updated",
                };
                let why = self.run.as_ref().map_or("", |run| run.reason.sentence());
                format!("{what}, because {why}")
            }
            State::Verifying => "all steps are done, the target is probed".to_owned(),
            State::Waiting { why, .. } => format!("it is tried again later: {why}"),
        }
    }

    /// The kernel's last news.
    pub fn place(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Whether the target was reached by the last probe.
    pub fn reached(&self) -> Option<bool> {
        self.reached
    }

    /// How many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// The last run, also one under way.
    pub fn last_run(&self) -> Option<&Run> {
        self.run.as_ref()
    }
}
