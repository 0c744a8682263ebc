//! Map-Register: said at once, again every minute, and sooner until a Map-Notify confirms it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lisp::auth::{Algorithm, Authentication, Secret};
use lisp::{Eid, MapRegister, MapRegisterFlags, Message};

use super::core::Core;
use super::outcome::{Event, Outcome};
use super::own::Owned;
use crate::config::{self, Hmac};
use crate::error::Error;

/// A registration holds three minutes (RFC 9301, section 8.2).
const REFRESH: Duration = Duration::from_secs(60);
/// When a registration that is not confirmed is sent again; twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
/// The longest of these times, as a power of two.
const MOST_DOUBLED: u32 = 5;
/// Endpoints in a message, so that it fits a datagram that is not fragmented.
const AT_ONCE: usize = 20;
/// Nonces taken at once, so that not each must be saved.
const NONCES: u64 = 4096;

/// A Map-Server and what it knows of us.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) secret: Secret,
    pub(super) key_id: u8,
    pub(super) algorithm: Algorithm,
    proxy: bool,
    pub(super) legacy: bool,
    /// To be registered now.
    wanted: BTreeSet<Eid>,
    /// Sent and not confirmed, by a number of our own: nonces of old servers are all 0.
    sent: BTreeMap<u64, Sent>,
    pub(super) confirmed: BTreeSet<Eid>,
    /// When everything is said again.
    refresh: Option<Duration>,
    tries: u32,
}

struct Sent {
    nonce: u64,
    eids: Vec<Eid>,
    again: Duration,
}

impl Server {
    pub(super) fn new(config: &config::MapServer) -> Result<Self, Error> {
        let algorithm = match config.algorithm {
            _ if config.rfc6830 => Algorithm::HmacSha1,
            Hmac::Sha1 => Algorithm::HmacSha1,
            Hmac::Sha256 => Algorithm::HmacSha256,
        };
        Ok(Self {
            address: SocketAddr::new(config.address, config.port),
            secret: config.secret()?,
            key_id: config.key_id,
            algorithm,
            proxy: config.proxy_reply,
            legacy: config.rfc6830,
            wanted: BTreeSet::new(),
            sent: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            refresh: None,
            tries: 0,
        })
    }

    /// An endpoint is to be registered.
    pub(super) fn want(&mut self, eid: Eid) {
        self.wanted.insert(eid);
        self.tries = 0;
    }

    /// An endpoint is not to be registered any more.
    pub(super) fn forget(&mut self, eid: Eid) {
        self.wanted.remove(&eid);
        self.confirmed.remove(&eid);
        for sent in self.sent.values_mut() {
            sent.eids.retain(|known| *known != eid);
        }
    }

    /// Room for authentication, as this server wants it.
    pub(super) fn authentication(&self) -> Authentication {
        match self.legacy {
            true => Authentication::untruncated(self.key_id, self.algorithm),
            false => Authentication::with(self.key_id, self.algorithm),
        }
    }

    /// Takes a confirmation. Nothing if it confirms nothing that we have sent.
    pub(super) fn confirm(&mut self, nonce: u64, eids: &[Eid]) -> Option<Vec<Eid>> {
        let legacy = self.legacy;
        let mut sent = self.sent.iter().filter(|(_, sent)| {
            let same = sent.eids.iter().all(|eid| eids.contains(eid));
            sent.nonce == nonce && (same || !legacy)
        });
        let number = *sent.next()?.0;
        let sent = self.sent.remove(&number)?;
        self.tries = 0;
        self.confirmed.extend(&sent.eids);
        Some(sent.eids)
    }

    /// Whether a registration with this nonce waits for its confirmation.
    pub(super) fn awaits(&self, nonce: u64) -> bool {
        self.sent.values().any(|sent| sent.nonce == nonce)
    }
}

impl Core {
    /// Registers what is to be registered now.
    pub(super) fn register_due(&mut self, now: Duration, outcome: &mut Outcome) {
        for index in 0..self.servers.len() {
            let own = &self.own;
            let Some(server) = self.servers.get_mut(index) else {
                return;
            };
            if server.refresh.is_none_or(|at| at <= now) {
                server.refresh = Some(now + REFRESH);
                let here = own.iter().filter(|(_, owned)| **owned == Owned::Here);
                server.wanted.extend(here.map(|(eid, _)| *eid));
            }
            let late = |sent: &Sent| sent.again <= now;
            while let Some(number) = server.sent.iter().find(|(_, s)| late(s)).map(|(n, _)| *n) {
                if let Some(sent) = server.sent.remove(&number) {
                    server.tries = (server.tries + 1).min(MOST_DOUBLED);
                    for eid in sent.eids {
                        server.confirmed.remove(&eid);
                        server.wanted.insert(eid);
                    }
                }
            }
            loop {
                let Some(server) = self.servers.get_mut(index) else {
                    return;
                };
                let batch: Vec<Eid> = server.wanted.iter().take(AT_ONCE).copied().collect();
                if batch.is_empty() {
                    break;
                }
                for eid in &batch {
                    server.wanted.remove(eid);
                }
                self.register(index, batch, now, outcome);
            }
        }
    }

    fn register(&mut self, index: usize, eids: Vec<Eid>, now: Duration, outcome: &mut Outcome) {
        let here = |eid: &Eid| self.own.get(eid) == Some(&Owned::Here);
        let eids: Vec<Eid> = eids.into_iter().filter(here).collect();
        let records: Vec<_> = eids
            .iter()
            .filter_map(|eid| self.own_record(*eid))
            .collect();
        if records.is_empty() {
            return;
        }
        let nonce = self.register_nonce(index, outcome);
        let xtr = self.xtr;
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        let mut flags = MapRegisterFlags::WANT_NOTIFY;
        flags.set(MapRegisterFlags::PROXY_REPLY, server.proxy);
        let register = MapRegister {
            flags,
            nonce,
            authentication: server.authentication(),
            records,
            xtr: xtr.filter(|_| !server.legacy),
            ..MapRegister::default()
        };
        if let Ok(bytes) = Message::from(register).to_signed_bytes(&server.secret) {
            let number = server.sent.last_key_value().map_or(0, |(last, _)| last + 1);
            let again = now + RETRY * 2u32.pow(server.tries);
            server.sent.insert(number, Sent { nonce, eids, again });
            outcome.send.push((server.address, bytes));
        }
    }

    /// Takes a registration back: a record with TTL 0 (RFC 9301, section 5.6). Nobody waits for its
    /// confirmation: without it the registration runs out.
    pub(super) fn withdraw(&mut self, eid: Eid, outcome: &mut Outcome) {
        for index in 0..self.servers.len() {
            let nonce = self.register_nonce(index, outcome);
            let Some(server) = self.servers.get(index) else {
                return;
            };
            let register = MapRegister {
                nonce,
                authentication: server.authentication(),
                records: vec![lisp::Record::new(eid, 0)],
                xtr: self.xtr.filter(|_| !server.legacy),
                ..MapRegister::default()
            };
            if let Ok(bytes) = Message::from(register).to_signed_bytes(&server.secret) {
                outcome.send.push((server.address, bytes));
            }
        }
    }

    /// The next nonce of a Map-Register; 0 for servers of 2013. It is saved before it is used.
    fn register_nonce(&mut self, index: usize, outcome: &mut Outcome) -> u64 {
        if self.servers.get(index).is_none_or(|server| server.legacy) {
            return 0;
        }
        self.last_nonce = self.last_nonce.saturating_add(1);
        if self.last_nonce >= self.saved.nonce {
            self.saved.nonce = self.last_nonce.saturating_add(NONCES);
            outcome.save = Some(self.saved.clone());
        }
        self.last_nonce
    }

    /// Tells of registrations that were confirmed.
    pub(super) fn registered(&self, server: usize, eids: Vec<Eid>, outcome: &mut Outcome) {
        let Some(server) = self.servers.get(server).map(|server| server.address.ip()) else {
            return;
        };
        let event = |eid| Event::Registered { eid, server };
        outcome.events.extend(eids.into_iter().map(event));
    }
}
