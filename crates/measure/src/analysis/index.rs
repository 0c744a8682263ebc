//! One UDP stream, put in order once for all figures.

use super::fate;
use crate::recording::{Reply, UdpRecord};

/// A stream by packet and by arrival.
pub(super) struct Index<'a> {
    pub(super) udp: &'a UdpRecord,
    /// Everything that arrived before this moment is known, monotonic ns.
    pub(super) end_ns: i64,
    /// For each packet of `udp.sent_ns`, what became of it.
    pub(super) packets: Vec<Packet>,
    /// First copies in order of arrival: (arrival ns, packet's index).
    pub(super) arrivals: Vec<(i64, usize)>,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Packet {
    /// Replies received for it.
    pub(super) copies: u32,
    /// Arrival of the first copy, monotonic ns; 0 without one.
    pub(super) at_ns: i64,
    /// Of an unanswered packet: the guest has echoed it, the reply got lost.
    pub(super) reply_lost: bool,
}

impl<'a> Index<'a> {
    pub(super) fn new(udp: &'a UdpRecord, end_ns: i64) -> Self {
        let mut packets = vec![Packet::default(); udp.sent_ns.len()];
        let mut arrivals = Vec::with_capacity(udp.replies.len());
        let mut replies: Vec<(Reply, usize)> = udp
            .replies
            .iter()
            .filter_map(|reply| {
                let index = usize::try_from(reply.seq.checked_sub(udp.first_seq)?).ok()?;
                (index < packets.len()).then_some((*reply, index))
            })
            .collect();
        // Stable: equal stamps stay in the order in which they were read.
        replies.sort_by_key(|(reply, _)| reply.at_ns);
        for (reply, index) in &replies {
            let packet = &mut packets[*index];
            packet.copies += 1;
            if packet.copies == 1 {
                packet.at_ns = reply.at_ns;
                arrivals.push((reply.at_ns, *index));
            }
        }
        for index in fate::lost_replies(&packets, &replies, udp.first_seq == 0) {
            packets[index].reply_lost = true;
        }
        Self {
            udp,
            end_ns,
            packets,
            arrivals,
        }
    }

    /// When the packet was sent, monotonic ns.
    pub(super) fn sent_ns(&self, index: usize) -> i64 {
        self.udp.sent_ns[index]
    }
}
