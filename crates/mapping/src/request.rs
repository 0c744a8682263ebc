//! Map-Request: answered from the table, passed on to the ETR, or denied.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lisp::message::CONTROL_PORT;
use lisp::message::{EidFlags, Encapsulated, InnerIp, MapReplyFlags};
use lisp::record::{Action, RecordFlags};
use lisp::subscription::Wish;
use lisp::{Eid, MapReply, MapRequest, MapRequestFlags, Message, Record};

use crate::server::{MapServer, Outcome};

/// Minutes that a denial holds inside and outside of a site (RFC 9301, section 8.2).
const DENIED_IN_SITE: u32 = 1;
const DENIED_OUTSIDE: u32 = 15;

/// How many parts of a prefix are told with it, so that its asker does not overlook them.
const MOST_PARTS: usize = 16;

impl MapServer {
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
                outcome.reject(from, error);
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
                        self.subscribe(from, to, xtr, eid, request.nonce, now, outcome);
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
        let mut records = Vec::with_capacity(1);
        for eid in request.records.iter().filter_map(|record| record.eid()) {
            // Also one whose question is passed on: if the mapping moves to another ETR, the one that
            // answers does not know it.
            self.publisher.remember(eid, rloc, now, &self.config);
            match self.resolve(eid, now, &mut records) {
                None => {}
                Some(etr) => {
                    let to = SocketAddr::new(etr, CONTROL_PORT);
                    match is_encapsulated(datagram) {
                        true => outcome.send.push((to, datagram.to_vec())),
                        false => pass_on(from, to, request, outcome),
                    }
                }
            }
        }
        if !records.is_empty() {
            records.truncate(255);
            // Only an ETR may say that its answer is authoritative (RFC 9301, section 5.4).
            for record in &mut records {
                record.flags.remove(RecordFlags::AUTHORITATIVE);
            }
            let reply = MapReply {
                flags: MapReplyFlags::empty(),
                nonce: request.nonce,
                records,
                security: None,
            };
            outcome.message(SocketAddr::new(rloc, port), &reply.into());
        }
    }

    /// Appends the answer, or says which ETR has it.
    fn resolve(&self, eid: Eid, now: Duration, records: &mut Vec<Record>) -> Option<IpAddr> {
        let found = self
            .mappings
            .covering(eid)
            .find(|(_, mapping)| mapping.is_live(now));
        let Some((prefix, mapping)) = found else {
            records.push(self.denial(eid));
            return None;
        };
        if !mapping.is_proxied(now) {
            let locators = mapping.locators(now);
            let usable = locators.iter().filter(|locator| locator.priority < 255);
            return usable
                .min_by_key(|locator| locator.priority)
                .and_then(|locator| locator.address.ip());
        }
        // A part of the prefix may be elsewhere: whoever caches the prefix must know.
        let whole = self.mappings.covered(prefix);
        let known = whole.filter_map(|(eid, mapping)| mapping.record(eid, now));
        let parts: Vec<Record> = known.take(MOST_PARTS + 1).collect();
        if parts.len() > MOST_PARTS {
            // Too many to tell: the answer is for one address only, so it hides none of them.
            let host = Eid::host(eid.instance(), eid.address());
            let covering = self.mappings.covering(host);
            let mut known = covering.filter_map(|(_, mapping)| mapping.record(host, now));
            records.extend(known.next());
        } else {
            records.extend(parts);
        }
        None
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
