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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Nanos = 1_000_000;

    fn shaping(delay_ms: f64, jitter_ms: f64, rate_mbit: f64) -> Shaping {
        Shaping {
            delay_ms,
            jitter_ms,
            rate_mbit,
            loss: 0.0,
            queue_ms: 100.0,
        }
    }

    fn any_shaping() -> impl Strategy<Value = Shaping> {
        let rate = prop_oneof![Just(0.0), 0.1..2000.0];
        (0.0..100.0, 0.0..100.0, rate, 0.0..1.0, 0.0..200.0).prop_map(
            |(delay_ms, jitter_ms, rate_mbit, loss, queue_ms)| Shaping {
                delay_ms,
                jitter_ms,
                rate_mbit,
                loss,
                queue_ms,
            },
        )
    }

    /// Distances in time and sizes of packets.
    fn any_traffic() -> impl Strategy<Value = Vec<(Nanos, usize)>> {
        prop::collection::vec((0..3 * MS, 60..1600usize), 1..300)
    }

    fn drain<P>(shaper: &mut Shaper<P>) -> Vec<(Nanos, P)> {
        std::iter::from_fn(|| shaper.take(Nanos::MAX)).collect()
    }

    #[test]
    fn a_lone_packet_takes_the_time_on_the_line_and_the_delay() {
        let mut shaper = Shaper::new(shaping(10.0, 0.0, 8.0), 0);
        // 1000 bytes at 8 Mbit/s are 1 ms.
        assert_eq!(shaper.offer(5 * MS, 1000, ()), Ok(16 * MS));
        assert_eq!(shaper.next(), Some(16 * MS));
        assert_eq!(shaper.take(16 * MS - 1), None);
        assert_eq!(shaper.take(16 * MS), Some((16 * MS, ())));
        assert!(shaper.is_idle());
    }

    #[test]
    fn a_full_queue_drops_at_the_tail_and_an_empty_one_takes_anything() {
        let mut shaper = Shaper::new(
            Shaping {
                queue_ms: 0.0,
                ..shaping(0.0, 0.0, 8.0)
            },
            0,
        );
        assert!(shaper.offer(0, 100_000, ()).is_ok());
        assert_eq!(shaper.offer(0, 1, ()), Err(Dropped::Queue));
        assert!(shaper.offer(100 * MS, 1, ()).is_ok());
        assert_eq!(shaper.flow(0).dropped_queue, 1);
    }

    #[test]
    fn jitter_spreads_over_its_whole_range_when_packets_are_far_apart() {
        let mut shaper = Shaper::new(shaping(10.0, 5.0, 0.0), 7);
        let mut delays: Vec<Nanos> = (0..10_000u64)
            .map(|n| {
                let at = n * 100 * MS;
                shaper.offer(at, 100, ()).unwrap() - at
            })
            .collect();
        delays.sort_unstable();
        let within = |at: Nanos, want: Nanos| at.abs_diff(want) < MS / 4;
        assert!(delays[0] >= 5 * MS && *delays.last().unwrap() <= 15 * MS);
        for (share, want) in [(0, 5), (2_500, 7), (5_000, 10), (9_999, 15)] {
            let want = if share == 2_500 {
                want * MS + MS / 2
            } else {
                want * MS
            };
            assert!(within(delays[share], want), "{share} {}", delays[share]);
        }
    }

    #[test]
    fn a_new_rate_holds_at_once_for_what_waits() {
        let mut shaper = Shaper::new(shaping(1.0, 0.0, 8.0), 0);
        for n in 0..10 {
            shaper.offer(0, 1000, n).unwrap();
        }
        // 2.5 packets are on the line; 7.5 ms of work become 0.75 ms.
        shaper.set(5 * MS / 2, shaping(1.0, 0.0, 80.0));
        let out: Vec<Nanos> = drain(&mut shaper).into_iter().map(|(at, _)| at).collect();
        assert_eq!(out[..2], [2 * MS, 3 * MS]);
        assert_eq!(out[9], 5 * MS / 2 + 750_000 + MS);
    }

    proptest! {
        #[test]
        fn packets_never_overtake_and_never_leave_before_the_least_delay(
            shaping in any_shaping(), traffic in any_traffic(), seed: u64
        ) {
            let mut shaper = Shaper::new(shaping, seed);
            let mut now = 0;
            let mut arrivals = Vec::new();
            for (n, (gap, bytes)) in traffic.iter().enumerate() {
                now += gap;
                arrivals.push(now);
                let _ = shaper.offer(now, *bytes, n);
            }
            let mut last = (0, None);
            for (at, n) in drain(&mut shaper) {
                prop_assert!(at >= last.0 && Some(n) > last.1);
                prop_assert!(at >= arrivals[n] + shaper.floor());
                last = (at, Some(n));
            }
        }

        #[test]
        fn the_line_never_carries_more_than_its_rate(
            traffic in any_traffic(), rate in 0.5..500.0f64, seed: u64
        ) {
            let mut shaper = Shaper::new(shaping(0.0, 0.0, rate), seed);
            let mut now = 0;
            for (gap, bytes) in &traffic {
                now += gap;
                let _ = shaper.offer(now, *bytes, *bytes);
            }
            let out = drain(&mut shaper);
            // From the end of the first packet to the end of the last, all behind the first.
            let bits: f64 = out.iter().skip(1).map(|(_, bytes)| *bytes as f64 * 8.0).sum();
            if let (Some(first), Some(last)) = (out.first(), out.last()) {
                let most = (last.0 - first.0) as f64 * rate / 1000.0;
                // A nanosecond a packet is lost to rounding.
                prop_assert!(bits <= most + out.len() as f64 * rate / 1000.0 + 1.0);
            }
        }

        #[test]
        fn what_waits_never_exceeds_the_bound(
            traffic in any_traffic(), queue_ms in 0.0..50.0f64, rate in 0.5..500.0f64
        ) {
            let shaping = Shaping { queue_ms, ..shaping(3.0, 0.0, rate) };
            let mut shaper = Shaper::new(shaping, 1);
            let mut now = 0;
            for (gap, bytes) in &traffic {
                now += gap;
                let alone = shaper.flow(now).backlog_ms == 0.0;
                let taken = shaper.offer(now, *bytes, ()).is_ok();
                let waiting = shaper.flow(now).backlog_ms;
                prop_assert!(!alone || taken, "an empty queue refused a packet");
                prop_assert!(alone || !taken || waiting <= queue_ms + 1e-6);
            }
        }

        #[test]
        fn counters_account_for_every_packet(
            shaping in any_shaping(), traffic in any_traffic(), seed: u64
        ) {
            let mut shaper = Shaper::new(shaping, seed);
            let mut now = 0;
            for (gap, bytes) in &traffic {
                now += gap;
                let _ = shaper.offer(now, *bytes, ());
            }
            let before = shaper.flow(now);
            let dropped = before.dropped_queue + before.dropped_loss;
            prop_assert_eq!(dropped + before.under_way, traffic.len() as u64);
            drain(&mut shaper);
            let after = shaper.flow(now);
            prop_assert_eq!((after.packets, after.under_way), (before.under_way, 0));
        }

        #[test]
        fn loss_is_what_was_asked_for_and_follows_from_the_seed(loss in 0.0..1.0f64, seed: u64) {
            let lost = || {
                let shaping = Shaping { loss, ..shaping(0.0, 0.0, 0.0) };
                let mut shaper = Shaper::new(shaping, seed);
                (0..4000).map(|n| shaper.offer(n, 100, ()).is_err()).collect::<Vec<_>>()
            };
            let first = lost();
            prop_assert_eq!(&first, &lost());
            let count = first.iter().filter(|l| **l).count() as f64;
            // Six standard deviations of a binomial distribution.
            let spread = (4000.0 * loss * (1.0 - loss)).sqrt() * 6.0 + 1.0;
            prop_assert!((count - 4000.0 * loss).abs() < spread, "{} of 4000 at {}", count, loss);
        }

        #[test]
        fn changes_at_any_moment_keep_the_order_and_lose_nothing(
            traffic in any_traffic(), changes in prop::collection::vec(any_shaping(), 1..10)
        ) {
            let mut shaper = Shaper::new(shaping(5.0, 2.0, 10.0), 3);
            let (mut now, mut taken, mut out) = (0, 0, Vec::new());
            for (n, (gap, bytes)) in traffic.iter().enumerate() {
                now += gap;
                taken += usize::from(shaper.offer(now, *bytes, n).is_ok());
                if n % 7 == 3 {
                    shaper.set(now, changes[n % changes.len()]);
                }
                out.extend(std::iter::from_fn(|| shaper.take(now)));
            }
            out.extend(drain(&mut shaper));
            prop_assert_eq!(out.len(), taken);
            prop_assert!(out.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1));
        }
    }
}
