//! One direction of one access: a line with a rate and a bounded queue, then loss, then delay.
//!
//! No I/O and no clock: a packet and the time go in, its departure time or the reason for its drop
//! comes out. The line is a virtual clock (the time at which it will be free), so nothing here runs
//! by itself.

use std::collections::VecDeque;

use super::random::Random;
use super::shaping::{Nanos, Shaping};
use super::stats::Flow;

/// Why a packet is dropped here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Too much waits for the line.
    Queue,
    /// Lost on the line.
    Loss,
}

#[derive(Debug)]
struct Entry<P> {
    packet: P,
    bytes: usize,
    /// When its last bit is on the line.
    sent: Nanos,
    /// What it takes from there.
    delay: Nanos,
    /// When it arrives: `sent + delay`, or with its predecessor if that is later.
    out: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct Shaper<P> {
    shaping: Shaping,
    random: Random,
    under_way: VecDeque<Entry<P>>,
    line_free: Nanos,
    last_in: Nanos,
    last_out: Nanos,
    flow: Flow,
}

impl<P> Shaper<P> {
    /// A shaper whose loss and jitter follow from the seed.
    pub fn new(shaping: Shaping, seed: u64) -> Self {
        Self {
            shaping,
            random: Random::new(seed),
            under_way: VecDeque::new(),
            line_free: 0,
            last_in: 0,
            last_out: 0,
            flow: Flow::default(),
        }
    }

    /// Takes a packet that arrives now. Returns its departure time. A time before that of an earlier
    /// call is taken as that.
    pub fn offer(&mut self, now: Nanos, bytes: usize, packet: P) -> Result<Nanos, Dropped> {
        let now = now.max(self.last_in);
        self.last_in = now;
        let waiting = self.line_free.saturating_sub(now);
        let line_time = self.shaping.line_time(bytes);
        if waiting > 0 && waiting + line_time > self.shaping.queue() {
            self.flow.dropped_queue += 1;
            return Err(Dropped::Queue);
        }
        let sent = self.line_free.max(now) + line_time;
        self.line_free = sent;
        // Drawn for every packet, lost or not: the sequence depends on the seed alone.
        let (luck, sway) = (self.random.unit(), self.random.unit());
        if luck < self.shaping.loss {
            self.flow.dropped_loss += 1;
            return Err(Dropped::Loss);
        }
        let delay = self.sway(sway);
        let out = (sent + delay).max(self.last_out);
        self.last_out = out;
        self.under_way.push_back(Entry {
            packet,
            bytes,
            sent,
            delay,
            out,
        });
        Ok(out)
    }

    fn sway(&self, unit: f64) -> Nanos {
        let jitter = self.shaping.jitter();
        let least = self.shaping.delay().saturating_sub(jitter);
        let most = self.shaping.delay() + jitter;
        least + (unit * (most - least) as f64) as Nanos
    }

    /// When the next packet departs.
    pub fn next(&self) -> Option<Nanos> {
        self.under_way.front().map(|entry| entry.out)
    }

    /// The next packet, when its time has come; with that time.
    pub fn take(&mut self, now: Nanos) -> Option<(Nanos, P)> {
        let entry = self.under_way.pop_front_if(|entry| entry.out <= now)?;
        self.flow.packets += 1;
        self.flow.bytes += entry.bytes as u64;
        Some((entry.out, entry.packet))
    }

    /// The shaping in force.
    pub fn shaping(&self) -> &Shaping {
        &self.shaping
    }

    /// Changes the shaping; see [`super::Change`] for what that means for packets under way.
    pub fn set(&mut self, now: Nanos, shaping: Shaping) {
        let old = std::mem::replace(&mut self.shaping, shaping);
        if old.rate_mbit == shaping.rate_mbit {
            return;
        }
        // What is not on the line yet takes its share of the old time at the new rate.
        let scale = match shaping.rate_mbit > 0.0 {
            true => old.rate_mbit / shaping.rate_mbit,
            false => 0.0,
        };
        let scaled = |at: Nanos| match at.checked_sub(now) {
            Some(left) => now + (left as f64 * scale) as Nanos,
            None => at,
        };
        self.line_free = scaled(self.line_free);
        let mut previous = 0;
        for entry in &mut self.under_way {
            entry.sent = scaled(entry.sent);
            entry.out = (entry.sent + entry.delay).max(previous);
            previous = entry.out;
        }
        self.last_out = previous;
    }

    /// Least time from arrival to departure.
    pub fn floor(&self) -> Nanos {
        self.shaping.delay().saturating_sub(self.shaping.jitter())
    }

    /// Counters, and what waits now.
    pub fn flow(&self, now: Nanos) -> Flow {
        let waiting = self.line_free.saturating_sub(now);
        Flow {
            backlog_ms: waiting as f64 / super::shaping::NANOS_PER_MS,
            backlog_bytes: (waiting as f64 * self.shaping.rate_mbit / 8000.0) as u64,
            under_way: self.under_way.len() as u64,
            ..self.flow.clone()
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}
