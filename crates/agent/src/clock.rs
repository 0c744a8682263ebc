//! The controller's clock, as seen from here.
//!
//! Every second the agent asks for the controller's moment; the answer with the shortest round trip
//! of the last [`KEPT`] gives the offset, half of that round trip being its error bound.

use model::Nanos;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Exchanges that are remembered.
const KEPT: usize = 16;
/// From here on the thread itself sleeps: the runtime's timers have a granularity of 1 ms.
const FINE: Duration = Duration::from_micros(2500);

/// Local monotonic clock, ns.
pub fn local_now() -> i64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
        .unwrap_or_default()
}

/// Local wall clock, ns since the Unix epoch.
pub fn wall_now() -> i64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME)
        .map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
        .unwrap_or_default()
}

/// Local wall clock less local monotonic clock, ns.
fn wall_offset() -> i64 {
    wall_now() - local_now()
}

/// The controller's clock.
#[derive(Debug, Default)]
pub struct Clock {
    offset: AtomicI64,
    kept: Mutex<VecDeque<(i64, i64)>>,
}

impl Clock {
    /// Takes one exchange: asked and answered on the local clock, `theirs` in between.
    pub fn exchange(&self, asked: i64, theirs: Nanos, answered: i64) {
        let round_trip = answered - asked;
        if round_trip < 0 {
            return;
        }
        let offset = theirs.0 - (asked + round_trip / 2);
        let Ok(mut kept) = self.kept.lock() else {
            return;
        };
        kept.push_back((round_trip, offset));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        if let Some((_, best)) = kept.iter().min() {
            self.offset.store(*best, Ordering::Relaxed);
        }
    }

    /// Forgets everything: the controller behind the connection may be another one.
    pub fn forget(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.clear();
        }
    }

    /// Round trip of the best exchange, ms.
    pub fn round_trip_ms(&self) -> Option<f64> {
        let kept = self.kept.lock().ok()?;
        kept.iter()
            .min()
            .map(|(round_trip, _)| *round_trip as f64 / 1e6)
    }

    /// Now.
    pub fn now(&self) -> Nanos {
        self.at_local(local_now())
    }

    /// A local monotonic moment on the controller's clock.
    pub fn at_local(&self, local: i64) -> Nanos {
        Nanos(local + self.offset.load(Ordering::Relaxed))
    }

    /// A wall-clock moment of this machine (as in QEMU's events) on the controller's clock.
    pub fn at_wall(&self, since_epoch: Duration) -> Nanos {
        self.at_local(since_epoch.as_nanos() as i64 - wall_offset())
    }

    /// Waits for a moment, to within about 0.1 ms on a host with a free CPU. Returns at once when it
    /// has passed.
    pub async fn sleep_until(&self, moment: Nanos) {
        let left = |clock: &Self| Duration::from_nanos((moment.0 - clock.now().0).max(0) as u64);
        let coarse = left(self);
        if coarse > FINE {
            tokio::time::sleep(coarse - FINE).await;
        }
        let fine = left(self);
        if !fine.is_zero() {
            tokio::task::block_in_place(|| std::thread::sleep(fine));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_with_the_shortest_round_trip_decides() {
        let clock = Clock::default();
        clock.exchange(0, Nanos(1_000_050), 100);
        clock.exchange(1000, Nanos(1_009_000), 9000);
        assert_eq!(clock.at_local(0), Nanos(1_000_000));
        assert_eq!(clock.round_trip_ms(), Some(0.0001));
    }

    #[test]
    fn an_answer_from_before_the_question_is_ignored() {
        let clock = Clock::default();
        clock.exchange(100, Nanos(5), 50);
        assert_eq!(clock.at_local(7), Nanos(7));
    }
}
