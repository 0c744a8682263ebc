//! Map-Request: answered from the table, passed on to the ETR, or denied.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lisp::message::{CONTROL_PORT, EidFlags, Encapsulated, InnerIp, Question};
use lisp::record::Action;
use lisp::subscription::Wish;
use lisp::{Eid, MapReply, MapRequest, MapRequestFlags, Message, Record};

use crate::outcome::Outcome;
use crate::server::{MapServer, seconds};

/// Minutes that a denial holds inside and outside of a site (RFC 9301, section 8.2).
const DENIED_IN_SITE: u32 = 1;
const DENIED_OUTSIDE: u32 = 15;

/// How many parts of a prefix are told with it, so that its asker does not overlook them.
const MOST_PARTS: usize = 16;

/// Records of a Map-Reply.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    count: u8,
}

impl Records {
    /// One that has no place any more is left out.
    fn push(&mut self, record: &[u8]) {
        if let Some(count) = self.count.checked_add(1) {
            self.count = count;
            self.bytes.extend_from_slice(record);
        }
    }
}

/// What is known of an identifier.
enum Found {
    /// The answer, good for this prefix.
    Answered(Eid),
    /// The ETR that answers itself.
    Etr(IpAddr),
    /// An ETR answers itself, and none of its locators can be used.
    Nobody,
}

impl MapServer {
    /// The plain question: most of them are for a single address, and the answer is a copy.
    pub(crate) fn question(
        &mut self,
        question: &Question,
        datagram: &[u8],
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let Question {
            nonce,
            eid,
            rloc,
            port,
        } = *question;
        let whole = eid.length() == eid.address().width();
        let answer = whole
            .then(|| self.mappings.get(eid))
            .flatten()
            .filter(|mapping| mapping.is_proxied())
            .and_then(|mapping| mapping.answer(seconds(now)));
        if let Some(record) = answer {
            let to = SocketAddr::new(rloc, port);
            outcome.parts(to, &[&MapReply::head(nonce, 1), &record]);
            return self.publisher.remember(eid, rloc, now, &self.config);
        }
        let mut records = Records::default();
        match self.resolve(eid, now, &mut records) {
            Found::Answered(prefix) => self.publisher.remember(prefix, rloc, now, &self.config),
            Found::Etr(etr) => {
                // If the mapping moves to another ETR, the one that answers does not know who asked.
                self.publisher.remember(eid, rloc, now, &self.config);
                outcome.send(SocketAddr::new(etr, CONTROL_PORT), datagram);
            }
            Found::Nobody => {}
        }
        self.reply(SocketAddr::new(rloc, port), nonce, &records, outcome);
    }

    fn reply(&self, to: SocketAddr, nonce: u64, records: &Records, outcome: &mut Outcome) {
        if records.count > 0 {
            let head = MapReply::head(nonce, records.count);
            outcome.parts(to, &[&head, &records.bytes]);
        }
    }

    /// `port` is where the answer is awaited: that of the packet inside, if there is one.
    pub(crate) fn request(
        &mut self,
        from: SocketAddr,
        request: &MapRequest,
        port: u16,
        datagram: &[u8],
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let wish = match request.wish() {
            Ok(wish) => wish,
            Err(error) => {
                self.reject(from, error, outcome);
                Wish::Answer
            }
        };
        let rloc = request.itr_rlocs.iter().find_map(|rloc| rloc.ip());
        match wish {
            Wish::Answer => {}
            Wish::Subscribe(xtr) | Wish::Unsubscribe(xtr) => {
                let to = rloc.map(|rloc| SocketAddr::new(rloc, CONTROL_PORT));
                for record in &request.records {
                    if record.flags.contains(EidFlags::NOTIFY)
                        && let Some(eid) = record.eid()
                    {
                        self.subscribe((from, to), xtr, eid, request.nonce, now, outcome);
                    }
                }
                return;
            }
        }
        if request
            .flags
            .intersects(MapRequestFlags::SMR | MapRequestFlags::DONT_MAP_REPLY)
        {
            return;
        }
        let Some(rloc) = rloc else { return };
        let mut records = Records::default();
        for eid in request.records.iter().filter_map(|record| record.eid()) {
            match self.resolve(eid, now, &mut records) {
                Found::Answered(prefix) => {
                    self.publisher.remember(prefix, rloc, now, &self.config);
                }
                Found::Etr(etr) => {
                    self.publisher.remember(eid, rloc, now, &self.config);
                    let to = SocketAddr::new(etr, CONTROL_PORT);
                    match is_encapsulated(datagram) {
                        true => outcome.send(to, datagram),
                        false => pass_on(from, to, request, outcome),
                    }
                }
                Found::Nobody => {}
            }
        }
        self.reply(
            SocketAddr::new(rloc, port),
            request.nonce,
            &records,
            outcome,
        );
    }

    /// Appends the answer, or says which ETR has it.
    fn resolve(&self, eid: Eid, now: Duration, records: &mut Records) -> Found {
        let now = seconds(now);
        let mut live = self.mappings.covering(eid);
        let Some((prefix, mapping)) = live.find(|(_, mapping)| mapping.is_live(now)) else {
            let denial = self.denial(eid);
            let prefix = denial.eid().unwrap_or(eid);
            if let Ok(bytes) = denial.to_bytes() {
                records.push(&bytes);
            }
            return Found::Answered(prefix);
        };
        if !mapping.is_proxied() {
            let registered = mapping.registrations().iter();
            let locators = registered
                .filter(|part| part.expires > now)
                .filter_map(|part| part.record())
                .flat_map(|record| record.locators);
            let best = locators
                .filter(|locator| locator.priority < 255)
                .filter_map(|locator| Some((locator.priority, locator.address.ip()?)))
                .min_by_key(|(priority, _)| *priority);
            return best.map_or(Found::Nobody, |(_, etr)| Found::Etr(etr));
        }
        // A part of the prefix may be elsewhere: whoever caches the prefix must know.
        let inside = self.mappings.covered(prefix);
        let known = inside.filter_map(|(_, mapping)| mapping.answer(now));
        let parts: Vec<_> = known.take(MOST_PARTS + 1).collect();
        if parts.len() <= MOST_PARTS {
            parts.iter().for_each(|part| records.push(part));
            return Found::Answered(prefix);
        }
        // Too many to tell: the answer is for one address only, so it hides none of them.
        let host = Eid::host(eid.instance(), eid.address());
        let covering = self.mappings.covering(host);
        let mut known = covering.filter_map(|(_, mapping)| mapping.record(now));
        if let Some(record) = known.next() {
            let narrowed = Record {
                mask_len: host.length(),
                eid: host.to_address(),
                ..record
            };
            if let Ok(bytes) = narrowed.to_bytes() {
                records.push(&bytes);
            }
        }
        Found::Answered(host)
    }

    /// The largest prefix around `eid` in which nothing is or could soon be registered.
    fn denial(&self, eid: Eid) -> Record {
        let free = self.mappings.hole(eid).unwrap_or(eid);
        let site = self.allowed.covering(eid).next();
        let (around, ttl) = match site {
            Some((prefix, _)) => (prefix, DENIED_IN_SITE),
            None => (self.allowed.hole(eid).unwrap_or(eid), DENIED_OUTSIDE),
        };
        let length = free.length().max(around.length());
        let mut record = Record::new(Eid::new(eid.instance(), eid.address(), length), ttl);
        record.action = Action::NativelyForward;
        record
    }
}

fn is_encapsulated(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first >> 4 == 8)
}

/// Wraps a question that came without a packet of its own, so that the ETR knows who asks.
fn pass_on(from: SocketAddr, to: SocketAddr, request: &MapRequest, outcome: &mut Outcome) {
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => InnerIp::v4(from, to),
        (from, to) => InnerIp::v6(mapped(from), mapped(to)),
    };
    let ecm = Encapsulated::new(ip, from.port(), request.clone());
    outcome.message(to, &Message::from(ecm));
}

fn mapped(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
