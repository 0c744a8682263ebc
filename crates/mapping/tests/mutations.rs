//! Real messages, changed at random by a seeded generator, through the decoder and a server that knows their
//! sites. What libFuzzer does on nightly (`fuzz/lisp`), for every run of the tests.
//!
//! `MUTATIONS=10000000 cargo test -p mapping --test mutations --release` looks longer.

use lisp::auth::{self, Algorithm, Authentication, Secret};
use lisp::describe::parse_hex;
use lisp::message::{EidFlags, Encapsulated, InnerIp, MapNotify};
use lisp::{
    Address, Eid, Locator, MapRegister, MapRegisterFlags, MapRequest, Message, Record, XtrId,
};
use mapping::{Audit, Config, Key, MapServer, Outcome, Pace, Rejection, Site};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const CORPUS: &str = include_str!("../../lisp/tests/corpus/messages.hex");
const SECRET: &[u8] = b"of the site";
const MOST: usize = 500;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn server() -> MapServer {
    let site = |id, prefix| Site {
        id,
        keys: vec![Key {
            id: 0,
            secret: Secret::new(SECRET),
        }],
        prefixes: vec![prefix],
        accept_more_specifics: true,
        accept_constant_nonce: id == 1,
    };
    let config = Config {
        sites: vec![
            site(9, Eid::new(7, Ipv4Addr::new(10, 0, 0, 0), 8)),
            site(1, Eid::new(0, Ipv4Addr::UNSPECIFIED, 0)),
        ],
        most_mappings: MOST,
        most_xtrs: MOST,
        most_subscriptions: MOST,
        most_askers: MOST,
        pace: Some(Pace {
            per_second: 1_000_000,
            burst: 1000,
        }),
        remember_unsaved: true,
        ..Config::default()
    };
    MapServer::new(config, IpAddr::from([203, 0, 113, 1]))
}

/// The kept corpus, and messages that mean something to the server.
fn corpus() -> Vec<Vec<u8>> {
    let kept = CORPUS.lines().filter(|line| !line.starts_with('#'));
    let mut all: Vec<Vec<u8>> = kept.map(|line| parse_hex(1, line).unwrap()).collect();
    assert!(all.len() > 30);
    let secret = Secret::new(SECRET);
    let xtr = Some(XtrId {
        xtr_id: 5,
        site_id: 9,
    });
    let at = Ipv4Addr::new(192, 0, 2, 1);
    for last in 1..5 {
        let eid = Eid::host(7, Ipv4Addr::new(10, 2, 0, last));
        let record = Record::new(eid, 1).locator(Locator::new(at, 1, 100));
        let authentication = Authentication::with(0, Algorithm::HmacSha256);
        for flags in [
            MapRegisterFlags::PROXY_REPLY,
            MapRegisterFlags::MERGE | MapRegisterFlags::WANT_NOTIFY,
            MapRegisterFlags::USE_TTL | MapRegisterFlags::PROXY_REPLY,
        ] {
            let register = MapRegister {
                flags,
                nonce: last.into(),
                authentication: authentication.clone(),
                records: vec![record.clone(); usize::from(last)],
                xtr,
                ..MapRegister::default()
            };
            all.push(Message::from(register).to_signed_bytes(&secret).unwrap());
        }
        let mut asked = MapRequest::new(40, eid, at);
        let ip = InnerIp::v4(at, at);
        let ecm = Encapsulated::new(ip, 4342, asked.clone());
        all.push(Message::from(ecm).to_bytes().unwrap());
        asked.xtr = xtr;
        asked.records[0].flags = EidFlags::NOTIFY;
        all.push(Message::from(asked.clone()).to_bytes().unwrap());
        asked.nonce = 90;
        asked.itr_rlocs = vec![Address::None];
        all.push(Message::from(asked).to_bytes().unwrap());
        let ack = Message::MapNotifyAck(MapNotify {
            nonce: 40,
            authentication,
            records: vec![record],
            xtr,
            ..MapNotify::default()
        });
        all.push(ack.to_signed_bytes(&secret).unwrap());
    }
    all
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0xff),
            2 => bytes.extend_from_slice(&corpus[random.below(corpus.len())]),
            3 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            4 => drop(bytes.drain(at..at + random.below(bytes.len() - at))),
            _ if bytes.is_empty() => {}
            5 => bytes[at] ^= 1 << random.below(8),
            6 => bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6)],
            _ => bytes[at] = random.next() as u8,
        }
        if bytes.is_empty() {
            bytes.push(random.next() as u8);
        }
    }
    if random.below(200) == 0 {
        bytes.resize(20_000, random.next() as u8);
    }
    bytes
}

#[test]
fn changed_messages_never_panic_never_grow_and_are_counted_by_reason() {
    let cases = std::env::var("MUTATIONS")
        .ok()
        .and_then(|text| text.parse().ok());
    let cases: u64 = cases.unwrap_or(60_000);
    let (corpus, secret) = (corpus(), Secret::new(SECRET));
    let mut server = server();
    let mut outcome = Outcome::default();
    let mut random = Random(20_260_722);
    let mut said: BTreeMap<&str, u64> = BTreeMap::new();
    for case in 0..cases {
        let mut bytes = mutate(&mut random, &corpus);
        // Half of what can be signed is: else nothing behind the signature would be looked at.
        if random.below(2) == 0 {
            let _ = auth::sign(&mut bytes, &secret);
        }
        let now = Duration::from_millis(1_000_000 + case * 3);
        let from = SocketAddr::new([198, 51, 100, random.below(50) as u8].into(), 4342);
        server.receive(from, &bytes, now, &mut outcome);
        if case % 100 == 0 {
            server.tick(now, &mut outcome);
        }
        for line in &outcome.audit {
            if let Audit::Rejected { reason, .. } = line {
                *said.entry(Rejection::NAMES[reason.index()]).or_default() += 1;
            }
        }
        for (_, datagram) in outcome.datagrams() {
            assert!(
                Message::decode(datagram).is_ok(),
                "what is sent can be read"
            );
        }
        outcome.clear();
        assert!(server.mappings() <= MOST && server.subscriptions() <= MOST);
        assert!(server.unacknowledged() <= MOST * 300);
    }
    let unsaved = server.take_unsaved();
    assert!(unsaved.nonces.len() <= MOST);
    let counted: BTreeMap<&str, u64> = server
        .rejected()
        .iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    // Every rejection had its line: nobody here sends too much.
    assert_eq!(counted, said);
    for reason in [
        "malformed",
        "unauthenticated",
        "oversized",
        "replayed",
        "no_prefix",
        "useless",
    ] {
        assert!(
            counted.contains_key(reason),
            "{reason} never came: {counted:?}"
        );
    }
    assert_eq!(server.malformed().total(), counted["malformed"]);
}
