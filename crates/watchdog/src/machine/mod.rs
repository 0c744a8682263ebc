//! What was seen and what is done about it. No I/O and no clock: who runs it tells it what the kernel says, how probes and
//! steps went and what time it is, and does what it asks for.
//!
//! ```text
//! Settled ──(signs of another place)──> Suspecting ──(they last)──> Running: renew, tunnel, names
//!    ^                                                                 │ all done        │ a step failed
//!    └──────(target reached, or none to probe)────── Verifying <───────┘                 v
//!                                                        └──(not reached)──────────> Waiting ──> Running
//! ```

mod seen;
mod told;

pub use seen::{Gateway, Reason, Seen};
pub use told::{Phase, Run, StepTook};

use dns::Waits;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// One thing that is done about another place, in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Ask for an address again.
    Renew,
    /// Restart the tunnel, or give it another end.
    Tunnel,
    /// Update the names.
    Names,
}

/// How patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Signs have to last so long before anything is done.
    pub settle: Duration,
    /// Between probes while all is well; without a target nothing is probed.
    pub probe_every: Option<Duration>,
    /// Between probes after one that failed.
    pub probe_again: Duration,
    /// Probes in a row that have to fail.
    pub fails: u32,
    /// Between runs that did not help.
    pub waits: Waits,
    /// What there is to do.
    pub steps: BTreeSet<Step>,
}

/// What is to be done now; [`Watchdog::probed`] and [`Watchdog::done`] want to know how it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// See whether the target is reached.
    Probe,
    /// Do a step.
    Start(Step),
}

/// The kernel may believe in a gateway that is gone for so long (RFC 4861, section 10: 45 s at most).
const STRANGE: Duration = Duration::from_secs(60);

/// The state machine. Times are since any fixed moment.
#[derive(Debug, Clone)]
pub struct Watchdog {
    tuning: Tuning,
    seen: Option<Seen>,
    /// The gateway's last known Ethernet address: another one at the same address is another place.
    known: Option<(IpAddr, model::Mac)>,
    /// What the steps were done for.
    addresses: BTreeSet<IpAddr>,
    /// Until then the gateway of the place that a run was made for may still become known.
    strange_until: Duration,
    link_lost: bool,
    state: State,
    /// What was noticed during a run, for the next one.
    again: Option<Reason>,
    probing: bool,
    probe_at: Duration,
    failed_probes: u32,
    reached: Option<bool>,
    /// Runs in a row after which the target was not reached, or that failed.
    fruitless: u32,
    runs: u64,
    run: Option<Run>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Settled,
    Suspecting {
        since: Duration,
        at: Duration,
        reason: Reason,
    },
    Running {
        step: Step,
        /// Told to start.
        started: Option<Duration>,
    },
    Verifying,
    Waiting {
        until: Duration,
        from: Step,
        why: String,
        /// All steps were done; only the target does not answer.
        verify: bool,
    },
}

impl Watchdog {
    /// A machine of whose place nothing is known yet.
    pub fn new(tuning: Tuning) -> Self {
        Self {
            tuning,
            seen: None,
            known: None,
            addresses: BTreeSet::new(),
            strange_until: Duration::ZERO,
            link_lost: false,
            state: State::Settled,
            again: None,
            probing: false,
            probe_at: Duration::ZERO,
            failed_probes: 0,
            reached: None,
            fruitless: 0,
            runs: 0,
            run: None,
        }
    }

    /// What the kernel says now of the link, its addresses and the gateway.
    pub fn seen(&mut self, seen: Seen, now: Duration) {
        let first = self.seen.is_none();
        let reason = match first {
            true => self.begin(&seen),
            false => self.compare(&seen, now),
        };
        let recovered = seen
            .gateway
            .as_ref()
            .is_some_and(|gateway| !gateway.failed && gateway.mac.is_some());
        self.seen = Some(seen);
        match reason {
            Some(Reason::Started) => self.suspect_at(Reason::Started, now, now),
            Some(reason) => self.suspect(reason, now),
            // What does not answer for a moment is no other place.
            None if recovered => self.calm(Reason::GatewayGone),
            None => {}
        }
    }

    /// How a probe went.
    pub fn probed(&mut self, reached: bool, now: Duration) {
        if !std::mem::take(&mut self.probing) {
            return;
        }
        self.reached = Some(reached);
        let Some(every) = self.tuning.probe_every else {
            return;
        };
        if reached {
            self.failed_probes = 0;
            self.probe_at = now + every;
            self.calm(Reason::Unreachable);
            self.calm(Reason::GatewayGone);
            match &self.state {
                State::Verifying | State::Waiting { verify: true, .. } => self.settle(now),
                _ => {}
            }
            return;
        }
        self.failed_probes = self.failed_probes.saturating_add(1);
        self.probe_at = now + self.tuning.probe_again.min(every);
        if self.failed_probes < self.tuning.fails {
            return;
        }
        match self.state {
            State::Settled => self.suspect_at(Reason::Unreachable, now, now),
            State::Verifying => {
                let why = "all steps are done, and the target is still not reached".to_owned();
                self.wait(Step::Renew, why, true, now);
            }
            _ => self.probe_at = now + every,
        }
    }

    /// How a step went.
    pub fn done(&mut self, step: Step, outcome: Result<(), String>, now: Duration) {
        let State::Running {
            step: running,
            started: Some(started),
        } = self.state
        else {
            return;
        };
        if running != step {
            return;
        }
        let took_ms = millis(now.saturating_sub(started));
        if let Some(run) = &mut self.run {
            run.steps.push(StepTook {
                step,
                took_ms,
                error: outcome.as_ref().err().cloned(),
            });
        }
        if let Some(seen) = &self.seen {
            // What a step changes is no news.
            self.addresses.clone_from(&seen.addresses);
        }
        match outcome {
            Err(why) => {
                // Another place in the meantime begins all over.
                let from = self.again.take().map_or(step, |_| Step::Renew);
                self.wait(from, why, false, now);
            }
            Ok(()) => match self.after(step) {
                Some(next) => {
                    self.state = State::Running {
                        step: next,
                        started: None,
                    }
                }
                None => self.finish(now),
            },
        }
    }

    /// What is to be done now, if anything. It is asked for once.
    pub fn next(&mut self, now: Duration) -> Option<Do> {
        let up = self.is_up();
        match &self.state {
            State::Suspecting { at, reason, .. } if up && *at <= now => {
                let (reason, since) = (*reason, self.suspected_since());
                self.start(reason, self.first_of(reason), since, now);
            }
            State::Waiting { until, from, .. } if up && *until <= now => {
                let from = *from;
                let reason = self
                    .run
                    .as_ref()
                    .map_or(Reason::Unreachable, |run| run.reason);
                let since = self.run.as_ref().map_or(now, |run| run.noticed);
                self.start(reason, self.at_least(from), since, now);
            }
            _ => {}
        }
        if let State::Running {
            step,
            started: started @ None,
        } = &mut self.state
        {
            *started = Some(now);
            return Some(Do::Start(*step));
        }
        let running = matches!(self.state, State::Running { .. });
        if self.tuning.probe_every.is_some()
            && up
            && !running
            && !self.probing
            && self.probe_at <= now
        {
            self.probing = true;
            return Some(Do::Probe);
        }
        None
    }

    /// When [`Watchdog::next`] may have something that it has not now.
    pub fn wake(&self) -> Option<Duration> {
        if !self.is_up() {
            return None;
        }
        let state = match &self.state {
            State::Running { started: None, .. } => Some(Duration::ZERO),
            State::Running { .. } => return None,
            State::Suspecting { at, .. } => Some(*at),
            State::Waiting { until, .. } => Some(*until),
            State::Settled | State::Verifying => None,
        };
        let probe = (self.tuning.probe_every.is_some() && !self.probing).then_some(self.probe_at);
        state.into_iter().chain(probe).min()
    }

    fn is_up(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.up)
    }

    fn suspected_since(&self) -> Duration {
        match self.state {
            State::Suspecting { since, .. } => since,
            _ => Duration::ZERO,
        }
    }

    /// The first thing that there is to do from a step on; nothing where there is none.
    fn at_least(&self, step: Step) -> Option<Step> {
        self.tuning.steps.range(step..).next().copied()
    }

    fn after(&self, step: Step) -> Option<Step> {
        self.tuning.steps.iter().copied().find(|next| *next > step)
    }

    /// An address that has changed by itself needs no renewal.
    fn first_of(&self, reason: Reason) -> Option<Step> {
        self.at_least(match reason {
            Reason::Started => Step::Names,
            Reason::Address => Step::Tunnel,
            _ => Step::Renew,
        })
    }

    fn start(&mut self, reason: Reason, first: Option<Step>, noticed: Duration, now: Duration) {
        self.runs += 1;
        self.strange_until = match reason {
            Reason::Started | Reason::Address | Reason::GatewayChanged => Duration::ZERO,
            _ => now + STRANGE,
        };
        self.again = None;
        self.run = Some(Run {
            reason,
            noticed,
            started: now,
            ended: None,
            steps: Vec::new(),
        });
        match first {
            Some(step) => {
                self.state = State::Running {
                    step,
                    started: None,
                }
            }
            None => self.finish(now),
        }
    }

    /// All steps of a run are done.
    fn finish(&mut self, now: Duration) {
        if let Some(run) = &mut self.run {
            run.ended = Some(now);
        }
        self.failed_probes = 0;
        match self.again.take() {
            Some(reason) => {
                // It went the wrong way, or was overtaken: not at once again, however often it happens.
                let at = now
                    + self
                        .tuning
                        .waits
                        .after(self.fruitless)
                        .max(self.tuning.settle);
                self.fruitless = self.fruitless.saturating_add(1);
                self.state = State::Suspecting {
                    since: now,
                    at,
                    reason,
                };
            }
            None if self.tuning.probe_every.is_some() => {
                self.state = State::Verifying;
                self.probe_at = now;
            }
            None => self.settle(now),
        }
    }

    fn settle(&mut self, now: Duration) {
        self.fruitless = 0;
        self.state = State::Settled;
        if let Some(run) = &mut self.run {
            run.ended = Some(now);
        }
    }

    fn wait(&mut self, from: Step, why: String, verify: bool, now: Duration) {
        self.fruitless = self.fruitless.saturating_add(1);
        self.failed_probes = 0;
        self.state = State::Waiting {
            until: now + self.tuning.waits.after(self.fruitless),
            from,
            why,
            verify,
        };
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
