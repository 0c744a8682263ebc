//! Whether the peer lives.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    dead_after: Duration,
    heard: Instant,
    asked: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Ask whether it lives.
    Probe,
    Dead,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, dead_after: Duration, now: Instant) -> Self {
        Self {
            interval,
            dead_after,
            heard: now,
            asked: false,
        }
    }

    /// Anything at all came from the peer.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// Before the hello nothing can be asked, only waited.
    pub(super) fn next(&self, ready: bool) -> Instant {
        self.heard
            + if self.asked || !ready {
                self.dead_after
            } else {
                self.interval
            }
    }

    pub(super) fn check(&mut self, now: Instant, ready: bool) -> Verdict {
        let silence = now.saturating_duration_since(self.heard);
        if silence >= self.dead_after {
            Verdict::Dead
        } else if ready && !self.asked && silence >= self.interval {
            self.asked = true;
            Verdict::Probe
        } else {
            Verdict::Fine
        }
    }
}
