//! Large packets are cut and put together again without a byte changed, and damage is never covered up.

use std::ops::Range;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use offload::coalesce::{Coalescer, Taken};
use offload::oversize;
use offload::packet::Inner;
use offload::segment::{Plan, complete_checksum};
use offload::vnet::{Gso, Vnet};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Tcp4),
        Just(Kind::Tcp6),
        Just(Kind::Udp4),
        Just(Kind::Udp6)
    ]
}

impl Kind {
    fn gso(self) -> Gso {
        match self {
            Self::Tcp4 => Gso::Tcp4,
            Self::Tcp6 => Gso::Tcp6,
            Self::Udp4 | Self::Udp6 => Gso::Udp,
        }
    }

    fn packet(self, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let v4 = || PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let v6 = || PacketBuilder::ipv6([1; 16], [2; 16], 64);
        let options = [
            etherparse::TcpOptionElement::Noop,
            etherparse::TcpOptionElement::Timestamp(7, 8),
        ];
        let done = match self {
            Self::Tcp4 => v4()
                .tcp(1000, 2000, sequence, 500)
                .ack(77)
                .psh()
                .options(&options)
                .expect("options")
                .write(&mut bytes, payload),
            Self::Tcp6 => v6()
                .tcp(1000, 2000, sequence, 500)
                .ack(77)
                .psh()
                .write(&mut bytes, payload),
            Self::Udp4 => v4().udp(1000, 2000).write(&mut bytes, payload),
            Self::Udp6 => v6().udp(1000, 2000).write(&mut bytes, payload),
        };
        done.expect("a packet");
        bytes
    }
}

/// Payload of a packet; nothing if a checksum or length is wrong.
fn good_payload(packet: &[u8]) -> Option<(u32, Vec<u8>)> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            (header.calc_header_checksum() == ip.header().header_checksum()).then_some(())?;
            match &sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    let right =
                        tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination());
                    (right.ok()? == tcp.checksum()).then_some(())?;
                }
                Some(TransportSlice::Udp(udp)) => {
                    let right = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
                    (right.ok()? == udp.checksum()).then_some(())?;
                }
                _ => return None,
            }
        }
        Some(NetSlice::Ipv6(ip)) => match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let right = tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination());
                (right.ok()? == tcp.checksum()).then_some(())?;
            }
            Some(TransportSlice::Udp(udp)) => {
                let right = udp
                    .to_header()
                    .calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
                (right.ok()? == udp.checksum()).then_some(())?;
            }
            _ => return None,
        },
        _ => return None,
    }
    Some(match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.sequence_number(), tcp.payload().to_vec()),
        Some(TransportSlice::Udp(udp)) => (0, udp.payload().to_vec()),
        _ => return None,
    })
}

fn cut(packet: &[u8], gso: Gso, size: usize) -> Vec<Vec<u8>> {
    let inner = Inner::read(packet).expect("a packet");
    let plan = Plan::new(packet, &inner, gso, size).expect("a plan");
    let mut made = Vec::new();
    let mut places: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    plan.cut(packet, &inner, b"prefix", &mut made, |header, payload| {
        places.push((header, payload))
    });
    let join = |(header, payload): &(Range<usize>, Range<usize>)| {
        assert_eq!(&made[header.clone()][..6], b"prefix");
        [
            &made[header.start + 6..header.end],
            &packet[payload.clone()],
        ]
        .concat()
    };
    places.iter().map(join).collect()
}

/// What comes out: packets with what stands before them, and how many were found damaged.
fn coalesce(pieces: &[Vec<u8>]) -> (Vec<(Vnet, Vec<u8>)>, usize) {
    let mut damaged = 0;
    let mut buffer: Vec<u8> = Vec::new();
    let mut coalescer = Coalescer::new(true);
    let mut places = Vec::new();
    for piece in pieces {
        buffer.extend([0xee; 8]);
        places.push(buffer.len()..buffer.len() + piece.len());
        buffer.extend(piece);
    }
    for place in places {
        if let Some(inner) = Inner::read(&buffer[place.clone()]) {
            let place = place.start..place.start + inner.total;
            let flow = inner.flow(&buffer[place.clone()], 5);
            let taken = coalescer.push(&buffer, place, &inner, flow);
            damaged += usize::from(taken == Taken::Damaged);
        }
    }
    let mut out = Vec::new();
    coalescer.flush(&mut buffer, |buffer, vnet, pieces| {
        let pieces: Vec<&[u8]> = pieces.iter().map(|place| &buffer[place.clone()]).collect();
        out.push((vnet, pieces.concat()));
    });
    (out, damaged)
}

/// A packet as the kernel takes it: its checksum is computed if it is said to be missing.
fn completed((vnet, packet): &(Vnet, Vec<u8>)) -> Vec<u8> {
    let mut packet = packet.clone();
    if let Some(checksum) = vnet.checksum {
        complete_checksum(&mut packet, checksum).expect("a place in it");
    }
    packet
}

proptest! {
    #[test]
    fn what_is_cut_is_right_and_comes_together_again(
        kind in kind(),
        sequence in any::<u32>(),
        payload in proptest::collection::vec(any::<u8>(), 2..40_000),
        size in 700usize..1500,
    ) {
        let packet = kind.packet(sequence, &payload);
        let pieces = cut(&packet, kind.gso(), size);
        let mut joined = Vec::new();
        for piece in &pieces {
            let (at, part) = good_payload(piece).expect("right checksums and lengths");
            if matches!(kind, Kind::Tcp4 | Kind::Tcp6) {
                prop_assert_eq!(at, sequence.wrapping_add(joined.len() as u32));
            }
            prop_assert!(part.len() <= size);
            joined.extend(part);
        }
        prop_assert!(joined == payload);
        let (out, damaged) = coalesce(&pieces);
        let one = if pieces.len() <= 64 { 1 } else { 2 };
        prop_assert_eq!(out.len(), one);
        if let [whole] = out.as_slice() {
            if pieces.len() > 1 {
                prop_assert_eq!(whole.0.gso, kind.gso());
                prop_assert_eq!(usize::from(whole.0.size), size);
            }
            let (at, part) = good_payload(&completed(whole)).expect("a right packet");
            prop_assert!(part == payload);
            prop_assert!(kind == Kind::Udp4 || kind == Kind::Udp6 || at == sequence);
        }
        prop_assert_eq!(damaged, 0);
    }

    #[test]
    fn a_damaged_packet_is_never_made_a_good_one(
        kind in kind(),
        payload in proptest::collection::vec(any::<u8>(), 3000..9000),
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut pieces = cut(&kind.packet(9, &payload), kind.gso(), 1000);
        let good: Vec<Vec<u8>> = pieces.iter().filter_map(|p| good_payload(p).map(|g| g.1)).collect();
        let which = which.index(pieces.len());
        let at = at.index(pieces[which].len());
        pieces[which][at] ^= 1 << bit;
        // What a receiver takes for good has to be something that was sent, in the same order.
        let covered = good_payload(&pieces[which]).is_some();
        let (out, _) = coalesce(&pieces);
        let mut taken = Vec::new();
        for packet in &out {
            if let Some((_, part)) = good_payload(&completed(packet)) {
                taken.extend(part);
            }
        }
        let mut expected: Vec<u8> = Vec::new();
        for (number, part) in good.iter().enumerate() {
            if number != which || covered {
                expected.extend(part);
            }
        }
        // Damage to what no checksum covers (IPv6 hops, flow label, class) changes no payload.
        prop_assert!(taken == expected, "{} of {} bytes, {covered}", taken.len(), expected.len());
    }

    #[test]
    fn any_bytes_do_not_make_it_panic(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        first in any::<u8>(),
        gso in 0u8..7,
        size in any::<u16>(),
        checksum in any::<(u16, u16)>(),
        limit in 0usize..2000,
    ) {
        let mut packets = packets;
        for packet in &mut packets {
            if let Some(byte) = packet.first_mut() {
                *byte = if first & 1 == 0 { 0x40 | first >> 4 } else { 0x60 };
            }
            let gso = Vnet::decode([0, gso, 0, 0, 0, 0, 0, 0, 0, 0]).gso;
            complete_checksum(&mut packet.clone(), checksum);
            if let Some(inner) = Inner::read(packet) {
                let mut made = Vec::new();
                if let Some(plan) = Plan::new(packet, &inner, gso, size.into()) {
                    plan.cut(packet, &inner, &[], &mut made, |_, _| {});
                }
                oversize::fragment(packet, &inner, limit, &[], &mut made, |_, _| {});
                oversize::too_big(packet, &inner, limit);
            }
        }
        coalesce(&packets);
    }

    #[test]
    fn fragments_are_within_the_limit_and_make_up_the_packet(
        payload in proptest::collection::vec(any::<u8>(), 1..6000),
        limit in 28usize..3000,
    ) {
        let packet = Kind::Udp4.packet(0, &payload);
        let mut packet = packet;
        packet[6] &= !0x40;
        let inner = Inner::read(&packet).expect("a packet");
        let mut made = Vec::new();
        let mut places = Vec::new();
        prop_assert!(oversize::fragment(&packet, &inner, limit, &[], &mut made, |h, p| places.push((h, p))));
        let mut at = 0;
        for (number, (header, payload)) in places.iter().enumerate() {
            let header = &made[header.clone()];
            prop_assert!(header.len() + payload.len() <= limit);
            let offset = u16::from_be_bytes([header[6], header[7]]);
            prop_assert_eq!(usize::from(offset & 0x1fff) * 8, at);
            prop_assert_eq!(offset & 0x2000 != 0, number + 1 < places.len());
            prop_assert_eq!(usize::from(u16::from_be_bytes([header[2], header[3]])), 20 + payload.len());
            at += payload.len();
        }
        prop_assert_eq!(at, packet.len() - 20);
    }
}
