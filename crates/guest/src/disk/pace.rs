//! When the next write is due. Time comes in from outside; after a hold-up at most 100 ms are made
//! up for.

const SECOND: u64 = 1_000_000_000;

/// Counts what is due since the rate was last changed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    rate: u32,
    since: u64,
    done: u64,
}

impl Pace {
    /// Time until the next write in ns; 0 is now, and counts it as done. None with a rate of 0.
    pub(crate) fn next(&mut self, rate: u32, now: u64) -> Option<u64> {
        if rate != self.rate {
            *self = Pace {
                rate,
                since: now,
                done: 0,
            };
        }
        if rate == 0 {
            return None;
        }
        let rate = u64::from(rate);
        let at = self.since + (self.done + 1) * SECOND / rate;
        if now < at {
            return Some(at - now);
        }
        let due = (now - self.since).saturating_mul(rate) / SECOND;
        if due > self.done + rate.div_ceil(10) {
            self.since = now;
            self.done = 0;
        } else {
            self.done += 1;
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes in `seconds` of which each takes `takes` ns.
    fn writes(rate: u32, seconds: u64, takes: u64) -> u64 {
        let (mut pace, mut now, mut count) = (Pace::default(), 5, 0);
        while now <= seconds * SECOND + 5 {
            match pace.next(rate, now) {
                Some(0) => {
                    count += 1;
                    now += takes;
                }
                Some(ns) => now += ns,
                None => return 0,
            }
        }
        count
    }

    #[test]
    fn the_rate_is_kept_whether_writes_are_quick_or_slow() {
        assert_eq!(writes(100, 10, 0), 1000);
        assert_eq!(writes(100, 10, 9_000_000), 1000);
        assert_eq!(writes(0, 10, 0), 0);
    }

    #[test]
    fn a_disk_that_is_too_slow_is_kept_busy() {
        assert!((199..=201).contains(&writes(100, 10, 50_000_000)));
    }

    #[test]
    fn after_a_hold_up_a_tenth_of_a_second_is_made_up_for_and_no_more() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(100, 0), Some(10_000_000));
        let mut at_once = 0;
        while pace.next(100, 60 * SECOND) == Some(0) {
            at_once += 1;
        }
        assert_eq!(at_once, 1);
        while pace.next(100, 60 * SECOND + 100_000_000) == Some(0) {
            at_once += 1;
        }
        assert_eq!(at_once, 11);
    }

    #[test]
    fn a_new_rate_begins_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(1, 0), Some(SECOND));
        assert_eq!(pace.next(1000, 10), Some(1_000_000));
        assert_eq!(pace.next(0, 20), None);
    }
}
