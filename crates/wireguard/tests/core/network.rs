//! A network that loses, repeats, reorders and changes what is sent.

use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;

use crate::world::{Host, keys, outer, packet, settle};

/// A network's doing to one datagram.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Late(usize),
    Changed(usize, u8),
    Cut(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        2 => (1usize..20).prop_map(Fate::Late),
        1 => (any::<usize>(), 1u8..).prop_map(|(at, bits)| Fate::Changed(at, bits)),
        1 => any::<usize>().prop_map(Fate::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_arrives_was_sent_and_arrives_once_whatever_the_network_does(
        fates in proptest::collection::vec(fate(), 1..200),
    ) {
        let now = Instant::now();
        let mut hosts = Host::pair(&keys(), now);
        let hello = hosts[0].send(2, b"hello", now);
        settle(&mut hosts, hello, now);
        prop_assert_eq!(hosts[1].got.len(), 1);
        let mut line: Vec<(usize, SocketAddr, Vec<u8>)> = Vec::new();
        let mut sent: [Vec<Vec<u8>>; 2] = [vec![packet(2, 1, b"")], vec![packet(1, 2, b"hello")]];
        for (step, fate) in fates.iter().enumerate() {
            let from = step % 2;
            let text = format!("packet {step}");
            let to = 2 - from as u8;
            let made = hosts[from].send(to, text.as_bytes(), now);
            sent[1 - from].push(packet(from as u8 + 1, to, text.as_bytes()));
            for (to, mut bytes) in made {
                match *fate {
                    Fate::Arrives => line.push((step, to, bytes)),
                    Fate::Lost => {}
                    Fate::Twice => {
                        line.push((step, to, bytes.clone()));
                        line.push((step + 3, to, bytes));
                    }
                    Fate::Late(by) => line.push((step + by, to, bytes)),
                    Fate::Changed(at, bits) => {
                        let at = at % bytes.len();
                        bytes[at] ^= bits;
                        line.push((step, to, bytes));
                    }
                    Fate::Cut(at) => {
                        bytes.truncate(at % bytes.len());
                        line.push((step, to, bytes));
                    }
                }
            }
            let (due, rest) = line.into_iter().partition(|(at, _, _)| *at <= step);
            line = rest;
            for (_, to, bytes) in due {
                let at = usize::from(to == outer(2));
                let answers = hosts[at].take(outer(2 - at as u8), &bytes, now);
                settle(&mut hosts, answers, now);
            }
        }
        for (host, sent) in hosts.iter().zip(&sent) {
            for (number, got) in host.got.iter().enumerate() {
                prop_assert!(sent.contains(got), "it was sent");
                prop_assert!(!host.got[..number].contains(got), "it came once");
            }
        }
        // What the network has done is forgotten.
        for (from, to) in [(0, 1), (1, 0)] {
            let last = hosts[from].send(to as u8 + 1, b"last", now);
            settle(&mut hosts, last, now);
            let expected = packet(from as u8 + 1, to as u8 + 1, b"last");
            prop_assert_eq!(hosts[to].got.last(), Some(&expected));
        }
    }

    #[test]
    fn changed_handshakes_and_packets_are_refused_and_leave_no_trace(
        at in any::<prop::sample::Index>(),
        bits in 1u8..,
        cut in proptest::option::of(any::<prop::sample::Index>()),
        more in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let now = Instant::now();
        let keys = keys();
        let mut hosts = Host::pair(&keys, now);
        let mut line = hosts[0].send(2, b"hello", now);
        // Before each message comes a changed one.
        let mut genuine = 0;
        while !line.is_empty() {
            let mut next = Vec::new();
            for (to, bytes) in line {
                let host = usize::from(to == outer(2));
                let from = outer(2 - host as u8);
                let mut bad = bytes.clone();
                let place = at.index(bad.len());
                bad[place] ^= bits;
                if let Some(cut) = cut {
                    bad.truncate(cut.index(bad.len()));
                    bad.extend(&more);
                }
                if bad != bytes {
                    let before = hosts[host].got.len();
                    let answers = hosts[host].take(from, &bad, now);
                    prop_assert_eq!(hosts[host].got.len(), before);
                    // Only a handshake without its cookie may be as good as before: nobody looks at that then.
                    if !answers.is_empty() {
                        let mac2 = bytes.len().saturating_sub(16);
                        prop_assert!(bad.len() == bytes.len() && bad[..mac2] == bytes[..mac2]
                            || bytes[0] == 4 && answers.iter().all(|(_, answer)| answer[0] == 1));
                        genuine += 1;
                    }
                    next.extend(answers);
                }
                next.extend(hosts[host].take(from, &bytes, now));
            }
            line = next;
        }
        prop_assert!(genuine <= 8, "one handshake more, not one a datagram: {genuine}");
        prop_assert_eq!(&hosts[1].got, &vec![packet(1, 2, b"hello")]);
    }

    #[test]
    fn any_bytes_do_no_harm(
        datagrams in proptest::collection::vec(
            (0u8..8, any::<u8>(), any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..300)),
            0..50,
        ),
    ) {
        let now = Instant::now();
        let mut hosts = Host::pair(&keys(), now);
        let hello = hosts[0].send(2, b"hello", now);
        let carried = settle(&mut hosts, hello, now);
        let stranger = SocketAddr::from(([203, 0, 113, 1], 9));
        for (kind, seed, which, mut bytes) in datagrams {
            // As long as a message is, and with an index that exists.
            let length = [148, 92, 64, 32, 33, 60, 148, bytes.len()][usize::from(seed) % 8];
            bytes.resize(length, seed);
            if let Some(head) = bytes.get_mut(..4) {
                head.copy_from_slice(&[kind, 0, 0, 0]);
            }
            let (_, known) = &carried[which.index(carried.len())];
            if let (Some(to), Some(from)) = (bytes.get_mut(4..12), known.get(4..12)) {
                to.copy_from_slice(from);
            }
            for from in [stranger, outer(1)] {
                hosts[1].take(from, &bytes, now);
            }
        }
        prop_assert_eq!(hosts[1].got.len(), 1);
        let status = hosts[1].core.status(now);
        prop_assert_eq!(status.peers[0].endpoint, Some(outer(1)));
        let more = hosts[0].send(2, b"more", now);
        settle(&mut hosts, more, now);
        prop_assert_eq!(hosts[1].got.len(), 2);
    }
}
