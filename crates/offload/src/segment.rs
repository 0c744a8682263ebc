//! One large packet of a sender with offloads into ones that fit: headers are made, payload stays
//! where it is.

use std::ops::Range;

use super::checksum;
use super::packet::{self, Inner};
use super::vnet::Gso;

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// What a large packet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    gso: Gso,
    /// Bytes of the IP header.
    ip: usize,
    /// Bytes of all headers.
    headers: usize,
    total: usize,
    /// Payload bytes of each piece but the last one.
    size: usize,
}

impl Plan {
    /// Looks at a large packet. Nothing if it contradicts its header: then it must be dropped.
    pub fn new(packet: &[u8], inner: &Inner, gso: Gso, size: usize) -> Option<Self> {
        let l4 = packet.get(inner.header..inner.total)?;
        let (wanted, length) = match gso {
            Gso::Tcp4 | Gso::Tcp6 => (packet::TCP, usize::from(l4.get(12)? >> 4) * 4),
            Gso::Udp => (packet::UDP, 8),
            Gso::None | Gso::Other(_) => return None,
        };
        let least = if wanted == packet::TCP { 20 } else { 8 };
        let good = inner.protocol == wanted && length >= least && length <= l4.len() && size > 0;
        good.then_some(Self {
            gso,
            ip: inner.header,
            headers: inner.header + length,
            total: inner.total,
            size,
        })
    }

    /// Bytes of the largest piece, with its headers.
    pub fn largest(&self) -> usize {
        self.headers + self.size.min(self.total - self.headers)
    }

    /// The same in smaller pieces, none larger than `limit` bytes. Only TCP can be cut anywhere.
    #[must_use]
    pub fn within(mut self, limit: usize) -> Option<Self> {
        if self.largest() > limit {
            self.size = limit.checked_sub(self.headers).filter(|size| *size > 0)?;
            matches!(self.gso, Gso::Tcp4 | Gso::Tcp6).then_some(self)
        } else {
            Some(self)
        }
    }

    /// Appends `prefix` and the headers of each piece to `made`, and calls `each` with where they
    /// are and where the piece's payload is in the packet.
    pub fn cut(
        &self,
        packet: &[u8],
        inner: &Inner,
        prefix: &[u8],
        made: &mut Vec<u8>,
        mut each: impl FnMut(Range<usize>, Range<usize>),
    ) {
        let Some(template) = packet.get(..self.headers) else {
            return;
        };
        let addresses = checksum::sum(inner.addresses(packet));
        let mut at = self.headers;
        let mut number = 0u32;
        loop {
            let end = (at + self.size).min(self.total);
            let payload = packet.get(at..end).unwrap_or_default();
            let from = made.len();
            made.extend_from_slice(prefix);
            let header_at = made.len();
            made.extend_from_slice(template);
            if let Some(header) = made.get_mut(header_at..) {
                let place = Place {
                    number,
                    skipped: (at - self.headers) as u32,
                    last: end == self.total,
                };
                self.write(header, payload, addresses, place);
            }
            each(from..made.len(), at..end);
            if end == self.total {
                return;
            }
            at = end;
            number += 1;
        }
    }

    /// Makes a copy of the large packet's headers those of one piece.
    fn write(&self, header: &mut [u8], payload: &[u8], addresses: u64, place: Place) {
        let length = header.len() + payload.len();
        let l4_length = length - self.ip;
        let Some((ip, l4)) = header.split_at_mut_checked(self.ip) else {
            return;
        };
        if self.ip == 40 && ip.first().is_some_and(|first| first >> 4 == 6) {
            put16(ip, 4, l4_length as u16);
        } else {
            put16(ip, 2, length as u16);
            let number = get16(ip, 4).wrapping_add(place.number as u16);
            put16(ip, 4, number);
            packet::seal_v4(ip);
        }
        let (protocol, field) = match self.gso {
            Gso::Udp => {
                put16(l4, 4, l4_length as u16);
                (packet::UDP, 6)
            }
            _ => {
                let first = u32::from(get16(l4, 4)) << 16 | u32::from(get16(l4, 6));
                let sequence = first.wrapping_add(place.skipped);
                put16(l4, 4, (sequence >> 16) as u16);
                put16(l4, 6, sequence as u16);
                if let Some(flags) = l4.get_mut(13) {
                    if !place.last {
                        *flags &= !FIN_PSH;
                    }
                    if place.number > 0 {
                        *flags &= !CWR;
                    }
                }
                (packet::TCP, 16)
            }
        };
        if let Some(field) = l4.get_mut(field..field + 2) {
            field.fill(0);
        }
        let sum = addresses
            + checksum::pseudo(&[], protocol, l4_length)
            + checksum::sum(l4)
            + checksum::sum(payload);
        let mut right = checksum::finish(sum);
        if protocol == packet::UDP && right == [0, 0] {
            right = [0xff, 0xff];
        }
        if let Some(field) = l4.get_mut(field..field + 2) {
            field.copy_from_slice(&right);
        }
    }
}

/// Where a piece is among the others.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    skipped: u32,
    last: bool,
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u16::from_be_bytes(*word))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Completes the checksum of a packet whose sender has left it to the device. Nothing is changed if
/// it says a place outside the packet.
pub fn complete_checksum(packet: &mut [u8], (start, field): (u16, u16)) -> Option<()> {
    let (start, field) = (usize::from(start), usize::from(field));
    let covered = packet.get_mut(start..)?;
    covered.get(field..field + 2)?;
    let mut right = checksum::finish(checksum::sum(covered));
    if right == [0, 0] {
        // Zero would mean none for UDP, and is the same number for TCP.
        right = [0xff, 0xff];
    }
    covered.get_mut(field..field + 2)?.copy_from_slice(&right);
    Some(())
}
