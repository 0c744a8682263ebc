//! How long this host makes an ordinary thread wait for a CPU: what a resumed guest has to expect.
//!
//! A thread sleeps for a moment and looks how late it wakes. The planner adds the longest of the last
//! seconds to the gap that it predicts.

use crate::precedence;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the thread sleeps.
const NAP: Duration = Duration::from_millis(5);
/// Seconds that are remembered.
const SECONDS: usize = 10;

/// The longest wait in each of the last seconds, ms.
#[derive(Debug, Default)]
pub struct Waits {
    longest: [f64; SECONDS],
    second: u64,
}

impl Waits {
    /// A thread woke this much late, in this second since the start.
    pub fn add(&mut self, second: u64, late_ms: f64) {
        for skipped in self.second + 1..=second.min(self.second + SECONDS as u64) {
            self.longest[skipped as usize % SECONDS] = 0.0;
        }
        self.second = self.second.max(second);
        let slot = &mut self.longest[second as usize % SECONDS];
        *slot = slot.max(late_ms);
    }

    /// The longest of the last ten seconds, ms.
    pub fn longest_ms(&self) -> f64 {
        self.longest.iter().copied().fold(0.0, f64::max)
    }
}

/// Measures for as long as anybody holds the result.
///
/// # Errors
/// When no thread can be started.
pub fn measure() -> std::io::Result<Arc<Mutex<Waits>>> {
    let waits = Arc::new(Mutex::new(Waits::default()));
    let weak = Arc::downgrade(&waits);
    let begun = Instant::now();
    std::thread::Builder::new()
        .name("stall".to_owned())
        .spawn(move || {
            precedence::be_ordinary();
            while let Some(waits) = weak.upgrade() {
                let asleep = Instant::now();
                std::thread::sleep(NAP);
                let late_ms = asleep.elapsed().saturating_sub(NAP).as_secs_f64() * 1000.0;
                if let Ok(mut waits) = waits.lock() {
                    waits.add(begun.elapsed().as_secs(), late_ms);
                }
            }
        })?;
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_forgotten_after_ten_seconds() {
        let mut waits = Waits::default();
        waits.add(0, 40.0);
        waits.add(0, 3.0);
        waits.add(5, 20.0);
        assert_eq!(waits.longest_ms(), 40.0);
        waits.add(9, 1.0);
        assert_eq!(waits.longest_ms(), 40.0);
        waits.add(10, 2.0);
        assert_eq!(waits.longest_ms(), 20.0);
        waits.add(1000, 5.0);
        assert_eq!(waits.longest_ms(), 5.0);
    }
}
