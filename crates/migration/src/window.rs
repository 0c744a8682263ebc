//! When QEMU looks at its limits.
//!
//! A limited migration sends what its window of 100 ms allows and sleeps until the window ends (QEMU,
//! `migration_rate_limit`). New limits count from the next window on. On hold the relay hears the
//! beginning of each window: bytes after a silence. A busy host makes other silences, too; two of them
//! that are windows apart foretell the next ones, so that a sprint can begin shortly before the stop and
//! costs the host no more than it must.

use std::collections::VecDeque;

/// Length of a window, ms. Measured: 100 ms and the time it takes the thread to wake up.
const WINDOW_MS: f64 = 100.3;
/// A silence before a window, ms; inside a window bytes follow each other faster.
const SILENCE_MS: f64 = 15.0;
/// Two beginnings must be whole windows apart within this, ms.
const TOLERANCE_MS: f64 = 3.0;
/// Windows that may lie between those two.
const FARTHEST: f64 = 3.0;
/// Beginnings that are remembered.
const MEMORY: usize = 12;
/// A beginning foretells those of this many windows, ms of drift each.
const DRIFT_MS: f64 = 0.5;

/// Listens for windows. Times are ms on any one clock.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    last_heard: Option<f64>,
    beginnings: VecDeque<f64>,
}

impl Windows {
    /// Bytes came at `now`.
    pub fn heard(&mut self, now: f64) {
        let silent = self.last_heard.is_some_and(|last| now - last >= SILENCE_MS);
        self.last_heard = Some(now);
        if silent {
            if self.beginnings.len() == MEMORY {
                self.beginnings.pop_front();
            }
            self.beginnings.push_back(now);
        }
    }

    /// The first beginning of a window at or after `from`, if windows are regular.
    pub fn next(&self, from: f64) -> Option<f64> {
        let last = self.regular()?;
        if from < last {
            return None;
        }
        let windows = ((from - last) / WINDOW_MS).ceil();
        (windows * DRIFT_MS < 10.0).then_some(last + windows * WINDOW_MS)
    }

    /// The last beginning that another one confirms.
    fn regular(&self) -> Option<f64> {
        let confirms = |last: f64, before: f64| {
            let windows = ((last - before) / WINDOW_MS).round();
            (1.0..=FARTHEST).contains(&windows)
                && (last - before - windows * WINDOW_MS).abs() <= TOLERANCE_MS
        };
        let all = &self.beginnings;
        let mut latest_first = all.iter().rev();
        latest_first
            .find(|last| all.iter().any(|before| confirms(**last, *before)))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_windows_foretell_the_next() {
        let mut windows = Windows::default();
        for window in 0..4 {
            for byte in 0..5 {
                windows.heard(100.0 * f64::from(window) + f64::from(byte));
            }
        }
        let next = windows.next(650.0).unwrap();
        assert!((next - 700.0).abs() < 3.0, "{next}");
    }

    #[test]
    fn a_silence_inside_a_window_does_not_hide_the_rhythm() {
        let mut windows = Windows::default();
        for at in [0.0, 100.4, 140.0, 201.0, 255.0] {
            windows.heard(at - 1.0);
            windows.heard(at);
        }
        let next = windows.next(390.0).unwrap();
        assert!((next - 400.0).abs() < 4.0, "{next}");
    }

    #[test]
    fn bytes_without_a_rhythm_foretell_nothing() {
        let mut windows = Windows::default();
        for at in [0.0, 30.0, 165.0, 184.0] {
            windows.heard(at);
        }
        assert_eq!(windows.next(500.0), None);
        assert_eq!(Windows::default().next(0.0), None);
    }
}
