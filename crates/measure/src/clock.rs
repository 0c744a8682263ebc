//! The machine's two clocks and how they relate.
//!
//! Records carry `CLOCK_MONOTONIC`, which nobody sets; the kernel's receive stamps and a
//! migration's stop and resume are Unix time, which NTP may slew (up to 500 ppm) or step. So the
//! offset between the two is sampled while a probe runs, and a moment is converted with the sample
//! nearest to it.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Samples closer than this to the last one's offset are not kept, ns.
const GRAIN_NS: i64 = 20_000;

fn read(clock: ClockId) -> i64 {
    // Both clocks always exist on Linux (clock_gettime(2)), so a failure cannot be told from 0.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
}

/// `CLOCK_MONOTONIC` now, ns.
pub fn now_ns() -> i64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` less `CLOCK_MONOTONIC` now, ns; the best of three readings.
pub fn offset_ns() -> i64 {
    let reading = || {
        let before = now_ns();
        let unix = read(ClockId::CLOCK_REALTIME);
        let after = now_ns();
        (after - before, unix - before - (after - before) / 2)
    };
    (0..3)
        .map(|_| reading())
        .min()
        .map_or(0, |(_, offset)| offset)
}

/// The offset of Unix time to monotonic time, sampled over a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clock {
    /// (monotonic ns, Unix ns less monotonic ns), in order of time.
    samples: Vec<(i64, i64)>,
}

impl Clock {
    /// A clock with the offset of this moment.
    pub fn now() -> Self {
        Self {
            samples: vec![(now_ns(), offset_ns())],
        }
    }

    /// A clock whose offset never changes, for tests and replays.
    pub fn fixed(offset_ns: i64) -> Self {
        Self {
            samples: vec![(0, offset_ns)],
        }
    }

    /// Notes an offset; kept only when it differs from the last one.
    pub fn note(&mut self, at_ns: i64, offset_ns: i64) {
        let same = |&(_, last): &(i64, i64)| (last - offset_ns).abs() < GRAIN_NS;
        if !self.samples.last().is_some_and(same) {
            self.samples.push((at_ns, offset_ns));
        }
    }

    /// Unix ns of a monotonic moment.
    pub fn to_unix_ns(&self, mono_ns: i64) -> i64 {
        mono_ns + self.offset(|&(at, _)| at <= mono_ns)
    }

    /// Monotonic ns of a Unix moment.
    pub fn to_mono_ns(&self, unix_ns: i64) -> i64 {
        unix_ns - self.offset(|&(at, offset)| at + offset <= unix_ns)
    }

    fn offset(&self, reached: impl Fn(&(i64, i64)) -> bool) -> i64 {
        let next = self.samples.partition_point(|sample| reached(sample));
        let nearest = self.samples.get(next.saturating_sub(1));
        nearest.map_or(0, |&(_, offset)| offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_converted_with_the_offset_of_its_time() {
        let mut clock = Clock::fixed(1_000_000_000);
        clock.note(500, 1_000_000_100);
        clock.note(1_000, 2_000_000_000);
        assert_eq!(
            clock.samples.len(),
            2,
            "a change below the grain is not kept"
        );
        assert_eq!(clock.to_unix_ns(700), 1_000_000_700);
        assert_eq!(clock.to_unix_ns(1_500), 2_000_001_500);
        assert_eq!(clock.to_mono_ns(1_000_000_700), 700);
        assert_eq!(clock.to_mono_ns(2_000_001_500), 1_500);
    }
}
