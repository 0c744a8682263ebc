//! What an inner packet says, and the few fields of it that a tunnel router changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;

/// TCP's protocol number.
pub const TCP: u8 = 6;
/// UDP's protocol number.
pub const UDP: u8 = 17;

/// An IP packet's header as far as forwarding needs it. Lengths were checked: the header and `total`
/// bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// From.
    pub source: IpAddr,
    /// To.
    pub destination: IpAddr,
    /// Protocol number of what follows the header.
    pub protocol: u8,
    /// Bytes of the header; IPv6 extension headers are not counted.
    pub header: usize,
    /// Bytes of the whole packet.
    pub total: usize,
    /// Whether it is a part of a packet, so that ports need not be there.
    pub fragment: bool,
    /// Whether it must not be fragmented on the way: always for IPv6.
    pub dont_fragment: bool,
}

impl Inner {
    /// Reads the header. Nothing if this is no IP packet or contradicts itself.
    pub fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 20] = packet.first_chunk()?;
        let header = usize::from(fixed[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if header < 20 || total < header || packet.len() < total {
            return None;
        }
        let offset = u16::from_be_bytes([fixed[6], fixed[7]]);
        Some(Self {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into(),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).into(),
            protocol: fixed[9],
            header,
            total,
            fragment: offset & 0x3fff != 0,
            dont_fragment: offset & 0x4000 != 0,
        })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 40] = packet.first_chunk()?;
        let total = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        if packet.len() < total {
            return None;
        }
        let address = |at: usize| {
            let bytes: Option<&[u8; 16]> = fixed.get(at..)?.first_chunk();
            bytes.map(|bytes| IpAddr::from(Ipv6Addr::from(*bytes)))
        };
        Some(Self {
            source: address(8)?,
            destination: address(24)?,
            protocol: fixed[6],
            header: 40,
            total,
            fragment: fixed[6] == 44,
            dont_fragment: true,
        })
    }

    /// Whether it is for one endpoint, which may be anywhere: no group, no address of one link only.
    pub fn is_for_one(&self) -> bool {
        match self.destination {
            IpAddr::V4(to) => !to.is_multicast() && !to.is_broadcast() && !to.is_link_local(),
            IpAddr::V6(to) => !to.is_multicast() && !to.is_unicast_link_local(),
        }
    }

    /// The addresses of the header, for a pseudo-header.
    pub fn addresses<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        match self.source {
            IpAddr::V4(_) => packet.get(12..20).unwrap_or_default(),
            IpAddr::V6(_) => packet.get(8..40).unwrap_or_default(),
        }
    }

    /// A number that is the same for all packets of a flow: of addresses, protocol, and ports where
    /// every packet of the flow has them.
    pub fn flow(&self, packet: &[u8], seed: u64) -> u64 {
        let ports = match self.protocol {
            TCP | UDP if !self.fragment => {
                packet.get(self.header..).and_then(|l4| l4.first_chunk())
            }
            _ => None,
        };
        let ports = u32::from_ne_bytes(*ports.unwrap_or(&[0; 4]));
        let mut mixed = mix(seed, u64::from(ports) << 8 | u64::from(self.protocol));
        for part in self.addresses(packet).chunks(8) {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(part) {
                *to = *from;
            }
            mixed = mix(mixed, u64::from_ne_bytes(bytes));
        }
        mixed
    }
}

/// A multiplication that spreads each bit over the result.
pub fn mix(state: u64, value: u64) -> u64 {
    let wide = u128::from(state ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (wide >> 64) as u64 ^ wide as u64
}

/// Hops left.
pub fn ttl(packet: &[u8]) -> u8 {
    let at = if is_v4(packet) { 8 } else { 7 };
    packet.get(at).copied().unwrap_or(0)
}

/// Differentiated services and ECN.
pub fn traffic_class(packet: &[u8]) -> u8 {
    match packet {
        [first, second, ..] if first >> 4 == 4 => *second,
        [first, second, ..] => first << 4 | second >> 4,
        _ => 0,
    }
}

/// Sets hops and traffic class; corrects an IPv4 header's checksum by what has changed, so that a
/// wrong one stays wrong.
pub fn set_ttl_and_class(packet: &mut [u8], ttl: u8, class: u8) {
    if is_v4(packet) {
        let Some(header) = packet.first_chunk_mut::<20>() else {
            return;
        };
        let before = header_words(header);
        header[1] = class;
        header[8] = ttl;
        let after = header_words(header);
        if before != after {
            // RFC 1624, equation 3: ~(~HC + ~m + m').
            let old = !u16::from_ne_bytes([header[10], header[11]]);
            let mut sum = u64::from(old);
            for (before, after) in before.into_iter().zip(after) {
                sum += u64::from(!before) + u64::from(after);
            }
            [header[10], header[11]] = checksum::finish(sum);
        }
    } else if let Some(header) = packet.first_chunk_mut::<8>() {
        header[0] = 0x60 | class >> 4;
        header[1] = header[1] & 15 | class << 4;
        header[7] = ttl;
    }
}

/// The words in which traffic class and hops are.
fn header_words(header: &[u8; 20]) -> [u16; 2] {
    [
        u16::from_ne_bytes([header[0], header[1]]),
        u16::from_ne_bytes([header[8], header[9]]),
    ]
}

fn is_v4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

/// Computes the checksum of an IPv4 header anew.
pub fn seal_v4(header: &mut [u8]) {
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
    }
    let right = checksum::finish(checksum::sum(header));
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&right);
    }
}
