//! The controller's clock: the one that every moment on the wire is told by.

use model::Nanos;
use nix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> i64 {
    // Neither clock can fail on Linux (clock_gettime(2)).
    clock_gettime(clock)
        .map(|time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
        .unwrap_or_default()
}

/// Now: CLOCK_MONOTONIC of this machine.
pub fn now() -> Nanos {
    Nanos(read(ClockId::CLOCK_MONOTONIC))
}

/// A moment as ns since the Unix epoch, by the wall clock as it is set now.
pub fn unix_ns(moment: Nanos) -> i64 {
    moment.0 + (read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_MONOTONIC))
}

/// The wall clock less CLOCK_MONOTONIC, ns, as it is set now.
pub fn wall_less_monotonic_ns() -> i64 {
    unix_ns(Nanos(0))
}

/// Now as ms since the Unix epoch.
pub fn unix_ms() -> u64 {
    u64::try_from(read(ClockId::CLOCK_REALTIME) / 1_000_000).unwrap_or_default()
}
