//! Our messages at a Map-Server of 2013, and between routers of that year.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use lisp::auth::{self, Algorithm, Authentication, Secret};
use lisp::message::{CONTROL_PORT, Encapsulated, Inner, InnerIp};
use lisp::record::{Action, RecordFlags};
use lisp::{
    Eid, EidRecord, Locator, MapRegister, MapRegisterFlags, MapReply, MapRequest, MapRequestFlags,
    Message, Record,
};
use serde_json::json;

use crate::driver::peer::Peer;
use crate::driver::world::World;
use crate::our_server::{SECRET, SERVER};

const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);

fn ours() -> Eid {
    Eid::new(0, Ipv4Addr::new(10, 4, 0, 0), 24)
}

/// Their Map-Server, one of their routers with 10.1.0.0/24, and a control socket of ours.
struct Bench {
    server: Peer,
    router: Peer,
    socket: UdpSocket,
    world: World,
}

impl Bench {
    fn new(words: &[&str]) -> Self {
        let mut world = World::new();
        let name = world.place("ms", SERVER.into());
        let (key, at) = (world.key(SECRET), SERVER.to_string());
        let fixed = [
            "map-server",
            "--site-key-file",
            &key,
            "--prefix",
            "10.0.0.0/8",
        ];
        let server = Peer::start(&name, &[&fixed[..], &["--listen", &at], words].concat());
        let theirs = [
            "--map-server",
            &at,
            "--map-resolver",
            &at,
            "--key-file",
            &key,
        ];
        let rloc = IpAddr::from([192, 0, 2, 11]);
        let mut router = world.router("a", rloc, &["10.1.0.1/24"], &theirs);
        router.wait("registered", &json!({}));
        world.place("us", US.into());
        let socket = world.inside("us", || UdpSocket::bind((US, CONTROL_PORT)).expect("free"));
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).expect("not zero");
        Self {
            server,
            router,
            socket,
            world,
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).expect("it is sent");
    }

    fn receive(&self) -> (SocketAddr, Vec<u8>, Message) {
        let mut buffer = [0; 4096];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("it comes");
        let bytes = buffer.get(..length).expect("it fits").to_vec();
        let message = Message::decode(&bytes).expect("we understand it");
        assert_eq!(message.to_bytes().as_ref(), Ok(&bytes), "as it came");
        (from, bytes, message)
    }

    /// Registers 10.4.0.0/24 at our address as an xTR of ours would with this peer.
    fn register(&mut self, authentication: Authentication) {
        let register = MapRegister {
            flags: MapRegisterFlags::WANT_NOTIFY,
            nonce: 41,
            authentication,
            records: vec![mapping()],
            ..MapRegister::default()
        };
        let secret = Secret::new(SECRET.as_bytes());
        let bytes = Message::from(register).to_signed_bytes(&secret);
        self.send(server(), &bytes.expect("it is signed"));
        let facts = json!({"eid": "10.4.0.0/24", "etr": "192.0.2.20"});
        self.server.wait("registration", &facts);
        let (from, bytes, message) = self.receive();
        let claim = auth::verify(&bytes, &secret).expect("authentic");
        assert_eq!((from, claim.nonce), (server(), 41));
        assert!(matches!(message, Message::MapNotify(notify) if notify.records == [mapping()]));
    }

    /// Asks their Map-Resolver and gives what it, or the ETR it asks, answers.
    fn ask(&self, eid: Eid) -> MapReply {
        let asked = MapRequest::new(77, eid, US);
        let ip = InnerIp::v4(OURS, Ipv4Addr::new(10, 1, 0, 1));
        let ecm = Message::from(Encapsulated::new(ip, CONTROL_PORT, asked));
        self.send(server(), &ecm.to_bytes().expect("it fits"));
        match self.receive() {
            (_, _, Message::MapReply(reply)) if reply.nonce == 77 => reply,
            other => panic!("{other:?}"),
        }
    }
}

fn server() -> SocketAddr {
    SocketAddr::new(SERVER.into(), CONTROL_PORT)
}

fn mapping() -> Record {
    let mut record = Record::new(ours(), 10).locator(Locator::new(US, 1, 100));
    record.flags = RecordFlags::AUTHORITATIVE;
    record
}

fn sha1() -> Authentication {
    Authentication::untruncated(0, Algorithm::HmacSha1)
}

#[test]
fn our_registration_counts_at_their_server_with_either_length_of_the_digest() {
    let mut bench = Bench::new(&[]);
    bench.register(sha1());
    bench.register(Authentication::with(0, Algorithm::HmacSha1));
}

#[test]
fn an_algorithm_that_2013_does_not_require_is_refused_there() {
    let mut bench = Bench::new(&[]);
    let register = MapRegister {
        nonce: 1,
        authentication: Authentication::with(0, Algorithm::HmacSha256),
        records: vec![mapping()],
        ..MapRegister::default()
    };
    let secret = Secret::new(SECRET.as_bytes());
    let bytes = Message::from(register).to_signed_bytes(&secret);
    bench.send(server(), &bytes.expect("it is signed"));
    let facts = json!({"reason": "not authentic", "key_id": 2});
    bench.server.wait("registration-rejected", &facts);
}

#[test]
fn we_resolve_what_their_etr_has_through_it_and_by_proxy() {
    for proxy in [true, false] {
        let bench = Bench::new(if proxy { &["--proxy-reply"] } else { &[] });
        let reply = bench.ask(Eid::host(0, Ipv4Addr::new(10, 1, 0, 1)));
        let [record] = reply.records.as_slice() else {
            panic!("{reply:?}");
        };
        assert_eq!(
            record.eid(),
            Some(Eid::new(0, Ipv4Addr::new(10, 1, 0, 0), 24))
        );
        let ip = record.locators.first().and_then(|one| one.address.ip());
        assert_eq!(ip, Some(IpAddr::from([192, 0, 2, 11])));
        let authoritative = record.flags.contains(RecordFlags::AUTHORITATIVE);
        assert_eq!(authoritative, !proxy, "only an ETR may say so");
        let denied = bench.ask(Eid::host(0, Ipv4Addr::new(10, 9, 0, 1)));
        let [record] = denied.records.as_slice() else {
            panic!("{denied:?}");
        };
        assert_eq!((record.action, record.ttl), (Action::NativelyForward, 1));
        assert_eq!(
            record.eid(),
            Some(Eid::new(0, Ipv4Addr::new(10, 8, 0, 0), 13))
        );
    }
}

#[test]
fn their_itr_asks_us_through_their_server_and_follows_when_we_solicit_it() {
    let mut bench = Bench::new(&[]);
    bench.register(sha1());
    let mut locator = US;
    for (said, invoked) in [("resolve 10.4.0.1", false), ("show", true)] {
        bench.router.say(said);
        let (_, _, message) = bench.receive();
        let Message::Encapsulated(ecm) = message else {
            panic!("{message:?}");
        };
        let Inner::Packet {
            source_port,
            message,
            ..
        } = ecm.inner
        else {
            panic!("a packet with LISP-SEC");
        };
        let Message::MapRequest(asked) = *message else {
            panic!("{message:?}");
        };
        let host = Eid::host(0, OURS);
        assert!(
            asked
                .records
                .iter()
                .any(|one| one.eid().is_some_and(|eid| eid.covers(host)))
        );
        let flag = asked.flags.contains(MapRequestFlags::SMR_INVOKED);
        assert_eq!(flag, invoked, "an answer to a solicitation says so");
        let rloc = asked.itr_rlocs.first().and_then(|rloc| rloc.ip());
        let mut record = Record::new(ours(), 10).locator(Locator::new(locator, 1, 100));
        record.flags = RecordFlags::AUTHORITATIVE;
        let reply = Message::from(MapReply {
            nonce: asked.nonce,
            records: vec![record],
            ..MapReply::default()
        });
        let to = SocketAddr::new(rloc.expect("an ITR-RLOC"), source_port);
        bench.send(to, &reply.to_bytes().expect("it fits"));
        let locators = [format!("{locator} 1/100")];
        let facts = json!({"prefix": "10.4.0.0/24", "locators": locators});
        bench.router.wait("resolved", &facts);

        locator = Ipv4Addr::new(192, 0, 2, 21);
        let mut smr = MapRequest::new(5, ours(), US);
        smr.flags = MapRequestFlags::SMR;
        smr.records = vec![EidRecord::from(ours())];
        let to = SocketAddr::from(([192, 0, 2, 11], CONTROL_PORT));
        if !invoked {
            bench.send(to, &Message::from(smr).to_bytes().expect("it fits"));
            let facts = json!({"direction": "received", "sender": "192.0.2.20"});
            bench.router.wait("smr", &facts);
        }
    }
}

#[test]
fn we_understand_their_solicitation_and_their_answer_to_a_probe() {
    let mut bench = Bench::new(&[]);
    let host = Eid::host(0, Ipv4Addr::new(10, 1, 0, 1));
    let mut probe = MapRequest::new(6, host, US);
    probe.flags = MapRequestFlags::PROBE;
    let to = SocketAddr::from(([192, 0, 2, 11], CONTROL_PORT));
    bench.send(to, &Message::from(probe).to_bytes().expect("it fits"));
    let (from, _, message) = bench.receive();
    let Message::MapReply(reply) = message else {
        panic!("{message:?}");
    };
    assert_eq!((from, reply.nonce), (to, 6));
    let flags = reply
        .records
        .first()
        .and_then(|record| record.locators.first());
    let flags = flags.expect("a locator").flags;
    assert!(flags.contains(lisp::record::LocatorFlags::PROBED));

    bench.router.say("remove 10.1.0.0/24");
    let (from, _, message) = bench.receive();
    let Message::MapRequest(smr) = message else {
        panic!("{message:?}");
    };
    assert_eq!(from, to);
    assert!(smr.flags.contains(MapRequestFlags::SMR));
    let changed = smr.records.first().and_then(EidRecord::eid);
    assert_eq!(changed, Some(Eid::new(0, Ipv4Addr::new(10, 1, 0, 0), 24)));
    drop(bench.world);
}
