//! The questions of a switch are answered as RFC 826 and RFC 4861 have it, and no bytes make it stumble.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpPacketSlice, Ipv6HeaderSlice, NetSlice, PacketBuilder, SlicedPacket, TransportSlice,
};
use proptest::prelude::*;
use wireguard::ethernet::{Frame, Wire};

const WIRE: Wire = Wire {
    mac: [2, 0, 0, 0, 0, 1],
    inside: [2, 0, 0, 0, 0, 2],
};
const ASKER: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn arp(operation: u16, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(ASKER);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(ASKER);
    frame.extend(from);
    frame.extend([0; 6]);
    frame.extend(to);
    frame
}

fn solicitation(from: Ipv6Addr, wanted: Ipv6Addr, hops: u8) -> Vec<u8> {
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&wanted.octets()[13..]);
    let mut payload = wanted.octets().to_vec();
    payload.extend([1, 1]);
    payload.extend(ASKER);
    let builder = PacketBuilder::ethernet2(ASKER, [0x33, 0x33, 0xff, 0, 0, 1])
        .ipv6(from.octets(), group, hops)
        .icmpv6_raw(135, 0, [0; 4]);
    let mut frame = Vec::new();
    builder.write(&mut frame, &payload).expect("a frame");
    frame
}

fn all(_: IpAddr) -> bool {
    true
}

#[test]
fn who_asks_for_a_peer_over_ipv4_is_told_the_devices_mac() {
    let question = arp(1, [10, 0, 0, 1], [10, 0, 0, 2]);
    let peer = |address| address == IpAddr::from([10, 0, 0, 2]);
    let Frame::Answer(answer) = WIRE.look(&question, peer) else {
        panic!("an answer");
    };
    assert_eq!(answer[..12], [ASKER, WIRE.mac].concat());
    let answer = ArpPacketSlice::from_slice(&answer[14..]).expect("ARP");
    assert_eq!(answer.operation().0, 2);
    assert_eq!(answer.sender_hw_addr(), WIRE.mac);
    assert_eq!(answer.sender_protocol_addr(), [10, 0, 0, 2]);
    assert_eq!(answer.target_hw_addr(), ASKER);
    assert_eq!(answer.target_protocol_addr(), [10, 0, 0, 1]);
    for (operation, from, to) in [
        (1, [10, 0, 0, 1], [10, 0, 0, 3]),
        (2, [10, 0, 0, 1], [10, 0, 0, 2]),
        (1, [10, 0, 0, 2], [10, 0, 0, 2]),
        (1, [0, 0, 0, 0], [10, 0, 0, 2]),
    ] {
        let frame = arp(operation, from, to);
        assert_eq!(
            WIRE.look(&frame, peer),
            Frame::Nothing,
            "{operation} {from:?} {to:?}"
        );
    }
}

#[test]
fn who_asks_for_a_peer_over_ipv6_is_told_the_devices_mac() {
    let (from, wanted): (Ipv6Addr, Ipv6Addr) =
        ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let peer = move |address| address == IpAddr::from(wanted);
    let Frame::Answer(answer) = WIRE.look(&solicitation(from, wanted, 255), peer) else {
        panic!("an answer");
    };
    assert_eq!(answer[..12], [ASKER, WIRE.mac].concat());
    let sliced = SlicedPacket::from_ethernet(&answer).expect("a frame");
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else {
        panic!("IPv6");
    };
    assert_eq!(
        (ip.header().source_addr(), ip.header().destination_addr()),
        (wanted, from)
    );
    assert_eq!(ip.header().hop_limit(), 255);
    let Some(TransportSlice::Icmpv6(icmp)) = &sliced.transport else {
        panic!("ICMPv6");
    };
    assert!(icmp.is_checksum_valid(wanted.octets(), from.octets()));
    assert_eq!(icmp.type_u8(), 136);
    assert_eq!(
        answer[14 + 40 + 4] & 0xe0,
        0x60,
        "solicited, and in place of what was known"
    );
    assert_eq!(answer[14 + 40 + 8..14 + 40 + 24], wanted.octets());
    assert_eq!(answer[14 + 40 + 24..], [2, 1, 2, 0, 0, 0, 0, 1]);
    let nowhere = Ipv6Addr::UNSPECIFIED;
    let other = "fd00::3".parse().unwrap();
    for frame in [
        solicitation(from, wanted, 254),
        solicitation(nowhere, wanted, 255),
        solicitation(from, other, 255),
    ] {
        assert_eq!(WIRE.look(&frame, peer), Frame::Nothing);
    }
    let mut damaged = solicitation(from, wanted, 255);
    damaged[14 + 40 + 2] ^= 1;
    assert_eq!(WIRE.look(&damaged, peer), Frame::Nothing);
    assert!(Ipv6HeaderSlice::from_slice(&damaged[14..]).is_ok());
}

#[test]
fn only_ip_to_the_devices_mac_is_for_a_peer() {
    let frame = |to: [u8; 6], kind: [u8; 2]| {
        let mut frame = to.to_vec();
        frame.extend(WIRE.inside);
        frame.extend(kind);
        frame.extend([0x45; 40]);
        frame
    };
    let packet = Frame::Packet(14..54);
    assert_eq!(WIRE.look(&frame(WIRE.mac, [8, 0]), all), packet);
    assert_eq!(WIRE.look(&frame(WIRE.mac, [0x86, 0xdd]), all), packet);
    assert_eq!(WIRE.look(&frame(WIRE.mac, [0x81, 0]), all), Frame::Nothing);
    assert_eq!(WIRE.look(&frame([0xff; 6], [8, 0]), all), Frame::Nothing);
    assert_eq!(WIRE.look(&frame(ASKER, [8, 0]), all), Frame::Nothing);
}

#[test]
fn frames_to_the_switch_say_what_is_in_them() {
    let expected = |kind: [u8; 2]| [&WIRE.inside[..], &WIRE.mac, &kind].concat();
    assert_eq!(
        WIRE.header(&[0x45, 0]).map(Vec::from),
        Some(expected([8, 0]))
    );
    assert_eq!(
        WIRE.header(&[0x60, 0]).map(Vec::from),
        Some(expected([0x86, 0xdd]))
    );
    assert_eq!(WIRE.header(&[0x10]), None);
    assert_eq!(WIRE.header(&[]), None);
}

proptest! {
    #[test]
    fn any_frame_is_looked_at_without_harm(
        mut frame in proptest::collection::vec(any::<u8>(), 0..200),
        kind in prop_oneof![Just([8u8, 0]), Just([8, 6]), Just([0x86, 0xdd]), any::<[u8; 2]>()],
        ours in any::<bool>(),
        solicits in any::<bool>(),
    ) {
        if let Some(place) = frame.get_mut(12..14) {
            place.copy_from_slice(&kind);
        }
        if ours && let Some(place) = frame.get_mut(..6) {
            place.copy_from_slice(&WIRE.mac);
        }
        if solicits && frame.len() > 54 {
            frame[20] = 58;
            frame[54] = 135;
        }
        match WIRE.look(&frame, all) {
            Frame::Packet(place) => prop_assert!(frame.get(place).is_some() && ours),
            Frame::Answer(answer) => prop_assert!(answer.len() >= 42),
            Frame::Nothing => {}
        }
    }

    #[test]
    fn a_changed_question_gets_no_wrong_answer(
        at in 14usize..42,
        bits in 1u8..,
    ) {
        let mut frame = arp(1, [10, 0, 0, 1], [10, 0, 0, 2]);
        frame[at] ^= bits;
        let peer = |address| address == IpAddr::from(Ipv4Addr::new(10, 0, 0, 2));
        if let Frame::Answer(answer) = WIRE.look(&frame, peer) {
            // Only of who asks may something differ.
            prop_assert!((22..32).contains(&at) || (32..38).contains(&at), "{}", at);
            prop_assert_eq!(&answer[28..32], &[10, 0, 0, 2]);
        }
    }
}
