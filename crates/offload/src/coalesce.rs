//! Packets of one flow into a large one, so that the receiver's kernel handles them once.
//!
//! What is coalesced is handed over with its checksum still to be computed, which a receiver does not
//! verify. So every TCP and UDP checksum is verified before: a packet damaged on the way goes on
//! alone, as it came, and the kernel drops it.

use std::ops::Range;

use super::checksum;
use super::packet::{self, Inner};
use super::vnet::{Gso, Vnet};

/// Pieces of one large packet; the kernel takes no more of UDP.
const MOST_PIECES: usize = 64;
/// Bytes of one large packet.
const MOST_BYTES: usize = 65_535;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It begins a packet of its own.
    New,
    /// It is a part of an earlier one.
    Joined,
    /// It would have been a part of an earlier one, but one of the two checksums is wrong.
    Damaged,
}

/// Packets to be handed over, in the order in which they came as far as each flow is concerned.
#[derive(Debug)]
pub struct Coalescer {
    bundles: Vec<Bundle>,
    used: usize,
    udp: bool,
}

#[derive(Debug, Default)]
struct Bundle {
    /// Headers and payload of the first packet, and payloads of the others: places in the buffer.
    pieces: Vec<Range<usize>>,
    flow: u64,
    ip: usize,
    headers: usize,
    protocol: u8,
    /// Payload bytes of every piece but the last.
    size: usize,
    bytes: usize,
    next: u32,
    push: bool,
    /// Whether nothing more may follow.
    closed: bool,
    /// Whether the first packet's checksum was found right.
    verified: bool,
}

/// What a packet is, if it can be a part of a larger one.
struct Candidate {
    protocol: u8,
    headers: usize,
    payload: usize,
    sequence: u32,
    push: bool,
}

impl Coalescer {
    /// With or without coalescing of UDP, which not every kernel takes.
    pub fn new(udp: bool) -> Self {
        Self {
            bundles: Vec::new(),
            used: 0,
            udp,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes the packet at `place` in `buffer`, with its header as it was read. The buffer must stay
    /// as it is until [`Coalescer::flush`].
    pub fn push(&mut self, buffer: &[u8], place: Range<usize>, inner: &Inner, flow: u64) -> Taken {
        let mut taken = Taken::New;
        let Some(packet) = buffer.get(place.clone()) else {
            return taken;
        };
        let Some(candidate) = self.candidate(packet, inner) else {
            self.close(flow);
            self.open(place, flow, inner, None);
            return taken;
        };
        let bundles = self.bundles.get_mut(..self.used).unwrap_or_default();
        let latest = bundles.iter_mut().rev().find(|bundle| bundle.flow == flow);
        if let Some(bundle) = latest
            && !bundle.closed
        {
            if bundle.fits(buffer, packet, inner, &candidate) {
                let right = bundle.verified || {
                    let first = bundle.pieces.first().cloned().unwrap_or_default();
                    is_undamaged(buffer.get(first).unwrap_or_default(), inner, bundle.ip)
                };
                bundle.verified = right;
                if right && is_undamaged(packet, inner, inner.header) {
                    bundle.take(place, &candidate);
                    return Taken::Joined;
                }
                taken = Taken::Damaged;
            }
            bundle.closed = true;
        }
        self.open(place, flow, inner, Some(candidate));
        taken
    }

    fn candidate(&self, packet: &[u8], inner: &Inner) -> Option<Candidate> {
        let plain = matches!((inner.header, packet.first()? >> 4), (20, 4) | (40, 6));
        if inner.fragment || !plain {
            return None;
        }
        let l4 = packet.get(inner.header..)?;
        match inner.protocol {
            packet::TCP => {
                let fixed: &[u8; 20] = l4.first_chunk()?;
                let length = usize::from(fixed[12] >> 4) * 4;
                let payload = l4.len().checked_sub(length)?;
                let usual = fixed[13] & !PSH == ACK && length >= 20 && payload > 0;
                usual.then_some(Candidate {
                    protocol: packet::TCP,
                    headers: inner.header + length,
                    payload,
                    sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
                    push: fixed[13] & PSH != 0,
                })
            }
            packet::UDP if self.udp => {
                let fixed: &[u8; 8] = l4.first_chunk()?;
                let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
                let usual = length == l4.len() && length > 8 && fixed[6..8] != [0, 0];
                usual.then_some(Candidate {
                    protocol: packet::UDP,
                    headers: inner.header + 8,
                    payload: length - 8,
                    sequence: 0,
                    push: false,
                })
            }
            _ => None,
        }
    }

    fn close(&mut self, flow: u64) {
        let bundles = self.bundles.get_mut(..self.used).unwrap_or_default();
        if let Some(bundle) = bundles.iter_mut().rev().find(|bundle| bundle.flow == flow) {
            bundle.closed = true;
        }
    }

    fn open(
        &mut self,
        place: Range<usize>,
        flow: u64,
        inner: &Inner,
        candidate: Option<Candidate>,
    ) {
        if self.used == self.bundles.len() {
            self.bundles.push(Bundle::default());
        }
        let Some(bundle) = self.bundles.get_mut(self.used) else {
            return;
        };
        self.used += 1;
        bundle.pieces.clear();
        bundle.bytes = place.len();
        bundle.pieces.push(place);
        bundle.flow = flow;
        bundle.ip = inner.header;
        bundle.verified = false;
        bundle.closed = candidate.as_ref().is_none_or(|c| c.push);
        if let Some(candidate) = candidate {
            bundle.headers = candidate.headers;
            bundle.protocol = candidate.protocol;
            bundle.size = candidate.payload;
            bundle.next = candidate.sequence.wrapping_add(candidate.payload as u32);
            bundle.push = candidate.push;
        }
    }

    /// Gives every packet away: the header before it, and the places that make it up.
    pub fn flush(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8], Vnet, &[Range<usize>])) {
        for bundle in self.bundles.iter().take(self.used) {
            let vnet = match bundle.pieces.len() {
                0 | 1 => Vnet::default(),
                _ => bundle.unite(buffer),
            };
            each(buffer, vnet, &bundle.pieces);
        }
        self.used = 0;
    }
}

impl Bundle {
    /// Whether the packet is the next one of this flow, and says nothing else than the first did.
    fn fits(&self, buffer: &[u8], packet: &[u8], inner: &Inner, candidate: &Candidate) -> bool {
        let first = self.pieces.first().cloned().unwrap_or_default();
        let first = buffer.get(first).unwrap_or_default();
        candidate.headers == self.headers
            && candidate.protocol == self.protocol
            && candidate.payload <= self.size
            && (self.protocol == packet::UDP || candidate.sequence == self.next)
            && self.pieces.len() < MOST_PIECES
            && self.bytes + candidate.payload <= MOST_BYTES
            && same_ip(first, packet, inner.header)
            && same_l4(first, packet, inner.header, self.headers, self.protocol)
    }

    fn take(&mut self, place: Range<usize>, candidate: &Candidate) {
        self.pieces.push(place.start + candidate.headers..place.end);
        self.bytes += candidate.payload;
        self.next = self.next.wrapping_add(candidate.payload as u32);
        self.push |= candidate.push;
        self.closed = candidate.push || candidate.payload < self.size;
    }

    /// Makes the first packet's header that of all, and says how they can be cut again.
    fn unite(&self, buffer: &mut [u8]) -> Vnet {
        let first = self.pieces.first().cloned().unwrap_or_default();
        let Some(packet) = buffer.get_mut(first) else {
            return Vnet::default();
        };
        let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
        let l4_length = self.bytes - self.ip;
        let put = |packet: &mut [u8], at: usize, value: [u8; 2]| {
            if let Some(place) = packet.get_mut(at..at + 2) {
                place.copy_from_slice(&value);
            }
        };
        let addresses = if is_v4 { 12..20 } else { 8..40 };
        let addresses = packet.get(addresses).unwrap_or_default();
        let pseudo = checksum::pseudo(addresses, self.protocol, l4_length);
        if is_v4 {
            put(packet, 2, (self.bytes as u16).to_be_bytes());
            packet::seal_v4(packet.get_mut(..self.ip).unwrap_or_default());
        } else {
            put(packet, 4, (l4_length as u16).to_be_bytes());
        }
        let (gso, field) = match (self.protocol, is_v4) {
            (packet::UDP, _) => {
                put(packet, self.ip + 4, (l4_length as u16).to_be_bytes());
                (Gso::Udp, 6)
            }
            (_, true) => (Gso::Tcp4, 16),
            (_, false) => (Gso::Tcp6, 16),
        };
        if self.push
            && self.protocol == packet::TCP
            && let Some(flags) = packet.get_mut(self.ip + 13)
        {
            *flags |= PSH;
        }
        let sum = checksum::fold(pseudo).to_ne_bytes();
        put(packet, self.ip + usize::from(field), sum);
        Vnet {
            checksum: Some((self.ip as u16, field)),
            gso,
            size: self.size as u16,
            header: self.headers as u16,
        }
    }
}

/// All of the IP header but lengths, number and checksum.
fn same_ip(a: &[u8], b: &[u8], header: usize) -> bool {
    let parts: &[Range<usize>] = match header {
        20 => &[0..2, 6..10, 12..20],
        _ => &[0..4, 6..40],
    };
    parts.iter().all(|part| same(a, b, part.clone()))
}

/// TCP: all but sequence, the push flag and checksum. UDP: the ports.
fn same_l4(a: &[u8], b: &[u8], ip: usize, headers: usize, protocol: u8) -> bool {
    if protocol == packet::UDP {
        return same(a, b, ip..ip + 4);
    }
    same(a, b, ip..ip + 4)
        && same(a, b, ip + 8..ip + 13)
        && same(a, b, ip + 14..ip + 16)
        && same(a, b, ip + 18..headers)
}

fn same(a: &[u8], b: &[u8], part: Range<usize>) -> bool {
    match (a.get(part.clone()), b.get(part)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Whether the checksums of the IP header and of TCP or UDP are right.
fn is_undamaged(packet: &[u8], like: &Inner, ip: usize) -> bool {
    let (Some(header), Some(l4)) = (packet.get(..ip), packet.get(ip..)) else {
        return false;
    };
    let addresses = like.addresses(packet);
    let sum = checksum::pseudo(addresses, like.protocol, l4.len()) + checksum::sum(l4);
    checksum::is_right(sum) && (ip != 20 || checksum::is_right(checksum::sum(header)))
}
