//! The network downtime: the longest interval without a reply that touches a window.
//!
//! Raw: from the arrival of one reply to the arrival of the next, nothing taken off; a stream that
//! is well shows its own sending interval. `minus_interval_ms` takes that interval off. Copies of
//! replies that came before do not end a gap. A stream that never answers again has an *open* gap,
//! from its last reply to the last packet sent; one that never answered begins at its first packet.
//!
//! The arrivals are the kernel's stamps, so a late reader does not widen a gap. A late sender
//! can: `probe_pause_ms` is the longest pause in sending between the packets whose replies bound
//! the gap, so a gap of 40 ms with a pause of 38 ms is an artefact.

use super::Window;
use super::index::Index;
use serde::{Deserialize, Serialize};

/// The longest interval without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Its length, ms.
    pub ms: f64,
    /// Its length less the sending interval, ms; not below 0.
    pub minus_interval_ms: f64,
    /// Arrival of the last reply before it, monotonic ns.
    pub from_ns: i64,
    /// Arrival of the first reply after it, monotonic ns; when open, of no reply.
    pub to_ns: i64,
    /// No reply ended it.
    pub open: bool,
    /// Longest pause of the probe in sending the packets around it, ms.
    pub probe_pause_ms: f64,
}

/// How the stream was outside all windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// Intervals between replies that were looked at.
    pub intervals: u64,
    /// Median interval, ms.
    pub median_ms: f64,
    /// 99th percentile of the intervals, ms.
    pub p99_ms: f64,
    /// Longest interval, ms.
    pub longest_ms: f64,
    /// Median round trip, ms.
    pub rtt_ms: f64,
}

/// An interval between two neighbours in a list of moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
    /// Place of `to_ns` in the list; its length when the interval is the open one after the last.
    pub(super) place: usize,
}

/// The longest interval between neighbours of `moments` (ascending) that touches the window; the
/// first interval begins at `begin`, the last one ends at `open_end` where that is later than the
/// last moment. The earliest of equally long ones.
pub(super) fn longest(
    moments: &[i64],
    begin: i64,
    open_end: i64,
    window: &Window,
) -> Option<Interval> {
    // The neighbour before the window and the one after it bound the intervals that touch it.
    let first = moments.partition_point(|&at| at <= window.from_ns);
    let after = moments.partition_point(|&at| at < window.to_ns);
    let mut best: Option<Interval> = None;
    for place in first..=after.min(moments.len()) {
        let from_ns = place.checked_sub(1).map_or(begin, |i| moments[i]);
        let to_ns = moments.get(place).copied().unwrap_or(open_end);
        let touches = from_ns < window.to_ns && to_ns > window.from_ns && to_ns > from_ns;
        let longer = best.is_none_or(|best| to_ns - from_ns > best.to_ns - best.from_ns);
        if touches && longer {
            best = Some(Interval {
                from_ns,
                to_ns,
                place,
            });
        }
    }
    best
}

pub(super) fn network_downtime(index: &Index<'_>, window: &Window) -> Option<Gap> {
    let sent = &index.udp.sent_ns;
    let (&begin, &last) = (sent.first()?, sent.last()?);
    let moments: Vec<i64> = index.arrivals.iter().map(|&(at, _)| at).collect();
    let found = longest(&moments, begin, last.min(index.end_ns), window)?;
    let before = found.place.checked_sub(1).map(|i| index.arrivals[i].1);
    let after = index.arrivals.get(found.place).map(|&(_, packet)| packet);
    let (one, other) = (before.unwrap_or(0), after.unwrap_or(sent.len() - 1));
    let pauses = sent[one.min(other)..=one.max(other)].windows(2);
    let pause = pauses.map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let length = found.to_ns - found.from_ns;
    Some(Gap {
        ms: ms(length),
        minus_interval_ms: ms((length - index.udp.interval_ns).max(0)),
        from_ns: found.from_ns,
        to_ns: found.to_ns,
        open: after.is_none(),
        probe_pause_ms: ms(pause),
    })
}

pub(super) fn baseline(index: &Index<'_>, windows: &[Window]) -> Baseline {
    let outside = |from: i64, to: i64| windows.iter().all(|w| to <= w.from_ns || from >= w.to_ns);
    let pairs = index.arrivals.windows(2).map(|pair| (pair[0].0, pair[1].0));
    let mut intervals: Vec<i64> = pairs
        .filter(|&(from, to)| outside(from, to))
        .map(|(from, to)| to - from)
        .collect();
    intervals.sort_unstable();
    let trips = index.arrivals.iter().map(|&(at, i)| (index.sent_ns(i), at));
    let mut trips: Vec<i64> = trips
        .filter(|&(sent, at)| outside(sent, at))
        .map(|(sent, at)| at - sent)
        .collect();
    trips.sort_unstable();
    Baseline {
        intervals: intervals.len() as u64,
        median_ms: ms(rank(&intervals, 50)),
        p99_ms: ms(rank(&intervals, 99)),
        longest_ms: ms(rank(&intervals, 100)),
        rtt_ms: ms(rank(&trips, 50)),
    }
}

/// The nearest-rank percentile of ascending values; 0 of none.
fn rank(sorted: &[i64], percent: usize) -> i64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

pub(super) fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}
