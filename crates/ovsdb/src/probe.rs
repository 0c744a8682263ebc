//! Inactivity probe: when to ask the other side whether it lives, and when to give it up.

use std::time::{Duration, Instant};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    /// Nothing before that moment.
    Sleep(Instant),
    /// Send an echo request.
    Echo,
    /// Silence after the echo too: close.
    Dead,
}

/// Asks after `interval` of silence and gives up after another.
#[derive(Debug)]
pub struct Probe {
    interval: Duration,
    heard: Instant,
    asked: Option<Instant>,
}

impl Probe {
    /// Counts from `now`.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            heard: now,
            asked: None,
        }
    }

    /// Any bytes came in.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// What to do at `now`.
    pub fn step(&mut self, now: Instant) -> ProbeStep {
        let since = self.asked.unwrap_or(self.heard);
        // An interval beyond the clock's range means never.
        let Some(due) = since.checked_add(self.interval) else {
            return ProbeStep::Sleep(now + Duration::from_secs(86_400));
        };
        match self.asked {
            _ if now < due => ProbeStep::Sleep(due),
            Some(_) => ProbeStep::Dead,
            None => {
                self.asked = Some(now);
                ProbeStep::Echo
            }
        }
    }
}
