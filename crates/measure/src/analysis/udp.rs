//! Counts of a UDP stream in a window.
//!
//! - **sent**: packets sent in the window.
//! - **lost**: of them, those without any reply (RFC 7680 for the round trip), except pending ones.
//! - **pending**: unanswered, but sent less than [`super::SETTLE_NS`] before the end of the recording.
//! - **duplicated**: packets with more than one reply (RFC 5560).
//! - **reordered**: packets whose reply came after the reply to a later packet, copies aside
//!   (RFC 4737 section 3); the *displacement* is the reordering extent of section 4.2.1: how many
//!   replies lie between it and the earliest one that overtook it, that one counted.

use super::index::Index;
use super::{SETTLE_NS, Window};
use serde::{Deserialize, Serialize};

/// Counts of a UDP stream in a window; the module says how each is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UdpFigures {
    /// Packets sent.
    pub sent: u64,
    /// Packets lost: `lost_requests + lost_replies`.
    pub lost: u64,
    /// Packets that never reached the guest.
    pub lost_requests: u64,
    /// Packets that the guest echoed and whose reply never arrived.
    pub lost_replies: u64,
    /// Unanswered packets too young to call lost.
    pub pending: u64,
    /// Packets with more than one reply.
    pub duplicated: u64,
    /// Most replies to a single packet.
    pub max_copies: u32,
    /// Packets whose reply was overtaken.
    pub reordered: u64,
    /// Largest reordering extent, packets.
    pub max_displacement: u64,
}

pub(super) fn figures(index: &Index<'_>, window: &Window) -> UdpFigures {
    let mut figures = UdpFigures::default();
    let settled = index.end_ns.saturating_sub(SETTLE_NS);
    for (packet, &sent_ns) in index.packets.iter().zip(&index.udp.sent_ns) {
        if !window.holds(sent_ns) {
            continue;
        }
        figures.sent += 1;
        figures.max_copies = figures.max_copies.max(packet.copies);
        match packet.copies {
            0 if packet.reply_lost => figures.lost_replies += 1,
            0 if sent_ns > settled => figures.pending += 1,
            0 => figures.lost_requests += 1,
            1 => {}
            _ => figures.duplicated += 1,
        }
    }
    figures.lost = figures.lost_requests + figures.lost_replies;
    for (place, packet) in extents(index) {
        if window.holds(index.sent_ns(packet)) {
            figures.reordered += 1;
            figures.max_displacement = figures.max_displacement.max(place);
        }
    }
    figures
}

/// (extent, packet) of every reordered packet.
fn extents(index: &Index<'_>) -> Vec<(u64, usize)> {
    // The arrivals that raised the maximum so far: sequence numbers and places both ascend.
    let mut peaks: Vec<(usize, usize)> = Vec::new();
    let mut reordered = Vec::new();
    for (place, &(_, packet)) in index.arrivals.iter().enumerate() {
        let overtaker = peaks.partition_point(|&(peak, _)| peak < packet);
        match peaks.get(overtaker) {
            Some(&(_, at)) => reordered.push(((place - at) as u64, packet)),
            None => peaks.push((packet, place)),
        }
    }
    reordered
}
