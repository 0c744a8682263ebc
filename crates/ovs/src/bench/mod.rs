//! What a host costs and how fast it is, measured on real switches in namespaces of their own.
//!
//! [`stage`] builds hosts and the network between them; [`stream`] sends and counts packets. Then
//! one measurement a file, each an async function that gives numbers: [`mod@linking`], [`update`],
//! [`mod@failover`]. What the numbers should be is decided by whoever calls.

pub mod failover;
pub mod linking;
pub mod stage;
pub mod stream;
pub mod update;

pub use failover::{Failover, failover};
pub use linking::{Linking, linking};
pub use stage::{Stage, Wiring};
pub use update::{Updating, updating};

/// The value below which this share of the sorted numbers lies; 0 when there are none.
pub fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or(0.0)
}
