//! Packets too large for the tunnel: the stateless way of RFC 9300, section 7.1. What may be fragmented
//! is, before it is encapsulated, so that the other end need not put it together; the sender of
//! anything else is told what fits.

use std::net::IpAddr;
use std::ops::Range;

use super::checksum;
use super::packet::{self, Inner};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Bytes of the packet that an ICMP message quotes: RFC 1812 for IPv4, what fits 1280 for IPv6.
const QUOTED_V4: usize = 548;
const QUOTED_V6: usize = 1232;

/// Cuts an IPv4 packet into pieces of at most `limit` bytes. Appends `prefix` and the headers of
/// each to `made`, and calls `each` with where they are and where its payload is. False if it
/// cannot be cut.
pub fn fragment(
    packet: &[u8],
    inner: &Inner,
    limit: usize,
    prefix: &[u8],
    made: &mut Vec<u8>,
    mut each: impl FnMut(Range<usize>, Range<usize>),
) -> bool {
    let room = limit.saturating_sub(inner.header) / 8 * 8;
    let Some(template) = packet.get(..inner.header) else {
        return false;
    };
    if inner.dont_fragment || room == 0 || inner.source.is_ipv6() {
        return false;
    }
    let before = u16::from_be_bytes([template[6], template[7]]);
    let mut at = inner.header;
    while at < inner.total {
        let end = (at + room).min(inner.total);
        let from = made.len();
        made.extend_from_slice(prefix);
        let header_at = made.len();
        made.extend_from_slice(template);
        let skipped = (at - inner.header) / 8;
        let more = if end < inner.total { 0x2000 } else { 0 };
        let Some(header) = made.get_mut(header_at..) else {
            return false;
        };
        let offset = before.wrapping_add(skipped as u16) | more;
        let length = (inner.header + end - at) as u16;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[6..8].copy_from_slice(&offset.to_be_bytes());
        if skipped > 0 {
            forget_options(header);
        }
        packet::seal_v4(header);
        each(from..made.len(), at..end);
        at = end;
    }
    true
}

/// Options without the copied flag are in the first fragment only (RFC 791); here they become
/// no-operations, which keeps the header's length.
fn forget_options(header: &mut [u8]) {
    let mut at = 20;
    while let Some(&kind) = header.get(at) {
        let length = match kind {
            0 => return,
            1 => 1,
            _ => usize::from(header.get(at + 1).copied().unwrap_or(2)).max(2),
        };
        if kind & 0x80 == 0 {
            let end = (at + length).min(header.len());
            if let Some(option) = header.get_mut(at..end) {
                option.fill(1);
            }
        }
        at += length;
    }
}

/// The ICMP message that a packet does not fit `limit` bytes. Nothing where none may be sent: about
/// another error, a later fragment, or to many.
///
/// It seems to come from the packet's destination: that is on the far side of the tunnel for the
/// sender's kernel, which may refuse other addresses there.
pub fn too_big(packet: &[u8], inner: &Inner, limit: usize) -> Option<Vec<u8>> {
    let l4 = packet.get(inner.header..)?;
    match (inner.source, inner.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let offset = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
            let about_error =
                inner.protocol == ICMP && matches!(l4.first(), Some(3 | 4 | 5 | 11 | 12));
            let unfit = source.is_multicast() || source.is_broadcast() || source.is_unspecified();
            if offset != 0 || about_error || unfit || destination.is_multicast() {
                return None;
            }
            let quoted = packet.get(..packet.len().min(QUOTED_V4))?;
            let total = (28 + quoted.len()) as u16;
            let mut made = vec![0x45, 0xc0];
            made.extend(total.to_be_bytes());
            made.extend([0, 0, 0, 0, 64, ICMP, 0, 0]);
            made.extend(destination.octets());
            made.extend(source.octets());
            packet::seal_v4(&mut made);
            made.extend([3, 4, 0, 0, 0, 0]);
            made.extend((limit as u16).to_be_bytes());
            made.extend_from_slice(quoted);
            let right = checksum::finish(checksum::sum(made.get(20..)?));
            made.get_mut(22..24)?.copy_from_slice(&right);
            Some(made)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let about_error =
                inner.protocol == ICMPV6 && l4.first().is_some_and(|kind| *kind < 128);
            if about_error || source.is_multicast() || source.is_unspecified() {
                return None;
            }
            let quoted = packet.get(..packet.len().min(QUOTED_V6))?;
            let length = 8 + quoted.len();
            let mut made = vec![0x60, 0, 0, 0];
            made.extend((length as u16).to_be_bytes());
            made.extend([ICMPV6, 64]);
            made.extend(destination.octets());
            made.extend(source.octets());
            made.extend([2, 0, 0, 0]);
            made.extend((limit as u32).to_be_bytes());
            made.extend_from_slice(quoted);
            let sum =
                checksum::pseudo(made.get(8..40)?, ICMPV6, length) + checksum::sum(made.get(40..)?);
            made.get_mut(42..44)?
                .copy_from_slice(&checksum::finish(sum));
            Some(made)
        }
        _ => None,
    }
}
