//! The little Ethernet that a layer-2 device needs to carry IP only: headers, and answers to who asks for the
//! neighbours that are peers (RFC 826, RFC 4861).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use offload::checksum;
use offload::tun::ETHERNET;

/// A MAC address.
pub type Mac = [u8; 6];

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, their lengths.
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// A solicitation without options: IPv6, and 24 bytes.
const SOLICITED: usize = 40 + 24;

/// The two ends of the wire inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// All peers are at this address.
    pub mac: Mac,
    /// The switch's own interface.
    pub inside: Mac,
}

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An IP packet for a peer, and where it is in the frame.
    Packet(Range<usize>),
    /// A question; this frame is the answer.
    Answer(Vec<u8>),
    /// A question that is not ours to answer, or nothing that a peer has to see.
    Nothing,
}

impl Wire {
    /// The header of a frame with this packet for the switch. Nothing if it is not IP.
    pub fn header(&self, packet: &[u8]) -> Option<[u8; ETHERNET]> {
        let kind = match packet.first()? >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return None,
        };
        Some(header(self.inside, self.mac, kind))
    }

    /// Looks at a frame of the switch. `is_peers` says whether an address is some peer's.
    pub fn look(&self, frame: &[u8], is_peers: impl Fn(IpAddr) -> bool) -> Frame {
        let Some((header, rest)) = frame.split_first_chunk::<ETHERNET>() else {
            return Frame::Nothing;
        };
        let [d0, d1, d2, d3, d4, d5, .., k0, k1] = *header;
        let (to, kind) = ([d0, d1, d2, d3, d4, d5], [k0, k1]);
        match kind {
            ARP => self
                .arp(rest, is_peers)
                .map_or(Frame::Nothing, Frame::Answer),
            IPV6 if to != self.mac || is_solicitation(rest) => {
                let answer = self.neighbour(header, rest, is_peers);
                answer.map_or(Frame::Nothing, Frame::Answer)
            }
            IPV4 | IPV6 if to == self.mac => Frame::Packet(ETHERNET..frame.len()),
            _ => Frame::Nothing,
        }
    }

    fn arp(&self, packet: &[u8], is_peers: impl Fn(IpAddr) -> bool) -> Option<Vec<u8>> {
        let (fixed, _) = packet.split_first_chunk::<28>()?;
        let (kind, rest) = fixed.split_first_chunk::<6>()?;
        let (operation, rest) = rest.split_first_chunk::<2>()?;
        let (asker, rest) = rest.split_first_chunk::<6>()?;
        let (own, rest) = rest.split_first_chunk::<4>()?;
        let wanted: &[u8; 4] = rest.get(6..)?.first_chunk()?;
        // Who tells its own address, or makes sure that nobody else has it, asks for no neighbour.
        let tells = own == wanted || *own == [0; 4];
        if *kind != ARP_KIND || *operation != REQUEST || tells || is_group(asker) {
            return None;
        }
        if !is_peers(Ipv4Addr::from(*wanted).into()) {
            return None;
        }
        let mut answer = header(*asker, self.mac, ARP).to_vec();
        answer.extend(ARP_KIND);
        answer.extend(REPLY);
        answer.extend(self.mac);
        answer.extend(wanted);
        answer.extend(asker);
        answer.extend(own);
        Some(answer)
    }

    fn neighbour(
        &self,
        header_in: &[u8; ETHERNET],
        packet: &[u8],
        is_peers: impl Fn(IpAddr) -> bool,
    ) -> Option<Vec<u8>> {
        if !is_solicitation(packet) {
            return None;
        }
        let asker: &[u8; 6] = header_in.get(6..)?.first_chunk()?;
        let source: &[u8; 16] = packet.get(8..)?.first_chunk()?;
        let wanted: &[u8; 16] = packet.get(48..)?.first_chunk()?;
        // Hops must be all left, so that nobody asks from afar; who asks from no address asks for its own.
        let length = u16::from_be_bytes(*packet.get(4..)?.first_chunk()?);
        let message = packet.get(40..)?.get(..length.into())?;
        let sum = checksum::pseudo(packet.get(8..40)?, ICMPV6, message.len());
        let right = checksum::is_right(sum + checksum::sum(message));
        let from_nowhere = Ipv6Addr::from(*source).is_unspecified();
        if packet.get(7) != Some(&255) || !right || from_nowhere || is_group(asker) {
            return None;
        }
        if !is_peers(Ipv6Addr::from(*wanted).into()) {
            return None;
        }
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend(wanted);
        message.extend([2, 1]);
        message.extend(self.mac);
        let mut addresses = wanted.to_vec();
        addresses.extend(source);
        let sum = checksum::pseudo(&addresses, ICMPV6, message.len()) + checksum::sum(&message);
        message
            .get_mut(2..4)?
            .copy_from_slice(&checksum::finish(sum));
        let mut answer = header(*asker, self.mac, IPV6).to_vec();
        answer.extend([0x60, 0, 0, 0]);
        answer.extend((message.len() as u16).to_be_bytes());
        answer.extend([ICMPV6, 255]);
        answer.extend(addresses);
        answer.extend(message);
        Some(answer)
    }
}

fn header(to: Mac, from: Mac, kind: [u8; 2]) -> [u8; ETHERNET] {
    let [a, b, c, d, e, f] = to;
    let [g, h, i, j, k, l] = from;
    let [m, n] = kind;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n]
}

fn is_group(mac: &Mac) -> bool {
    mac.first().is_some_and(|first| first & 1 != 0)
}

fn is_solicitation(packet: &[u8]) -> bool {
    packet.len() >= SOLICITED
        && packet.get(6) == Some(&ICMPV6)
        && packet.get(40) == Some(&SOLICITATION)
}
