//! When to stop, and when each peer flips.
//!
//! A packet that a peer sends at its flip arrives at the source one data delay later. Each peer
//! therefore flips at `stop - delay(peer → source) - drain`: the last packet for the source arrives
//! `drain` before the stop, so the guest has read it. Orders carry the moment itself and agents know
//! the controller's clock, so the control delay only has to fit in before.

use model::{HostName, Nanos};
use std::collections::BTreeMap;

/// What the schedule is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The controller's moment now.
    pub now: Nanos,
    /// Control delay to the slowest host concerned, one way, ms.
    pub slowest_control_ms: f64,
    /// Data delay of each peer to the source, one way, ms.
    pub to_source_ms: BTreeMap<HostName, f64>,
    /// Longest wait of QEMU for its next window, ms (100 ms windows).
    pub window_ms: f64,
    /// Iterating without a limit before the stop, ms.
    pub sprint_ms: f64,
    /// Room for a late order, ms.
    pub slack_ms: f64,
    /// From the last arrival until the stop, ms.
    pub drain_ms: f64,
}

/// The moments of one switchover.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When the vCPUs stop.
    pub stop_at: Nanos,
    /// When each peer flips.
    pub flip_at: BTreeMap<HostName, Nanos>,
}

impl Schedule {
    /// Makes the schedule: as early as all orders and their answers can have arrived.
    pub fn make(known: &Known) -> Self {
        let farthest = known.to_source_ms.values().fold(0.0_f64, |a, b| a.max(*b));
        // Order out, answer back, release out.
        let orders = 3.0 * known.slowest_control_ms + known.slack_ms;
        let before_stop = (orders + farthest + known.drain_ms)
            .max(known.slowest_control_ms + known.slack_ms + known.window_ms + known.sprint_ms);
        let stop_at = known.now.plus_ms(before_stop);
        let flip_at = flips(stop_at, &known.to_source_ms, known.drain_ms);
        Self { stop_at, flip_at }
    }
}

/// When each peer flips for a VM that stops at `stop_at`; delays to its source and drain in ms.
pub fn flips(
    stop_at: Nanos,
    to_source_ms: &BTreeMap<HostName, f64>,
    drain_ms: f64,
) -> BTreeMap<HostName, Nanos> {
    let flip =
        |(host, delay): (&HostName, &f64)| (host.clone(), stop_at.plus_ms(-delay - drain_ms));
    to_source_ms.iter().map(flip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_peer_flips_after_its_order_arrived_and_drain_before_the_stop(
            control in 0.0..200.0f64,
            delays in prop::collection::vec(0.0..200.0f64, 1..6),
            sprint in 0.0..100.0f64,
            drain in 2.0..20.0f64,
        ) {
            let known = Known {
                now: Nanos(1_000_000_000),
                slowest_control_ms: control,
                to_source_ms: delays.iter().enumerate()
                    .map(|(n, d)| (HostName::new(format!("h{n}")).unwrap(), *d)).collect(),
                window_ms: 101.0,
                sprint_ms: sprint,
                slack_ms: 40.0,
                drain_ms: drain,
            };
            let schedule = Schedule::make(&known);
            for (host, flip) in &schedule.flip_at {
                prop_assert!(flip.ms_since(known.now) > control);
                let arrives = flip.plus_ms(known.to_source_ms[host]);
                prop_assert!((schedule.stop_at.ms_since(arrives) - drain).abs() < 0.001);
            }
            prop_assert!(schedule.stop_at.ms_since(known.now) >= 3.0 * control);
        }
    }
}
