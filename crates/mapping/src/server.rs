//! The server: which message goes where, and what time does.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use lisp::message::{Inner, Question};
use lisp::{DecodeErrorCounts, Eid, Message, Record};

use crate::audit::{Audit, Rejection, RejectionCounts};
use crate::config::{Config, Site};
use crate::mapping::{Mapping, seen};
use crate::outcome::Outcome;
use crate::pace::{Pacer, Verdict};
use crate::publish::Publisher;
use crate::table::PrefixTable;
use crate::xtrs::Xtrs;

/// How many mappings a call of [`MapServer::tick`] looks at for ones that ran out.
const SWEEP: usize = 20_000;

/// A Map-Server and Map-Resolver.
#[derive(Debug)]
pub struct MapServer {
    pub(crate) config: Config,
    pub(crate) sites: HashMap<u64, Site>,
    /// The site that may register a prefix.
    pub(crate) allowed: PrefixTable<u64>,
    pub(crate) mappings: PrefixTable<Mapping>,
    pub(crate) xtrs: Xtrs,
    pub(crate) publisher: Publisher,
    pacer: Pacer,
    /// Where solicited requests and passed-on questions seem to come from.
    pub(crate) address: IpAddr,
    malformed: DecodeErrorCounts,
    rejected: RejectionCounts,
    swept: Option<Eid>,
    /// Prefixes whose registrations are not saved as they are.
    pub(crate) unsaved: HashSet<Eid>,
    /// For nonces of solicitations, which are no secret.
    pub(crate) solicitations: u64,
}

impl MapServer {
    /// A server without mappings. Solicitations ask to be answered at `address`. Of sites that claim
    /// the same prefix the last one has it; see [`MapServer::put_site`].
    pub fn new(mut config: Config, address: IpAddr) -> Self {
        let mut allowed = PrefixTable::default();
        let mut sites = HashMap::new();
        for site in std::mem::take(&mut config.sites) {
            for prefix in &site.prefixes {
                allowed.insert(*prefix, site.id);
            }
            sites.insert(site.id, site);
        }
        Self {
            config,
            sites,
            allowed,
            mappings: PrefixTable::default(),
            xtrs: Xtrs::default(),
            publisher: Publisher::default(),
            pacer: Pacer::default(),
            address,
            malformed: DecodeErrorCounts::default(),
            rejected: RejectionCounts::default(),
            swept: None,
            unsaved: HashSet::new(),
            solicitations: 0,
        }
    }

    /// How many datagrams could not be decoded, by what was wrong with them.
    pub fn malformed(&self) -> &DecodeErrorCounts {
        &self.malformed
    }

    /// How many datagrams were dropped, or parts of them refused, by reason.
    pub fn rejected(&self) -> &RejectionCounts {
        &self.rejected
    }

    /// How many prefixes have a mapping, ones included that ran out and were not swept yet.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// What holds for exactly this prefix.
    pub fn mapping(&self, eid: Eid, now: Duration) -> Option<Record> {
        self.mappings.get(eid)?.record(seconds(now))
    }

    /// Up to `count` mappings after a prefix, in order; from the first one without it.
    pub fn some_mappings(
        &self,
        after: Option<Eid>,
        count: usize,
        now: Duration,
    ) -> impl Iterator<Item = (Eid, Record)> {
        let some = self.mappings.some_after(after, count);
        some.filter_map(move |(eid, mapping)| Some((eid, mapping.record(seconds(now))?)))
    }

    pub(crate) fn reject(
        &mut self,
        from: SocketAddr,
        reason: impl Into<Rejection>,
        outcome: &mut Outcome,
    ) {
        let reason = reason.into();
        self.rejected.count(&reason);
        outcome.audit.push(Audit::Rejected { from, reason });
    }

    /// Takes a datagram that came to the control port.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let length = datagram.len();
        if length > self.config.most_bytes {
            return self.reject(from, Rejection::Oversized { length }, outcome);
        }
        if let Some(pace) = self.config.pace
            && let Verdict::Drop { say } = self.pacer.judge(from.ip(), pace, now)
        {
            match say {
                true => self.reject(from, Rejection::TooFast, outcome),
                false => self.rejected.count(&Rejection::TooFast),
            }
            return;
        }
        if let Some(question) = Question::read(datagram) {
            return self.question(&question, datagram, now, outcome);
        }
        let message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(error) => {
                self.malformed.count(&error);
                return self.reject(from, error, outcome);
            }
        };
        match message {
            Message::MapRegister(register) => {
                self.register(from, datagram, register, now, outcome);
            }
            Message::MapRequest(request) => {
                self.request(from, &request, from.port(), datagram, now, outcome);
            }
            Message::Encapsulated(ecm) => match ecm.inner {
                Inner::Packet {
                    source_port,
                    message,
                    ..
                } => match *message {
                    Message::MapRequest(request) => {
                        self.request(from, &request, source_port, datagram, now, outcome);
                    }
                    _ => self.useless(from, "encapsulated other message", outcome),
                },
                Inner::Secured(_) => self.useless(from, "LISP-SEC message", outcome),
            },
            Message::MapNotifyAck(ack) => self.acknowledge(from, datagram, &ack, outcome),
            Message::MapReply(_) => self.useless(from, "Map-Reply", outcome),
            Message::MapNotify(_) => self.useless(from, "Map-Notify", outcome),
            Message::Info(_) => self.useless(from, "Info message", outcome),
            Message::Opaque(_) => self.useless(from, "message of another protocol", outcome),
        }
    }

    fn useless(&mut self, from: SocketAddr, what: &'static str, outcome: &mut Outcome) {
        self.reject(from, Rejection::Useless { what }, outcome);
    }

    /// Sends again what was not acknowledged, and drops registrations that ran out, some thousands
    /// in a call. Call it several times a second.
    pub fn tick(&mut self, now: Duration, outcome: &mut Outcome) {
        self.retry(now, outcome);
        self.publisher.sweep(now, SWEEP);
        let mut seen = 0;
        let mut last = None;
        let mut stale = Vec::new();
        for (eid, mapping) in self.mappings.some_after(self.swept, SWEEP) {
            seen += 1;
            last = Some(eid);
            if mapping.is_stale(seconds(now)) {
                stale.push(eid);
            }
        }
        self.swept = last.filter(|_| seen == SWEEP);
        for eid in stale {
            self.keep_only(eid, now, outcome, |part| part.expires > seconds(now));
        }
    }

    /// Puts a mapping in, and tells whom it concerns if it is another one.
    pub(crate) fn put(
        &mut self,
        eid: Eid,
        after: Option<Mapping>,
        before: Option<Seen>,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let changed = seen(after.as_ref(), seconds(now)) != before;
        let gone = after.is_none();
        match after {
            Some(mapping) => drop(self.mappings.insert(eid, mapping)),
            None => drop(self.mappings.remove(eid)),
        }
        if self.config.remember_unsaved {
            self.unsaved.insert(eid);
        }
        if gone {
            outcome.audit.push(Audit::Gone { eid });
        } else if changed {
            outcome.audit.push(Audit::Changed { eid });
        }
        if changed {
            self.changed(eid, now, outcome);
        }
    }

    /// Drops all registrations of a prefix but some.
    pub(crate) fn keep_only(
        &mut self,
        eid: Eid,
        now: Duration,
        outcome: &mut Outcome,
        stays: impl FnMut(&crate::mapping::Registration) -> bool,
    ) {
        let Some(mapping) = self.mappings.get(eid) else {
            return;
        };
        // What ran out was seen until now, whoever looked.
        let before = seen(Some(mapping), 0);
        let after = mapping.clone().keeping(eid, stays);
        self.put(eid, after, before, now, outcome);
    }
}

/// What counts as a change of a mapping.
pub(crate) type Seen = (Vec<lisp::Locator>, lisp::record::Action);

/// Seconds of the server's clock as mappings have them.
pub(crate) fn seconds(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX - 1)
}
