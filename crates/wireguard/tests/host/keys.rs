//! Keys and peers come and go.

use std::net::UdpSocket;
use std::time::Duration;

use wireguard::{Event, Reason, SecretKey, Wanted};

use crate::stage::{Stage, drops, inner, only, peer, session, until};
use crate::stream::Stream;

#[test]
fn keys_are_changed_under_load_and_no_packet_is_lost() {
    let stage = Stage::new(2);
    let [(first, mut own), (second, other)] = stage.pair();
    let stream = Stream::start(&stage, [1, 2]);
    until("there is a session", || {
        session(&second) == Some(own.public())
    });
    for round in 0..4 {
        let new = SecretKey::generate();
        // The other side hears of the new key first; whether it prefers it already must not matter.
        let mut both = peer(1, &own);
        both.keys.insert(round % 2, new.public());
        second.set(only(&other, both)).expect("set");
        let mut changing = only(&new, peer(2, &other));
        changing.identities.push(own.clone());
        first.set(changing).expect("set");
        until("the new key is in use", || {
            first.status().peers[0].identity == Some(new.public())
        });
        std::thread::sleep(Duration::from_millis(300));
        second.set(only(&other, peer(1, &new))).expect("set");
        assert_eq!(session(&second), Some(new.public()), "without a pause");
        std::thread::sleep(Duration::from_millis(300));
        first.set(only(&new, peer(2, &other))).expect("set");
        own = new;
    }
    for direction in stream.finish() {
        assert!(direction.sent > 1000, "{direction:?}");
        assert_eq!(direction.lost, 0, "{direction:?}");
    }
}

#[test]
fn a_new_key_that_the_peer_does_not_know_yet_stops_nothing() {
    let stage = Stage::new(2);
    let [(first, own), (second, other)] = stage.pair();
    let stream = Stream::start(&stage, [1, 2]);
    until("there is a session", || {
        session(&second) == Some(own.public())
    });
    let new = SecretKey::generate();
    let mut early = only(&new, peer(2, &other));
    early.identities.push(own.clone());
    first.set(early).expect("set");
    until("it was refused", || drops(&second, Reason::UnknownKey) > 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(session(&first), Some(other.public()));
    assert_eq!(first.status().peers[0].identity, Some(own.public()));
    let mut both = peer(1, &own);
    both.keys.push(new.public());
    second.set(only(&other, both)).expect("set");
    until("the new key is in use", || {
        first.status().peers[0].identity == Some(new.public())
    });
    for direction in stream.finish() {
        assert_eq!(direction.lost, 0, "{direction:?}");
    }
}

#[test]
fn two_that_know_each_other_by_the_old_keys_only_find_each_other_by_them() {
    let stage = Stage::new(2);
    let (first, second) = (stage.device(1), stage.device(2));
    let [own, new, other, unknown] = [(); 4].map(|()| SecretKey::generate());
    // Each prefers a key that the other one has never heard of.
    let mut theirs = peer(2, &unknown);
    theirs.keys.push(other.public());
    let mut wanted = only(&new, theirs);
    wanted.identities.push(own.clone());
    first.set(wanted).expect("set");
    second.set(only(&other, peer(1, &own))).expect("set");
    let receiver = stage.udp(2, inner(2), 9000);
    let sender = stage.udp(1, inner(1), 0);
    sender.send_to(b"hello", (inner(2), 9000)).expect("send");
    let mut buffer = [0; 100];
    let (length, _) = receiver.recv_from(&mut buffer).expect("it has waited");
    assert_eq!(buffer[..length], *b"hello");
    assert_eq!(session(&first), Some(other.public()));
}

#[test]
fn what_does_not_differ_is_left_alone() {
    let stage = Stage::new(2);
    let [(first, own), (_second, other)] = stage.pair();
    stage.sh(1, &format!("ping -qc 1 -W 5 {}", inner(2)));
    let mut events = first.events();
    let before = first.status().peers[0].clone();
    for _ in 0..50 {
        first.set(only(&own, peer(2, &other))).expect("set");
    }
    let mut third = only(&own, peer(2, &other));
    third.peers.push(peer(3, &SecretKey::generate()));
    first.set(third).expect("set");
    stage.sh(1, &format!("ping -qc 1 -W 5 {}", inner(2)));
    let after = first.status().peers[0].clone();
    assert!(after.received.packets > before.received.packets);
    assert!(after.handshake > before.handshake, "no new one");
    assert!(events.try_recv().is_err());
}

#[test]
fn a_removed_peer_is_cut_off_at_once_and_counted() {
    let stage = Stage::new(3);
    let [(first, own), (second, other)] = stage.pair();
    let third_key = SecretKey::generate();
    let third = stage.device(3);
    let mut all = only(&own, peer(2, &other));
    all.peers.push(peer(3, &third_key));
    first.set(all).expect("set");
    third.set(only(&third_key, peer(1, &own))).expect("set");
    let undisturbed = Stream::start(&stage, [1, 3]);
    until("there is a session", || {
        first.status().peers[1].session.is_some() && session(&third).is_some()
    });
    let receiver = stage.udp(1, inner(1), 9100);
    let sender = stage.udp(2, inner(2), 0);
    let heard = |receiver: &UdpSocket| {
        sender.send_to(b"hello", (inner(1), 9100)).expect("send");
        receiver.recv(&mut [0; 100]).is_ok()
    };
    assert!(heard(&receiver));
    let mut events = first.events();
    let mut rest = Wanted {
        identities: vec![own.clone()],
        peers: vec![peer(3, &third_key)],
    };
    first.set(rest.clone()).expect("set");
    receiver
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("timeout");
    for _ in 0..10 {
        assert!(!heard(&receiver));
    }
    assert!(drops(&first, Reason::UnknownSession) >= 10);
    assert!(
        first
            .status()
            .peers
            .iter()
            .all(|peer| peer.key != other.public())
    );
    // It may try again with a new session; nobody answers.
    second
        .set(Wanted {
            peers: vec![],
            ..only(&other, peer(1, &own))
        })
        .expect("set");
    second.set(only(&other, peer(1, &own))).expect("set");
    assert!(!heard(&receiver));
    until("it was refused", || drops(&first, Reason::UnknownKey) > 0);
    until("it was told", || {
        matches!(
            events.try_recv(),
            Ok(Event::Refused {
                why: Reason::UnknownKey,
                ..
            })
        )
    });
    for direction in undisturbed.finish() {
        assert_eq!(direction.lost, 0, "{direction:?}");
    }
    // Back again, it is as new.
    rest.peers.push(peer(2, &other));
    first.set(rest).expect("set");
    until("it is heard again", || heard(&receiver));
}
