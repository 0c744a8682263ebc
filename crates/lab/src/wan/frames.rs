//! Just as much of Ethernet, ARP, IPv4, IPv6 and ICMP as a gateway needs.
//!
//! Pure: bytes in, values or bytes out. Nothing here trusts a length field beyond the bytes that
//! are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Mac;

pub(crate) const ETHERNET: usize = 14;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMP6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// What a frame is to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// An ARP packet (RFC 826).
    Arp {
        request: bool,
        sender_mac: Mac,
        sender: Ipv4Addr,
        target: Ipv4Addr,
    },
    /// A neighbour solicitation (RFC 4861, 4.3); `link` is its source link-layer address option.
    Solicit {
        source: Ipv6Addr,
        target: Ipv6Addr,
        link: Option<Mac>,
    },
    /// A neighbour advertisement (RFC 4861, 4.4); `link` is its target link-layer address option.
    Advertise { target: Ipv6Addr, link: Option<Mac> },
    /// Any other IP packet.
    Ip {
        source: IpAddr,
        target: IpAddr,
        hops: u8,
        echo: bool,
    },
    /// Nothing for a gateway.
    Other,
    /// Broken.
    Malformed,
}

pub(crate) fn destination(frame: &[u8]) -> Option<Mac> {
    Some(Mac(*frame.first_chunk::<6>()?))
}

pub(crate) fn source(frame: &[u8]) -> Option<Mac> {
    Some(Mac(*frame.get(6..)?.first_chunk::<6>()?))
}

pub(crate) fn see(frame: &[u8]) -> Seen {
    let Some((header, body)) = frame.split_at_checked(ETHERNET) else {
        return Seen::Malformed;
    };
    match u16::from_be_bytes([header[12], header[13]]) {
        ARP => see_arp(body).unwrap_or(Seen::Malformed),
        IPV4 => see_v4(body).unwrap_or(Seen::Malformed),
        IPV6 => see_v6(body).unwrap_or(Seen::Malformed),
        _ => Seen::Other,
    }
}

fn see_arp(body: &[u8]) -> Option<Seen> {
    let body: &[u8; 28] = body.first_chunk()?;
    // Ethernet, IPv4, six and four bytes of address.
    if body[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let request = match body[7] {
        1 => true,
        2 => false,
        _ => return None,
    };
    Some(Seen::Arp {
        request,
        sender_mac: Mac(body[8..14].try_into().ok()?),
        sender: v4_at(body, 14)?,
        target: v4_at(body, 24)?,
    })
}

fn see_v4(body: &[u8]) -> Option<Seen> {
    let words = usize::from(body.first()? & 0x0f);
    let header = body.get(..words * 4)?;
    let total = usize::from(u16_at(body, 2)?);
    let valid = body[0] >> 4 == 4 && words >= 5 && total >= header.len() && total <= body.len();
    if !valid || checksum(&[header]) != 0 {
        return None;
    }
    let payload = &body[header.len()..total];
    let fragment = u16_at(body, 6)? & 0x3fff != 0;
    let echo = header[9] == PROTOCOL_ICMP && !fragment && payload.len() >= 8 && payload[0] == 8;
    Some(Seen::Ip {
        source: v4_at(body, 12)?.into(),
        target: v4_at(body, 16)?.into(),
        hops: header[8],
        echo,
    })
}

fn see_v6(body: &[u8]) -> Option<Seen> {
    let header: &[u8; 40] = body.first_chunk()?;
    let length = usize::from(u16_at(header, 4)?);
    let payload = body.get(40..40 + length)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (source, target) = (v6_at(header, 8)?, v6_at(header, 24)?);
    let hops = header[7];
    let kind = (header[6] == PROTOCOL_ICMP6)
        .then(|| payload.first().copied())
        .flatten();
    Some(match kind {
        // RFC 4861, 7.1: the hop limit proves that it comes from this link.
        Some(NEIGHBOUR_SOLICITATION) if hops == 255 => {
            let (asked, link) = neighbour(payload, 1)?;
            Seen::Solicit {
                source,
                target: asked,
                link,
            }
        }
        Some(NEIGHBOUR_ADVERTISEMENT) if hops == 255 => {
            let (told, link) = neighbour(payload, 2)?;
            Seen::Advertise { target: told, link }
        }
        _ => Seen::Ip {
            source: source.into(),
            target: target.into(),
            hops,
            echo: kind == Some(128) && payload.len() >= 8,
        },
    })
}

/// The target address of a neighbour message, and its link-layer option of a type.
fn neighbour(payload: &[u8], option: u8) -> Option<(Ipv6Addr, Option<Mac>)> {
    let target = v6_at(payload, 8)?;
    let mut options = payload.get(24..)?;
    while let [kind, length, rest @ ..] = options {
        if *kind == option && *length == 1 {
            return Some((target, Some(Mac(*rest.first_chunk()?))));
        }
        if *length == 0 {
            return None;
        }
        options = options.get(usize::from(*length) * 8..)?;
    }
    Some((target, None))
}

/// The answer to an ARP request for `target`, which is at `mac`.
pub(crate) fn arp_reply(mac: Mac, target: Ipv4Addr, to: Mac, asker: Ipv4Addr) -> Vec<u8> {
    arp(2, mac, target, to, to, asker)
}

/// A question who has `target`.
pub(crate) fn arp_request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp(1, mac, sender, Mac::BROADCAST, Mac([0; 6]), target)
}

fn arp(op: u8, from: Mac, sender: Ipv4Addr, to: Mac, asked: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(to, from, ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, op]);
    frame.extend(from.0);
    frame.extend(sender.octets());
    frame.extend(asked.0);
    frame.extend(target.octets());
    frame
}

/// The answer to a neighbour solicitation for `target`, a router at `mac` (RFC 4861, 7.2.4).
pub(crate) fn advertisement(mac: Mac, target: Ipv6Addr, to: Mac, asker: Ipv6Addr) -> Vec<u8> {
    // Router, and override; solicited only when there is somebody to tell.
    let (asker, flags) = match asker.is_unspecified() {
        true => (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0xa0),
        false => (asker, 0xe0),
    };
    let mut body = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    body.extend([2, 1]);
    body.extend(mac.0);
    icmp6(mac, to, target, asker, body)
}

/// A question who has `target` (RFC 4861, 7.2.2).
pub(crate) fn solicitation(mac: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    );
    let mut body = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    body.extend([1, 1]);
    body.extend(mac.0);
    icmp6(mac, Mac([0x33, 0x33, 0xff, a, b, c]), sender, group, body)
}

fn icmp6(from: Mac, to: Mac, source: Ipv6Addr, target: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let sum = icmp6_checksum(source, target, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(to, from, IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((body.len() as u16).to_be_bytes());
    frame.extend([PROTOCOL_ICMP6, 255]);
    frame.extend(source.octets());
    frame.extend(target.octets());
    frame.extend(body);
    frame
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(kind.to_be_bytes());
    frame
}

/// Turns an echo request (as [`see`] found it) into its reply, sent back where it came from.
pub(crate) fn echo_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let mut reply = frame.to_vec();
    let (to, from) = (source(frame)?, destination(frame)?);
    reply[..6].copy_from_slice(&to.0);
    reply[6..12].copy_from_slice(&from.0);
    let body = reply.get_mut(ETHERNET..)?;
    match body.first()? >> 4 {
        4 => {
            let header = usize::from(body[0] & 0x0f) * 4;
            let total = usize::from(u16_at(body, 2)?);
            let (source, target) = (v4_at(body, 12)?, v4_at(body, 16)?);
            body[12..16].copy_from_slice(&target.octets());
            body[16..20].copy_from_slice(&source.octets());
            body[8] = 64;
            set_checksum(body.get_mut(..header)?, 10);
            let message = body.get_mut(header..total)?;
            message[0] = 0;
            set_checksum(message, 2);
        }
        _ => {
            let (source, target) = (v6_at(body, 8)?, v6_at(body, 24)?);
            body[8..24].copy_from_slice(&target.octets());
            body[24..40].copy_from_slice(&source.octets());
            body[7] = 64;
            let length = usize::from(u16_at(body, 4)?);
            let message = body.get_mut(40..40 + length)?;
            message[0] = 129;
            message[2..4].fill(0);
            let sum = icmp6_checksum(target, source, message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
    Some(reply)
}

/// Takes one hop off a packet that [`see`] accepted; `false` when none is left.
pub(crate) fn take_hop(frame: &mut [u8]) -> bool {
    let Some(body) = frame.get_mut(ETHERNET..) else {
        return false;
    };
    match body.first().map(|b| b >> 4) {
        Some(4) if body.len() >= 20 && body[8] > 1 => {
            body[8] -= 1;
            // RFC 1141: the TTL is the high byte of its word, so the sum grows by 0x0100.
            let sum = u32::from(u16::from_be_bytes([body[10], body[11]])) + 0x100;
            let sum = (sum & 0xffff) + (sum >> 16);
            body[10..12].copy_from_slice(&(sum as u16).to_be_bytes());
            true
        }
        Some(6) if body.len() >= 40 && body[7] > 1 => {
            body[7] -= 1;
            true
        }
        _ => false,
    }
}

pub(crate) fn set_macs(frame: &mut [u8], to: Mac, from: Mac) {
    if frame.len() >= 12 {
        frame[..6].copy_from_slice(&to.0);
        frame[6..12].copy_from_slice(&from.0);
    }
}

fn icmp6_checksum(source: Ipv6Addr, target: Ipv6Addr, message: &[u8]) -> u16 {
    let length = (message.len() as u32).to_be_bytes();
    checksum(&[
        &source.octets(),
        &target.octets(),
        &length,
        &[0, 0, 0, PROTOCOL_ICMP6],
        message,
    ])
}

/// RFC 1071 over pieces of even length (only the last may be odd).
fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for piece in pieces {
        let mut words = piece.chunks_exact(2);
        for word in &mut words {
            sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [last] = words.remainder() {
            sum += u32::from(*last) << 8;
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn set_checksum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let sum = checksum(&[bytes]);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn v4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn v6_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);

    /// A UDP packet without checksum, as a host would send it to its gateway.
    pub(crate) fn packet(to: Mac, source: IpAddr, target: IpAddr, hops: u8) -> Vec<u8> {
        let payload = [0x12, 0x34, 0x56, 0x78, 0, 8, 0, 0];
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let mut frame = ethernet(to, HOST, IPV4);
                frame.extend([0x45, 0, 0, 28, 0, 1, 0x40, 0, hops, 17, 0, 0]);
                frame.extend(source.octets());
                frame.extend(target.octets());
                set_checksum(&mut frame[ETHERNET..], 10);
                frame.extend(payload);
                frame
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let mut frame = ethernet(to, HOST, IPV6);
                frame.extend([0x60, 0, 0, 0, 0, 8, 17, hops]);
                frame.extend(source.octets());
                frame.extend(target.octets());
                frame.extend(payload);
                frame
            }
            _ => Vec::new(),
        }
    }

    fn v4() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 4]>().prop_map(IpAddr::from)
    }

    fn v6() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 16]>().prop_map(IpAddr::from)
    }

    #[test]
    fn an_arp_request_is_answered_as_rfc_826_says() {
        let (gateway, host) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let request = arp_request(HOST, host, gateway);
        let seen = Seen::Arp {
            request: true,
            sender_mac: HOST,
            sender: host,
            target: gateway,
        };
        assert_eq!(see(&request), seen);
        let reply = arp_reply(mac, gateway, HOST, host);
        let seen = Seen::Arp {
            request: false,
            sender_mac: mac,
            sender: gateway,
            target: host,
        };
        assert_eq!(see(&reply), seen);
        assert_eq!(destination(&reply), Some(HOST));
    }

    #[test]
    fn neighbour_messages_carry_their_link_address_and_a_valid_checksum() {
        let (asker, target): (Ipv6Addr, Ipv6Addr) =
            ("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap());
        let question = solicitation(HOST, asker, target);
        assert_eq!(
            see(&question),
            Seen::Solicit {
                source: asker,
                target,
                link: Some(HOST)
            }
        );
        assert_eq!(
            destination(&question),
            Some(Mac([0x33, 0x33, 0xff, 0, 0, 1]))
        );
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let answer = advertisement(mac, target, HOST, asker);
        assert_eq!(
            see(&answer),
            Seen::Advertise {
                target,
                link: Some(mac)
            }
        );
        let group = "ff02::1:ff00:1".parse().unwrap();
        for (frame, source, to) in [(question, asker, group), (answer, target, asker)] {
            assert_eq!(icmp6_checksum(source, to, &frame[ETHERNET + 40..]), 0);
        }
    }

    #[test]
    fn a_question_from_beyond_the_link_is_no_neighbour_message() {
        let asker = "fd00::2".parse().unwrap();
        let mut frame = solicitation(HOST, asker, "fd00::1".parse().unwrap());
        frame[ETHERNET + 7] = 254;
        assert!(matches!(see(&frame), Seen::Ip { .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_the_parser_fail(mut bytes: Vec<u8>, kind in 0..4usize) {
            if bytes.len() >= ETHERNET {
                let kinds = [ARP, IPV4, IPV6, 0x1234];
                bytes[12..14].copy_from_slice(&kinds[kind].to_be_bytes());
            }
            if let Seen::Ip { echo: true, .. } = see(&bytes) {
                echo_reply(&bytes);
            }
            take_hop(&mut bytes);
        }

        #[test]
        fn taking_a_hop_keeps_the_header_valid(
            (source, target) in prop_oneof![(v4(), v4()), (v6(), v6())], hops in 2..=255u8
        ) {
            let mut frame = packet(HOST, source, target, hops);
            prop_assert!(take_hop(&mut frame));
            let seen = Seen::Ip { source, target, hops: hops - 1, echo: false };
            prop_assert_eq!(see(&frame), seen);
        }

        #[test]
        fn the_last_hop_is_not_taken(
            (source, target) in prop_oneof![(v4(), v4()), (v6(), v6())], hops in 0..2u8
        ) {
            prop_assert!(!take_hop(&mut packet(HOST, source, target, hops)));
        }

        #[test]
        fn a_flipped_bit_in_an_ipv4_header_is_malformed(bit in 0..160usize) {
            let (source, target) = ([10, 0, 0, 2].into(), [10, 0, 1, 2].into());
            let mut frame = packet(HOST, source, target, 64);
            frame[ETHERNET + bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(see(&frame), Seen::Malformed);
        }
    }
}
