//! The server: what comes in goes to registration, request or acknowledgement.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lisp::message::Inner;
use lisp::subscription::NonceSequence;
use lisp::{DecodeErrorCounts, Eid, Message, Record};

use crate::audit::{Audit, Rejection};
use crate::config::Config;
use crate::mapping::{Mapping, Registrant};
use crate::publish::Publisher;
use crate::table::PrefixTable;

/// How many mappings a call of [`MapServer::tick`] looks at for ones that ran out.
const SWEEP: usize = 20_000;

/// What a call wants to be done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Datagrams to be sent.
    pub send: Vec<(SocketAddr, Vec<u8>)>,
    /// Lines for the log.
    pub audit: Vec<Audit>,
}

impl Outcome {
    pub(crate) fn reject(&mut self, from: SocketAddr, reason: impl Into<Rejection>) {
        let reason = reason.into();
        self.audit.push(Audit::Rejected { from, reason });
    }

    /// Encodes a message that we made ourselves. One that is too long for its fields is not sent: a
    /// merged mapping with long addresses could be.
    pub(crate) fn message(&mut self, to: SocketAddr, message: &Message) {
        if let Ok(bytes) = message.to_bytes() {
            self.send.push((to, bytes));
        }
    }
}

/// A Map-Server and Map-Resolver.
#[derive(Debug)]
pub struct MapServer {
    pub(crate) config: Config,
    /// Index of the site that may register a prefix.
    pub(crate) allowed: PrefixTable<usize>,
    pub(crate) mappings: PrefixTable<Mapping>,
    /// Last nonce of each xTR that has registered with a right key.
    pub(crate) nonces: HashMap<(usize, Registrant), NonceSequence>,
    pub(crate) publisher: Publisher,
    /// Where solicited requests and passed-on questions seem to come from.
    pub(crate) address: IpAddr,
    malformed: DecodeErrorCounts,
    swept: Option<Eid>,
    /// For nonces of solicitations, which are no secret.
    pub(crate) solicitations: u64,
}

impl MapServer {
    /// A server without mappings. Solicitations ask to be answered at `address`.
    pub fn new(config: Config, address: IpAddr) -> Self {
        let mut allowed = PrefixTable::default();
        for (index, site) in config.sites.iter().enumerate() {
            for prefix in &site.prefixes {
                allowed.insert(*prefix, index);
            }
        }
        Self {
            config,
            allowed,
            mappings: PrefixTable::default(),
            nonces: HashMap::new(),
            publisher: Publisher::default(),
            address,
            malformed: DecodeErrorCounts::default(),
            swept: None,
            solicitations: 0,
        }
    }

    /// How many datagrams could not be decoded, by reason.
    pub fn malformed(&self) -> &DecodeErrorCounts {
        &self.malformed
    }

    /// How many prefixes are registered, ones included that ran out and were not swept yet.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// What is registered for exactly this prefix.
    pub fn mapping(&self, eid: Eid, now: Duration) -> Option<Record> {
        self.mappings.get(eid)?.record(eid, now)
    }

    /// Takes a datagram that came to the control port.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(error) => {
                self.malformed.count(&error);
                return outcome.reject(from, error);
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
                    _ => useless(from, "encapsulated other message", outcome),
                },
                Inner::Secured(_) => useless(from, "LISP-SEC message", outcome),
            },
            Message::MapNotifyAck(ack) => self.acknowledge(from, datagram, &ack, outcome),
            Message::MapReply(_) => useless(from, "Map-Reply", outcome),
            Message::MapNotify(_) => useless(from, "Map-Notify", outcome),
            Message::Info(_) => useless(from, "Info message", outcome),
            Message::Opaque(_) => useless(from, "message of another protocol", outcome),
        }
    }

    /// Sends again what was not acknowledged, and drops registrations that ran out, some thousands
    /// in a call. Call it several times a second.
    pub fn tick(&mut self, now: Duration, outcome: &mut Outcome) {
        self.retry(now, outcome);
        self.publisher.sweep(now, SWEEP);
        let seen: Vec<(Eid, bool)> = self
            .mappings
            .some_after(self.swept, SWEEP)
            .map(|(eid, mapping)| (eid, mapping.is_live(now)))
            .collect();
        self.swept = match seen.last() {
            Some((eid, _)) if seen.len() == SWEEP => Some(*eid),
            _ => None,
        };
        for (eid, live) in seen {
            if !live {
                self.mappings.remove(eid);
                outcome.audit.push(Audit::Gone { eid });
                self.changed(eid, now, outcome);
            }
        }
    }
}

fn useless(from: SocketAddr, what: &'static str, outcome: &mut Outcome) {
    outcome.reject(from, Rejection::Useless { what });
}
