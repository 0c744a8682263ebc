//! What goes outside: packets to peers, and what the device itself says.

use std::net::SocketAddr;
use std::time::Instant;

use offload::packet;

use super::{Core, Datagram, OVERHEAD, PeerNumber, ROOM, URGENT};
use crate::status::Reason;

/// Packets are made as long as a multiple of this, so that their length says less.
const PADDING: usize = 16;

impl Core {
    /// Makes the datagram of a packet, given in two parts, in `room`. Returns its length and to whom; nothing if the
    /// packet waits for a session or was dropped. `room` is [`ROOM`] bytes longer than the packet.
    pub fn seal(
        &mut self,
        number: PeerNumber,
        parts: [&[u8]; 2],
        room: &mut [u8],
        now: Instant,
    ) -> Option<(usize, SocketAddr)> {
        let peer = self.peers.get_mut(number)?;
        let [head, tail] = parts;
        let length = head.len() + tail.len();
        let Some(to) = peer.endpoint else {
            self.drops.add(Reason::NoEndpoint, 1);
            return None;
        };
        if room.len() < length + ROOM {
            self.drops.add(Reason::TooBig, 1);
            return None;
        }
        if peer.is_plain() {
            let (first, rest) = room.split_at_mut_checked(head.len())?;
            first.copy_from_slice(head);
            rest.get_mut(..tail.len())?.copy_from_slice(tail);
            peer.sent.add(length);
            return Some((length, to));
        }
        let Some(link) = peer.best() else {
            let packet = [head, tail].concat();
            if !peer.wait(packet) {
                self.drops.add(Reason::Waiting, 1);
            }
            let messages = peer.hunt(now);
            self.say(number, messages, now);
            return None;
        };
        // Padding must not make a packet too large for the way.
        let padded = length.next_multiple_of(PADDING).min(self.mtu.max(length));
        self.scratch.clear();
        self.scratch.extend_from_slice(head);
        self.scratch.extend_from_slice(tail);
        self.scratch.resize(padded, 0);
        let sealed = link.seal(&self.scratch, room)?.len();
        peer.sent.add(sealed);
        peer.sent_at = Some(now);
        Some((sealed, to))
    }

    /// Sends an empty packet, which says only that we are there.
    pub(super) fn keep_alive(&mut self, number: PeerNumber, now: Instant) {
        let mut room = [0; OVERHEAD + ROOM];
        if let Some((length, to)) = self.seal(number, [&[], &[]], &mut room, now) {
            let bytes = room.get(..length).unwrap_or_default().to_vec();
            self.outgoing.push(Datagram {
                to,
                class: 0,
                bytes,
            });
        }
    }

    /// Sends what has waited for a session.
    pub(super) fn send_waiting(&mut self, number: PeerNumber, now: Instant) {
        let waited = match self.peers.get_mut(number) {
            Some(peer) if peer.has_session() => peer.waited(),
            _ => return,
        };
        for packet in waited {
            let mut bytes = vec![0; packet.len() + ROOM];
            let class = packet::traffic_class(&packet) & 3;
            if let Some((length, to)) = self.seal(number, [&packet, &[]], &mut bytes, now) {
                bytes.truncate(length);
                self.outgoing.push(Datagram { to, class, bytes });
            }
        }
    }

    /// Sends messages of the device's own to where a peer is.
    pub(super) fn say(&mut self, number: PeerNumber, messages: Vec<Vec<u8>>, now: Instant) {
        let Some(peer) = self.peers.get_mut(number) else {
            return;
        };
        let Some(to) = peer.endpoint else {
            return;
        };
        for bytes in messages {
            peer.sent.add(bytes.len());
            peer.sent_at = Some(now);
            self.outgoing.push(Datagram {
                to,
                class: URGENT,
                bytes,
            });
        }
    }
}
