//! The device without I/O.

mod network;
mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wireguard::core::ROOM;
use wireguard::{Event, Reason, SecretKey};

use world::{Host, inner, keys, outer, packet, peer, settle};

#[test]
fn packets_wait_for_the_session_and_arrive_in_order() {
    let now = Instant::now();
    let mut hosts = Host::pair(&keys(), now);
    let mut line = Vec::new();
    for number in 0..300u32 {
        line.extend(hosts[0].send(2, &number.to_be_bytes(), now));
    }
    assert_eq!(line.len(), 1, "one handshake");
    settle(&mut hosts, line, now);
    let expected: Vec<_> = (44..300u32)
        .map(|number| packet(1, 2, &number.to_be_bytes()))
        .collect();
    assert_eq!(hosts[1].got, expected);
    assert_eq!(hosts[0].dropped(Reason::Waiting), 44, "the oldest");
}

#[test]
fn datagrams_say_little_of_the_length_of_what_is_in_them() {
    let now = Instant::now();
    let mut hosts = Host::pair(&keys(), now);
    let hello = hosts[0].send(2, b"hello", now);
    settle(&mut hosts, hello, now);
    for length in 0..1392 {
        let [(_, bytes)] = &hosts[0].send(2, &vec![7; length], now)[..] else {
            panic!("one datagram");
        };
        let padded = (28 + length).next_multiple_of(16).min(1420);
        assert_eq!(bytes.len(), padded + 32);
    }
}

#[test]
fn both_may_begin_at_the_same_time() {
    let now = Instant::now();
    let mut hosts = Host::pair(&keys(), now);
    let mut line = hosts[0].send(2, b"from 1", now);
    line.extend(hosts[1].send(1, b"from 2", now));
    settle(&mut hosts, line, now);
    assert_eq!(hosts[0].got, [packet(2, 1, b"from 2")]);
    assert_eq!(hosts[1].got, [packet(1, 2, b"from 1")]);
}

#[test]
fn a_crowd_that_begins_has_to_show_where_it_is_and_then_gets_in() {
    let now = Instant::now();
    let keys = keys();
    let mut hosts = Host::pair(&keys, now);
    let mut asked = 0;
    for number in 0..300u16 {
        let [high, low] = number.to_be_bytes();
        let mut stranger = Host::new(3, now);
        stranger.set(&[&SecretKey::generate()], vec![peer(2, &[&keys[1]])], now);
        for (_, bytes) in stranger.send(2, b"let me in", now) {
            let from = SocketAddr::from(([203, 0, high, low], 9));
            asked += hosts[1].take(from, &bytes, now).len();
        }
    }
    assert_eq!(asked, 50, "as many as are too many");
    assert_eq!(hosts[1].dropped(Reason::UnknownKey), 250);
    assert_eq!(hosts[1].dropped(Reason::Cookie), 50);
    let hello = hosts[0].send(2, b"hello", now);
    let carried = settle(&mut hosts, hello, now);
    let kinds: Vec<u8> = carried.iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(kinds, [1, 3], "a cookie for its initiation");
    let later = now + Duration::from_secs(6);
    let again = hosts[0].send(2, b"again", later);
    settle(&mut hosts, again, later);
    let expected = [packet(1, 2, b"hello"), packet(1, 2, b"again")];
    assert_eq!(hosts[1].got, expected, "while the crowd is still there");
}

#[test]
fn a_new_key_is_sent_with_once_its_handshake_is_complete_and_the_old_one_received_until_it_is_gone()
{
    let now = Instant::now();
    let [old, other] = keys();
    let new = SecretKey::generate();
    let mut hosts = Host::pair(&[old.clone(), other.clone()], now);
    let hello = hosts[0].send(2, b"hello", now);
    settle(&mut hosts, hello, now);
    let on_the_way = hosts[0].send(2, b"on the way", now);
    hosts[1].set(&[&other], vec![peer(1, &[&new, &old])], now);
    assert_eq!(hosts[1].session(), Some(old.public()));
    let theirs = hosts[1].say();
    assert_eq!(theirs.len(), 1, "it tries the new key");
    for (_, bytes) in theirs {
        hosts[0].take(outer(2), &bytes, now);
    }
    assert_eq!(hosts[0].dropped(Reason::UnknownIdentity), 1);
    hosts[0].set(&[&new, &old], vec![peer(2, &[&other])], now);
    let before = hosts[0].send(2, b"before", now);
    let (begin, data): (Vec<_>, Vec<_>) = before.into_iter().partition(|(_, bytes)| bytes[0] == 1);
    assert_eq!(
        (begin.len(), data.len()),
        (1, 1),
        "sent with the old key meanwhile"
    );
    settle(&mut hosts, begin, now);
    assert_eq!(hosts[1].session(), Some(new.public()));
    // What the old key has sealed is still good.
    settle(&mut hosts, on_the_way, now);
    settle(&mut hosts, data, now);
    assert_eq!(hosts[1].got.len(), 3);
    let late = hosts[0].send(2, b"late", now);
    hosts[1].set(&[&other], vec![peer(1, &[&new])], now);
    settle(&mut hosts, late, now);
    assert_eq!(hosts[1].got.len(), 4);
    assert_eq!(hosts[1].dropped(Reason::UnknownSession), 0);
}

#[test]
fn a_removed_peer_and_its_sessions_are_forgotten_and_told() {
    let now = Instant::now();
    let keys = keys();
    let mut hosts = Host::pair(&keys, now);
    let hello = hosts[0].send(2, b"hello", now);
    settle(&mut hosts, hello, now);
    hosts[1].core.take_events();
    let after = hosts[0].send(2, b"after", now);
    hosts[1].set(&[&keys[1]], vec![], now);
    settle(&mut hosts, after, now);
    assert_eq!(hosts[1].got.len(), 1);
    assert_eq!(hosts[1].dropped(Reason::UnknownSession), 1);
    let told = Event::Refused {
        from: outer(1),
        why: Reason::UnknownSession,
    };
    assert_eq!(hosts[1].core.take_events(), [told]);
    // As a new peer it has no sessions of before.
    hosts[1].set(&[&keys[1]], vec![peer(1, &[&keys[0]])], now);
    let again = hosts[0].send(2, b"again", now);
    for (_, bytes) in again {
        hosts[1].take(outer(1), &bytes, now);
    }
    assert_eq!(hosts[1].got.len(), 1);
}

#[test]
fn one_that_has_forgotten_its_sessions_finds_its_peer_by_what_it_hears() {
    let now = Instant::now();
    let keys = keys();
    let mut hosts = Host::pair(&keys, now);
    let hello = hosts[0].send(2, b"hello", now);
    settle(&mut hosts, hello, now);
    let [_, fresh] = Host::pair(&keys, now);
    hosts[1] = fresh;
    let lost = hosts[0].send(2, b"lost", now);
    settle(&mut hosts, lost, now);
    assert_eq!(hosts[1].got, Vec::<Vec<u8>>::new());
    let heard = hosts[0].send(2, b"heard", now);
    settle(&mut hosts, heard, now);
    assert_eq!(hosts[1].got, [packet(1, 2, b"heard")]);
}

#[test]
fn congestion_on_the_way_is_told_to_the_ends() {
    let now = Instant::now();
    let mut hosts = Host::pair(&keys(), now);
    let hello = hosts[0].send(2, b"hello", now);
    settle(&mut hosts, hello, now);
    for (mark, expected) in [(0u8, None), (1, Some(3)), (2, Some(3)), (3, Some(3))] {
        let mut packet = packet(1, 2, b"marked");
        offload::packet::set_ttl_and_class(&mut packet, 64, mark);
        let mut room = vec![0; packet.len() + ROOM];
        let number = hosts[0].core.route(inner(2)).expect("a peer");
        let sealed = hosts[0].core.seal(number, [&packet, &[]], &mut room, now);
        let (length, _) = sealed.expect("a session");
        let mut opened = vec![0; length + ROOM];
        let got = hosts[1]
            .core
            .open(outer(1), 3, &room[..length], &mut opened, now);
        let class = got.map(|_| offload::packet::traffic_class(&opened));
        assert_eq!(class, expected, "inner {mark}");
    }
    assert_eq!(hosts[1].dropped(Reason::Congested), 1);
}

#[test]
fn who_is_not_answered_tries_again_soon_then_less_often_and_for_as_long_as_it_shall_keep_alive() {
    let now = Instant::now();
    let keys = keys();
    let mut host = Host::new(1, now);
    let mut alive = peer(2, &[&keys[1]]);
    alive.keepalive = Some(25);
    host.set(&[&keys[0]], vec![alive], now);
    let mut moments = vec![(0u64, host.say().len())];
    for tenth in 1..600u64 {
        host.core.tick(now + Duration::from_millis(tenth * 100));
        let said = host.say().len();
        if said > 0 {
            moments.push((tenth, said));
        }
    }
    let expected: Vec<(u64, usize)> = [0, 10, 30]
        .into_iter()
        .chain((80..600).step_by(50))
        .map(|at| (at, 1))
        .collect();
    assert_eq!(moments, expected);
}
