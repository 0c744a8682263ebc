//! All accesses together: a packet goes up from its site and down to another.
//!
//! No I/O. Time inside is exact: a packet enters its second shaper at the moment it leaves the
//! first, however late [`Paths::advance`] is called, so the caller's delays do not add up. Callers
//! should therefore offer all packets that arrived before a moment before advancing to it.

use super::shaper::Shaper;
use super::shaping::{Nanos, Shaping};

#[derive(Debug)]
struct Transit<P> {
    to: usize,
    bytes: usize,
    packet: P,
}

/// See the module. Sites are numbers from 0.
#[derive(Debug)]
pub struct Paths<P> {
    up: Vec<Shaper<Transit<P>>>,
    down: Vec<Shaper<P>>,
}

impl<P> Paths<P> {
    /// Accesses for so many sites, all alike; what is random in each follows from the seed.
    pub fn new(sites: usize, shaping: Shaping, seed: u64) -> Self {
        let mut seeds = super::random::Random::new(seed);
        Self {
            up: (0..sites)
                .map(|_| Shaper::new(shaping, seeds.word()))
                .collect(),
            down: (0..sites)
                .map(|_| Shaper::new(shaping, seeds.word()))
                .collect(),
        }
    }

    /// Takes a packet from one site to another. Drops are counted by the accesses.
    pub fn offer(&mut self, now: Nanos, from: usize, to: usize, bytes: usize, packet: P) {
        let _ = self.up[from].offer(now, bytes, Transit { to, bytes, packet });
    }

    /// Moves everything to `now` and hands over what has arrived: its time, its site, the packet.
    pub fn advance(&mut self, now: Nanos, mut arrived: impl FnMut(Nanos, usize, P)) {
        while let Some(site) = self.first_up(now) {
            let Some((at, transit)) = self.up[site].take(now) else {
                break;
            };
            let Transit { to, bytes, packet } = transit;
            let _ = self.down[to].offer(at, bytes, packet);
        }
        for (site, down) in self.down.iter_mut().enumerate() {
            while let Some((at, packet)) = down.take(now) {
                arrived(at, site, packet);
            }
        }
    }

    fn first_up(&self, now: Nanos) -> Option<usize> {
        let times = self
            .up
            .iter()
            .enumerate()
            .filter_map(|(i, up)| Some((up.next()?, i)));
        times
            .min()
            .filter(|(at, _)| *at <= now)
            .map(|(_, site)| site)
    }

    /// No packet arrives before this time, unless more are offered. `None` when none is under way.
    pub fn next(&self) -> Option<Nanos> {
        let down = self.down.iter().filter_map(Shaper::next).min();
        let floor = self.down.iter().map(Shaper::floor).min().unwrap_or(0);
        let up = self
            .up
            .iter()
            .filter_map(Shaper::next)
            .min()
            .map(|at| at + floor);
        match (up, down) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// No packet that is offered from now on arrives sooner than this much later.
    pub fn floor(&self) -> Nanos {
        let least = |floors: &mut dyn Iterator<Item = Nanos>| floors.min().unwrap_or(0);
        least(&mut self.up.iter().map(Shaper::floor))
            + least(&mut self.down.iter().map(Shaper::floor))
    }

    /// Settings and counters from a site.
    pub fn up(&self, site: usize, now: Nanos) -> (Shaping, super::stats::Flow) {
        (*self.up[site].shaping(), self.up[site].flow(now))
    }

    /// Settings and counters to a site.
    pub fn down(&self, site: usize, now: Nanos) -> (Shaping, super::stats::Flow) {
        (*self.down[site].shaping(), self.down[site].flow(now))
    }

    /// Changes what a site's access does from the site.
    pub fn set_up(&mut self, site: usize, now: Nanos, shaping: Shaping) {
        self.up[site].set(now, shaping);
    }

    /// Changes what a site's access does to the site.
    pub fn set_down(&mut self, site: usize, now: Nanos, shaping: Shaping) {
        self.down[site].set(now, shaping);
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.up.iter().all(Shaper::is_idle) && self.down.iter().all(Shaper::is_idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Nanos = 1_000_000;

    fn shaping(delay_ms: f64) -> Shaping {
        Shaping {
            delay_ms,
            rate_mbit: 0.0,
            ..Shaping::default()
        }
    }

    #[test]
    fn a_packet_takes_both_accesses_however_late_it_is_looked_at() {
        let mut paths = Paths::new(3, shaping(7.75), 1);
        paths.offer(0, 0, 2, 100, "hello");
        assert_eq!(paths.next(), Some(15 * MS + MS / 2));
        let mut out = Vec::new();
        paths.advance(500 * MS, |at, site, packet| out.push((at, site, packet)));
        assert_eq!(out, [(15 * MS + MS / 2, 2, "hello")]);
        assert!(paths.is_idle());
    }

    #[test]
    fn two_sites_that_send_to_a_third_share_its_access() {
        let mut paths = Paths::new(3, shaping(0.0), 1);
        paths.set_down(
            2,
            0,
            Shaping {
                rate_mbit: 8.0,
                ..shaping(0.0)
            },
        );
        paths.offer(0, 0, 2, 1000, 'a');
        paths.offer(1, 1, 2, 1000, 'b');
        let mut out = Vec::new();
        paths.advance(10 * MS, |at, _, packet| out.push((at, packet)));
        assert_eq!(out, [(MS, 'a'), (2 * MS, 'b')]);
    }

    proptest! {
        #[test]
        fn nothing_arrives_before_the_announced_time_or_the_floor(
            delays in prop::collection::vec(0.0..20.0f64, 6),
            traffic in prop::collection::vec((0..MS, 0..3usize, 0..3usize), 1..100),
        ) {
            let mut paths = Paths::new(3, shaping(0.0), 1);
            for site in 0..3 {
                paths.set_up(site, 0, shaping(delays[site]));
                paths.set_down(site, 0, shaping(delays[site + 3]));
            }
            let floor = paths.floor();
            let (mut now, mut early, mut count) = (0, false, 0);
            for (gap, from, to) in &traffic {
                now += gap;
                let next = paths.next().unwrap_or(Nanos::MAX);
                paths.advance(now, |at, _, offered: Nanos| {
                    early |= at < next || at < offered + floor;
                    count += 1;
                });
                paths.offer(now, *from, *to, 100, now);
            }
            paths.advance(Nanos::MAX, |_, _, _| count += 1);
            prop_assert!(!early);
            prop_assert_eq!(count, traffic.len());
        }
    }
}
