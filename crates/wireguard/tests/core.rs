//! The device without I/O, on a network that loses, repeats, reorders and changes what is sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use proptest::prelude::*;
use wireguard::core::{Core, ROOM};
use wireguard::{Event, Peer, PublicKey, Reason, SecretKey, Transport, Wanted};

fn inner(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, host).into()
}

fn outer(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 51820))
}

fn peer(host: u8, keys: &[&SecretKey]) -> Peer {
    Peer {
        keys: keys.iter().map(|key| key.public()).collect(),
        allowed: vec![inner(host).into()],
        endpoint: Some(outer(host)),
        keepalive: None,
        transport: Transport::Wireguard,
        roam: true,
    }
}

fn packet(from: u8, to: u8, text: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4([10, 9, 0, from], [10, 9, 0, to], 64).udp(1, 2);
    let mut packet = Vec::new();
    builder.write(&mut packet, text).expect("a packet");
    packet
}

/// One device, and what it has taken from its peers.
struct Host {
    number: u8,
    core: Core,
    got: Vec<Vec<u8>>,
}

impl Host {
    fn new(number: u8, now: Instant) -> Self {
        let core = Core::new(1420, u32::from(number) << 12, now);
        let got = Vec::new();
        Self { number, core, got }
    }

    /// Two that know each other by these keys, ours first.
    fn pair(keys: &[SecretKey; 2], now: Instant) -> [Self; 2] {
        [(1, 2), (2, 1)].map(|(me, other)| {
            let mut host = Self::new(me, now);
            let own = &keys[usize::from(me) - 1];
            host.set(
                &[own],
                vec![peer(other, &[&keys[usize::from(other) - 1]])],
                now,
            );
            host
        })
    }

    fn set(&mut self, identities: &[&SecretKey], peers: Vec<Peer>, now: Instant) {
        let identities = identities.iter().copied().cloned().collect();
        let wanted = Wanted { identities, peers };
        self.core.set(wanted, now).expect("no contradiction");
    }

    /// Sends a packet; the datagrams that this makes.
    fn send(&mut self, to: u8, text: &[u8], now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let packet = packet(self.number, to, text);
        let mut room = vec![0; packet.len() + ROOM];
        let number = self.core.route(inner(to)).expect("a peer");
        let sealed = self.core.seal(number, [&packet, &[]], &mut room, now);
        let mut out = self.say();
        if let Some((length, to)) = sealed {
            room.truncate(length);
            out.push((to, room));
        }
        out
    }

    fn say(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let outgoing = self.core.take_outgoing().into_iter();
        outgoing
            .map(|datagram| (datagram.to, datagram.bytes))
            .collect()
    }

    /// Takes a datagram; the datagrams that this makes.
    fn take(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut room = vec![0; datagram.len() + ROOM];
        if let Some(opened) = self.core.open(from, 0, datagram, &mut room, now) {
            self.got.push(room[..opened.inner.total].to_vec());
        }
        self.say()
    }

    fn session(&self) -> Option<PublicKey> {
        self.core.status(Instant::now()).peers.first()?.session
    }

    fn dropped(&self, why: Reason) -> u64 {
        self.core.status(Instant::now()).drops.get(why)
    }
}

/// Carries datagrams between two until none are left. Everything that was carried, in order.
fn settle(
    hosts: &mut [Host; 2],
    first: Vec<(SocketAddr, Vec<u8>)>,
    now: Instant,
) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut carried = Vec::new();
    let mut waiting = first;
    while !waiting.is_empty() {
        let mut next = Vec::new();
        for (to, bytes) in waiting {
            let at = usize::from(to == outer(2));
            next.extend(hosts[at].take(outer(2 - at as u8), &bytes, now));
            carried.push((to, bytes));
        }
        waiting = next;
    }
    carried
}

fn keys() -> [SecretKey; 2] {
    [(); 2].map(|()| SecretKey::generate())
}

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
