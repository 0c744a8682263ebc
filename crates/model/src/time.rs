//! Moments on the controller's clock.
//!
//! Controller and agents live on machines whose clocks differ. Each agent measures the offset of
//! its monotonic clock to the controller's (as NTP does, RFC 5905 section 8, keeping the exchange
//! with the shortest round trip), so every moment on the wire means the same instant everywhere.

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds of the controller's monotonic clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// This moment moved by `ms` milliseconds, backwards when negative.
    pub fn plus_ms(self, ms: f64) -> Self {
        Self(self.0.saturating_add((ms * 1e6) as i64))
    }

    /// Milliseconds from `earlier` to this moment; negative when it is not earlier.
    pub fn ms_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }
}
