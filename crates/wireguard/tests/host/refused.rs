//! What must not come in does not, is counted, and disturbs nobody.

use std::net::{SocketAddr, UdpSocket};

use wireguard::{Event, Peer, Reason, SecretKey, Transport};

use crate::relay::Relay;
use crate::stage::{PORT, Stage, drops, inner, noise, only, outer, peer, session, until};
use crate::stream::Stream;

#[test]
fn strangers_and_forgeries_are_refused_and_others_do_not_notice() {
    let stage = Stage::new(3);
    let [(first, own), (_second, _)] = stage.pair();
    let mut events = first.events();
    let stream = Stream::start(&stage, [1, 2]);
    until("there is a session", || session(&first).is_some());
    // Someone who knows our key, but whom we do not know.
    let stranger = stage.device(3);
    let stranger_key = SecretKey::generate();
    stranger
        .set(only(&stranger_key, peer(1, &own)))
        .expect("set");
    let to_us = stage.udp(3, inner(3), 0);
    to_us.send_to(b"let me in", (inner(1), 9999)).expect("send");
    until("the stranger is refused", || {
        drops(&first, Reason::UnknownKey) > 0
    });
    // Someone who knows another key.
    let wrong = SecretKey::generate();
    stranger
        .set(only(&stranger_key, peer(1, &wrong)))
        .expect("set");
    to_us.send_to(b"let me in", (inner(1), 9999)).expect("send");
    until("a handshake for someone else is refused", || {
        drops(&first, Reason::UnknownIdentity) > 0
    });
    // Bytes of all kinds.
    let raw = stage.udp(3, outer(3), 0);
    let to = SocketAddr::new(outer(1), PORT);
    let mut bytes = noise(2000);
    for round in 0..200usize {
        for kind in [0, 1, 2, 3, 4, 5, 0x45, 0x60] {
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            let exact = [148, 92, 64, 32, 33, 1, 0, 1500];
            let length = if round % 2 == 0 {
                exact[round % 8]
            } else {
                round * 7
            };
            raw.send_to(&bytes[..length], to).expect("send");
        }
    }
    until("they are refused", || {
        [
            Reason::Malformed,
            Reason::UnknownSession,
            Reason::BadHandshake,
        ]
        .iter()
        .all(|why| drops(&first, *why) > 0)
    });
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        if let Event::Refused { from, .. } = event {
            assert_eq!(from.ip(), outer(3));
            told += 1;
        }
    }
    assert!((3..200).contains(&told), "some are told, not all: {told}");
    assert_eq!(first.status().peers.len(), 1);
    for direction in stream.finish() {
        assert!(direction.sent > 20, "{direction:?}");
        assert_eq!(direction.lost, 0, "{direction:?}");
    }
}

#[test]
fn what_was_recorded_and_is_played_back_is_refused() {
    let stage = Stage::new(3);
    let (first, second) = (stage.device(1), stage.device(2));
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let relay = Relay::start(&stage, 3, 2);
    let mut behind = peer(2, &other);
    behind.endpoint = Some(SocketAddr::new(outer(3), PORT));
    first.set(only(&own, behind)).expect("set");
    let mut begins = peer(1, &own);
    begins.endpoint = None;
    second.set(only(&other, begins)).expect("set");
    stage.sh(1, &format!("ping -qc 5 -i 0.01 -W 5 {}", inner(2)));
    let seen = relay.seen();
    assert!(seen.len() >= 6, "{}", seen.len());
    let (initiations, packets): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|datagram| datagram[0] == 1);
    let before = second.status().peers[0].clone();
    let raw = stage.udp(3, outer(3), 0);
    let to = SocketAddr::new(outer(2), PORT);
    for datagram in initiations.iter().chain(&packets) {
        raw.send_to(datagram, to).expect("send");
    }
    let count = |why| drops(&second, why);
    until("both are refused", || {
        count(Reason::OldHandshake) == initiations.len() as u64
            && count(Reason::Replayed) == packets.len() as u64
    });
    // The same changed in one bit, and cut off.
    for datagram in initiations.iter().chain(&packets) {
        let mut forged = datagram.clone();
        let at = forged.len() / 2;
        forged[at] ^= 1;
        raw.send_to(&forged, to).expect("send");
        raw.send_to(&datagram[..datagram.len() - 1], to)
            .expect("send");
    }
    until("they are refused too", || {
        count(Reason::Malformed)
            + count(Reason::UnknownIdentity)
            + count(Reason::Forged)
            + count(Reason::Replayed)
            > packets.len() as u64
    });
    let after = second.status().peers[0].clone();
    assert_eq!(after.received, before.received);
    assert_eq!(after.endpoint, before.endpoint, "nobody was led astray");
    stage.sh(1, &format!("ping -qc 1 -W 5 {}", inner(2)));
}

#[test]
fn a_peer_cannot_speak_for_another() {
    let stage = Stage::new(2);
    let [(first, _), (_second, _)] = stage.pair();
    stage.sh(2, &format!("ping -qc 1 -W 5 {}", inner(1)));
    stage.sh(2, "ip addr add 10.9.0.66/24 dev wg0");
    let receiver = stage.udp(1, inner(1), 9200);
    let liar = stage.udp(2, [10, 9, 0, 66].into(), 0);
    let honest = stage.udp(2, inner(2), 0);
    liar.send_to(b"lie", (inner(1), 9200)).expect("send");
    honest.send_to(b"truth", (inner(1), 9200)).expect("send");
    let mut buffer = [0; 100];
    let (length, from) = receiver.recv_from(&mut buffer).expect("a packet");
    assert_eq!(buffer[..length], *b"truth");
    assert_eq!(from.ip(), inner(2));
    assert_eq!(drops(&first, Reason::ForeignSource), 1);
}

#[test]
fn in_clear_only_a_peers_own_place_is_listened_to() {
    let stage = Stage::new(3);
    let (first, second) = (stage.device(1), stage.device(2));
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let clear = |peer: Peer| Peer {
        transport: Transport::Plain,
        ..peer
    };
    first.set(only(&own, clear(peer(2, &other)))).expect("set");
    second.set(only(&other, clear(peer(1, &own)))).expect("set");
    let bytes = noise(3_000_000);
    assert!(stage.tcp(1, 2, inner(2), &bytes) == bytes);
    // The same packet from its place, and from elsewhere.
    let receiver = stage.udp(1, inner(1), 9300);
    let packet = |text: &[u8]| {
        let builder = etherparse::PacketBuilder::ipv4([10, 9, 0, 2], [10, 9, 0, 1], 64);
        let mut packet = Vec::new();
        builder
            .udp(1, 9300)
            .write(&mut packet, text)
            .expect("a packet");
        packet
    };
    let elsewhere: UdpSocket = stage.udp(3, outer(3), PORT);
    let to = SocketAddr::new(outer(1), PORT);
    elsewhere.send_to(&packet(b"lie"), to).expect("send");
    let other_port = stage.udp(2, outer(2), 0);
    other_port.send_to(&packet(b"lie"), to).expect("send");
    let honest = stage.udp(2, inner(2), 0);
    honest.send_to(b"truth", (inner(1), 9300)).expect("send");
    let mut buffer = [0; 100];
    let (length, _) = receiver.recv_from(&mut buffer).expect("a packet");
    assert_eq!(buffer[..length], *b"truth");
    assert_eq!(drops(&first, Reason::Malformed), 2);
}
