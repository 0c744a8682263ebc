//! Figures from recordings. Pure: a recording and windows of time in, numbers out.
//!
//! The definitions, each in the module that computes it:
//!
//! - [`udp`]: sent, lost, duplicated, reordered packets, and which half of the way lost them;
//! - [`gap`]: the network downtime, and the longest TCP stall by the same rule;
//! - [`tcp`]: sessions kept and lost;
//! - [`plot`]: the single packets around a moment, for pictures.
//!
//! A window is usually one migration, from its begin to its end. A *packet* belongs to the window
//! in which it was **sent**, wherever its reply arrives. A *gap* belongs to every window that it
//! touches, and is never cut at the window's edge.

mod fate;
pub mod gap;
mod index;
pub mod plot;
pub mod tcp;
pub mod udp;

pub use gap::{Baseline, Gap};
pub use tcp::TcpFigures;
pub use udp::UdpFigures;

use crate::clock::Clock;
use crate::recording::{Recording, TargetRecord};
use index::Index;
use serde::{Deserialize, Serialize};

/// Unanswered packets younger than this at the end of a recording are pending, not lost, ns.
pub const SETTLE_NS: i64 = 1_000_000_000;

/// A span of time, both ends monotonic ns; `from` belongs to it, `to` does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name in results.
    pub name: String,
    /// Begin.
    pub from_ns: i64,
    /// End.
    pub to_ns: i64,
}

impl Window {
    /// A window between two monotonic moments.
    pub fn new(name: impl Into<String>, from_ns: i64, to_ns: i64) -> Self {
        Self {
            name: name.into(),
            from_ns,
            to_ns,
        }
    }

    /// A window between two Unix moments, ns.
    pub fn unix(name: impl Into<String>, from_ns: i64, to_ns: i64, clock: &Clock) -> Self {
        Self::new(name, clock.to_mono_ns(from_ns), clock.to_mono_ns(to_ns))
    }

    /// A window between two marks of a recording; none when either is missing.
    pub fn marks(
        name: impl Into<String>,
        recording: &Recording,
        from: &str,
        to: &str,
    ) -> Option<Self> {
        let (from, to) = (recording.mark(from)?, recording.mark(to)?);
        Some(Self::new(name, from.at_ns, to.at_ns))
    }

    /// Everything from the first packet to the last reply.
    pub fn whole(recording: &Recording) -> Self {
        Self::new(
            "whole",
            recording.begin_ns,
            recording.end_ns.saturating_add(1),
        )
    }

    /// This window made longer at both ends.
    pub fn widened(&self, by_ns: i64) -> Self {
        Self::new(self.name.clone(), self.from_ns - by_ns, self.to_ns + by_ns)
    }

    fn holds(&self, at_ns: i64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

/// What an outside peer saw of one VM in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmFigures {
    /// The VM.
    pub vm: String,
    /// The window's name.
    pub window: String,
    /// Counts of the UDP stream.
    pub udp: UdpFigures,
    /// The network downtime: the longest gap between replies; none when the window saw no packet.
    pub gap: Option<Gap>,
    /// Gaps and round trips outside all windows, for comparison.
    pub baseline: Baseline,
    /// The TCP sessions.
    pub tcp: TcpFigures,
}

/// Figures of every VM in one window. `windows` are all windows of interest: the baseline is what
/// lies outside of them.
pub fn figures(recording: &Recording, window: &Window, windows: &[Window]) -> Vec<VmFigures> {
    let targets = recording.targets.iter();
    targets
        .map(|target| of_target(recording, target, window, windows))
        .collect()
}

/// Figures of one VM of a recording in one window; see [`figures`].
pub fn of_target(
    recording: &Recording,
    target: &TargetRecord,
    window: &Window,
    windows: &[Window],
) -> VmFigures {
    let index = Index::new(&target.udp, recording.end_ns);
    VmFigures {
        vm: target.name.clone(),
        window: window.name.clone(),
        udp: udp::figures(&index, window),
        gap: gap::network_downtime(&index, window),
        baseline: gap::baseline(&index, windows),
        tcp: tcp::figures(&target.tcp, window, recording.end_ns),
    }
}
