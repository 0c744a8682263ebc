//! Map-Requests of others: questions for our endpoints, probes of our locators, solicitations.

use std::net::SocketAddr;
use std::time::Duration;

use lisp::message::MapReplyFlags;
use lisp::record::LocatorFlags;
use lisp::{Eid, MapReply, MapRequest, MapRequestFlags, Record};

use super::core::Core;
use super::outcome::{Outcome, Rejection};
use super::own::{Owned, TTL};

/// Who has asked us is remembered for so many.
const MOST_ASKERS: usize = 100_000;

impl Core {
    /// `port` is where the answer is awaited.
    pub(super) fn asked(
        &mut self,
        from: SocketAddr,
        port: u16,
        request: &MapRequest,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        if request.flags.contains(MapRequestFlags::SMR) {
            return self.solicited_by(from, request, now, outcome);
        }
        if !self.may_answer() {
            return self.reject(from, Rejection::TooMany, outcome);
        }
        let probe = request.flags.contains(MapRequestFlags::PROBE);
        let rlocs = request.itr_rlocs.iter().filter_map(|rloc| rloc.ip());
        let rloc = rlocs.into_iter().find(|rloc| self.can_reach(*rloc));
        let mut records = Vec::new();
        for eid in request.records.iter().filter_map(|record| record.eid()) {
            match self.own_prefix(eid) {
                Some((own, Owned::Here)) => {
                    if let Some(rloc) = rloc
                        && (self.askers.len() < MOST_ASKERS
                            || self.askers.contains_key(&(own, rloc)))
                    {
                        let until = now + Duration::from_secs(u64::from(TTL) * 60);
                        self.askers.insert((own, rloc), until);
                    }
                    records.extend(self.own_record(own));
                }
                Some((own, _)) => records.extend(self.own_record(own)),
                // Whoever probes wants to know whether we live, not what we have.
                None if probe => records.push(Record::new(eid, 1)),
                None => {}
            }
        }
        if records.is_empty() || request.flags.contains(MapRequestFlags::DONT_MAP_REPLY) {
            return;
        }
        let mut flags = MapReplyFlags::empty();
        flags.set(MapReplyFlags::PROBE, probe);
        if probe {
            for locator in records.iter_mut().flat_map(|record| &mut record.locators) {
                if locator.flags.contains(LocatorFlags::LOCAL) {
                    locator.flags |= LocatorFlags::PROBED;
                }
            }
        }
        let reply = MapReply {
            flags,
            nonce: request.nonce,
            records,
            security: None,
        };
        // A probe is answered on the way that it came.
        let to = match (probe, rloc) {
            (false, Some(rloc)) => SocketAddr::new(rloc, port),
            (true, _) => from,
            (false, None) => return,
        };
        outcome.message(to, &reply.into());
    }

    /// Someone says that mappings have changed. What we know of them is asked for anew, from the
    /// mapping system, so that nobody can lead our packets anywhere by it.
    fn solicited_by(
        &mut self,
        from: SocketAddr,
        request: &MapRequest,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let source = whole(&request.source_eid);
        let said = request.records.iter().filter_map(|record| record.eid());
        let said: Vec<Eid> = said.chain(source).take(16).collect();
        let mut known = Vec::new();
        for eid in said {
            if let Some((found, mapping)) = self.cache.around(eid)
                && mapping.origin != super::cache::Origin::Static
            {
                // A part of what we know has changed: the part is asked for.
                known.push(if found.length() < eid.length() {
                    eid
                } else {
                    found
                });
            }
            let parts = self.cache.mappings.range(eid..);
            let parts = parts.take_while(|(part, _)| eid.covers(**part));
            known.extend(parts.take(16).map(|(part, _)| *part));
        }
        if known.is_empty() {
            return self.reject(from, Rejection::Unasked, outcome);
        }
        for eid in known {
            self.ask_again(eid, true, now, outcome);
        }
    }
}

/// A source EID has no length: it is an address.
fn whole(address: &lisp::Address) -> Option<Eid> {
    address.width().and_then(|width| Eid::read(address, width))
}
