//! A server, and what xTRs say to it.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lisp::auth::{self, Algorithm, Authentication, Secret};
use lisp::message::{EidFlags, Encapsulated, InnerIp, MapNotify};
use lisp::{
    Address, Eid, Locator, MapRegister, MapRegisterFlags, MapReply, MapRequest, Message, Record,
    XtrId,
};
use mapping::{Audit, Config, Key, MapServer, Outcome, Rejection, Site};

pub(crate) const ETR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const ITR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const SECRET: &[u8] = b"of the site";
pub(crate) const XTR: XtrId = XtrId {
    xtr_id: 5,
    site_id: 9,
};

pub(crate) fn site(id: u64, prefix: Eid) -> Site {
    let secret = Secret::new(if id == 9 { SECRET } else { b"of another" });
    Site {
        id,
        keys: vec![Key { id: 0, secret }],
        prefixes: vec![prefix],
        accept_more_specifics: true,
        accept_constant_nonce: false,
    }
}

pub(crate) fn net(a: u8, b: u8) -> Eid {
    Eid::new(7, Ipv4Addr::new(a, b, 0, 0), 16)
}

pub(crate) fn vm(last: u8) -> Eid {
    Eid::host(7, Ipv4Addr::new(10, 2, 0, last))
}

pub(crate) struct Bench {
    pub(crate) server: MapServer,
    pub(crate) nonce: u64,
    pub(crate) now: Duration,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let sites = vec![site(9, net(10, 2)), site(10, net(10, 3))];
        let config = Config { sites, ..config };
        Self {
            server: MapServer::new(config, IpAddr::from([203, 0, 113, 1])),
            nonce: 0,
            now: Duration::from_secs(1000),
        }
    }

    pub(crate) fn receive(&mut self, from: Ipv4Addr, bytes: &[u8]) -> Outcome {
        let mut outcome = Outcome::default();
        let from = SocketAddr::new(from.into(), 4342);
        self.server.receive(from, bytes, self.now, &mut outcome);
        outcome
    }

    pub(crate) fn message(&mut self, from: Ipv4Addr, message: impl Into<Message>) -> Outcome {
        let bytes = message.into().to_bytes().unwrap();
        self.receive(from, &bytes)
    }

    pub(crate) fn tick(&mut self, seconds: u64) -> Outcome {
        self.now += Duration::from_secs(seconds);
        let mut outcome = Outcome::default();
        self.server.tick(self.now, &mut outcome);
        outcome
    }

    /// Registers an endpoint at a locator, as the site's xTR does.
    pub(crate) fn register(&mut self, eid: Eid, at: Ipv4Addr) -> Outcome {
        self.nonce += 1;
        let message = Message::from(registration(self.nonce, eid, at));
        self.receive(at, &message.to_signed_bytes(&Secret::new(SECRET)).unwrap())
    }

    pub(crate) fn ask(&mut self, eid: Eid) -> MapReply {
        let asked = MapRequest::new(77, eid, ITR);
        let ip = InnerIp::v4(ITR, Ipv4Addr::new(10, 2, 0, 1));
        let outcome = self.message(ITR, Encapsulated::new(ip, 61000, asked));
        let all = sent(&outcome);
        let [(to, bytes)] = all.as_slice() else {
            panic!("{outcome:?}");
        };
        assert_eq!(*to, SocketAddr::new(ITR.into(), 61000));
        match Message::decode(bytes).unwrap() {
            Message::MapReply(reply) if reply.nonce == 77 => reply,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn registration(nonce: u64, eid: Eid, at: Ipv4Addr) -> MapRegister {
    MapRegister {
        flags: MapRegisterFlags::PROXY_REPLY,
        nonce,
        authentication: Authentication::with(0, Algorithm::HmacSha256),
        records: vec![Record::new(eid, 10).locator(Locator::new(at, 1, 100))],
        xtr: Some(XTR),
        ..MapRegister::default()
    }
}

pub(crate) fn sent(outcome: &Outcome) -> Vec<(SocketAddr, Vec<u8>)> {
    let all = outcome.datagrams();
    all.map(|(to, bytes)| (to, bytes.to_vec())).collect()
}

pub(crate) fn reasons(outcome: &Outcome) -> Vec<Rejection> {
    outcome
        .audit
        .iter()
        .filter_map(|line| match line {
            Audit::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

pub(crate) fn notify(bytes: &[u8]) -> MapNotify {
    auth::verify(bytes, &Secret::new(SECRET)).unwrap();
    match Message::decode(bytes).unwrap() {
        Message::MapNotify(notify) => notify,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn subscription(nonce: u64, eid: Eid, rloc: impl Into<Address>) -> MapRequest {
    let mut asked = MapRequest::new(nonce, eid, rloc);
    asked.records[0].flags = EidFlags::NOTIFY;
    asked.xtr = Some(XTR);
    asked
}
