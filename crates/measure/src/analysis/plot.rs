//! The single packets around a moment, for pictures.

use super::index::Index;
use super::{SETTLE_NS, Window, gap};
use crate::recording::{Recording, TargetRecord};
use serde::{Deserialize, Serialize};

/// One packet. In JSON: `[sent_ms, rtt_ms or null, copies]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, Option<f64>, u32)", into = "(f64, Option<f64>, u32)")]
pub struct Point {
    /// When it was sent, ms after the picture's origin.
    pub sent_ms: f64,
    /// Until its first reply, ms; none when it was lost.
    pub rtt_ms: Option<f64>,
    /// Replies received.
    pub copies: u32,
}

impl From<(f64, Option<f64>, u32)> for Point {
    fn from((sent_ms, rtt_ms, copies): (f64, Option<f64>, u32)) -> Self {
        Self {
            sent_ms,
            rtt_ms,
            copies,
        }
    }
}

impl From<Point> for (f64, Option<f64>, u32) {
    fn from(point: Point) -> Self {
        (point.sent_ms, point.rtt_ms, point.copies)
    }
}

/// The packets of one VM sent in a window, in order of sending, without pending ones. Times are
/// rounded to a microsecond.
pub fn points(
    recording: &Recording,
    target: &TargetRecord,
    window: &Window,
    origin_ns: i64,
) -> Vec<Point> {
    let index = Index::new(&target.udp, recording.end_ns);
    let settled = recording.end_ns.saturating_sub(SETTLE_NS);
    let round = |ns: i64| gap::ms((ns + 500).div_euclid(1_000) * 1_000);
    let packets = index.packets.iter().zip(&target.udp.sent_ns);
    packets
        .filter(|&(_, &sent_ns)| window.holds(sent_ns))
        .filter(|&(packet, &sent_ns)| packet.copies > 0 || sent_ns <= settled)
        .map(|(packet, &sent_ns)| Point {
            sent_ms: round(sent_ns - origin_ns),
            rtt_ms: (packet.copies > 0).then(|| round(packet.at_ns - sent_ns)),
            copies: packet.copies,
        })
        .collect()
}
