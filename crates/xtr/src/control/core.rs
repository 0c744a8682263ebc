//! The state of a router's conversations, and the doors through which everything comes in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lisp::message::Inner;
use lisp::{Eid, Message, XtrId};
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::outcome::{Event, Outcome, Rejection};
use super::own::Owned;
use super::probe::Locators;
use super::register::Server;
use super::resolve::Questions;
use crate::config::{self, Config, MapResolver, Rloc, Role};
use crate::error::Error;

/// Answers to requests of others in a second.
const ANSWERS: u32 = 2_000;

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// No Map-Register had a nonce as large as this one.
    pub nonce: u64,
    /// Endpoints of the configuration that have left: they must not be registered again.
    #[serde(default)]
    pub left: BTreeSet<(u32, String)>,
}

/// A router's conversations.
pub struct Core {
    pub(super) random: Box<dyn FnMut() -> u64 + Send>,
    pub(super) rlocs: Vec<Rloc>,
    pub(super) xtr: Option<XtrId>,
    pub(super) subscribes: bool,
    pub(super) is_pitr: bool,
    pub(super) petrs: Vec<IpAddr>,
    pub(super) data_port: u16,
    pub(super) control_port: u16,
    pub(super) resolvers: Vec<MapResolver>,
    pub(super) probe_every: Option<Duration>,
    pub(super) servers: Vec<Server>,
    pub(super) own: BTreeMap<Eid, Owned>,
    pub(super) cache: Cache,
    pub(super) questions: Questions,
    pub(super) locators: Locators,
    /// Who has asked us for our endpoints: until when they may remember the answer.
    pub(super) askers: BTreeMap<(Eid, IpAddr), Duration>,
    /// When an endpoint's sender was last solicited.
    pub(super) solicited: HashMap<(Eid, IpAddr), Duration>,
    pub(super) saved: Saved,
    /// Nonces that may be used before `saved.nonce` must grow.
    pub(super) last_nonce: u64,
    /// The first part of nonces that must grow over restarts.
    pub(super) era: u64,
    pub(super) rejected: BTreeMap<Rejection, u64>,
    answers_left: u32,
    refilled: Duration,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// A router with what a run before has saved. `unix` is the time of day in seconds since 1970,
    /// so that nonces grow even if nothing was saved; `random` gives numbers that nobody can guess.
    /// The outcome has the first tables and registrations.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(
        config: &Config,
        saved: Saved,
        unix: u64,
        random: Box<dyn FnMut() -> u64 + Send>,
        now: Duration,
    ) -> Result<(Self, Outcome), Error> {
        config.check()?;
        let servers: Result<Vec<_>, _> = config.map_servers.iter().map(Server::new).collect();
        let era = unix << 24;
        let mut core = Self {
            random,
            rlocs: config.rlocs.clone(),
            xtr: config.xtr()?,
            subscribes: config.subscribe && config.xtr_id.is_some(),
            is_pitr: config.is(Role::Pitr),
            petrs: config.petrs.clone(),
            data_port: config.data_port,
            control_port: config.control_port,
            resolvers: config.map_resolvers.clone(),
            probe_every: config.probe_every(),
            servers: servers?,
            own: BTreeMap::new(),
            cache: Cache::default(),
            questions: Questions::default(),
            locators: Locators::default(),
            askers: BTreeMap::new(),
            solicited: HashMap::new(),
            last_nonce: saved.nonce.max(era),
            saved,
            era,
            rejected: BTreeMap::new(),
            answers_left: ANSWERS,
            refilled: now,
        };
        let mut outcome = Outcome::default();
        for own in &config.eids {
            let eid = config::prefix(own.instance, &own.prefix)?;
            core.begin_own(eid, now, &mut outcome);
        }
        for fixed in &config.mappings {
            let eid = config::prefix(fixed.instance, &fixed.prefix)?;
            core.set_mapping(eid, Some(fixed.rlocs.clone()), now, &mut outcome);
        }
        core.tick(now, &mut outcome);
        Ok((core, outcome))
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
            Err(_) => return self.reject(from, Rejection::Malformed, outcome),
        };
        match message {
            Message::MapRequest(request) => {
                self.asked(from, from.port(), &request, now, outcome);
            }
            Message::Encapsulated(ecm) => match ecm.inner {
                Inner::Packet {
                    source_port,
                    message,
                    ..
                } => match *message {
                    Message::MapRequest(request) => {
                        self.asked(from, source_port, &request, now, outcome);
                    }
                    _ => self.reject(from, Rejection::Useless, outcome),
                },
                Inner::Secured(_) => self.reject(from, Rejection::Useless, outcome),
            },
            Message::MapReply(reply) => self.replied(from, reply, now, outcome),
            Message::MapNotify(notify) => self.notified(from, datagram, notify, now, outcome),
            Message::MapRegister(_)
            | Message::MapNotifyAck(_)
            | Message::Info(_)
            | Message::Opaque(_) => self.reject(from, Rejection::Useless, outcome),
        }
    }

    /// Does what time has come for. Call it several times a second.
    pub fn tick(&mut self, now: Duration, outcome: &mut Outcome) {
        if now >= self.refilled + Duration::from_secs(1) {
            self.refilled = now;
            self.answers_left = ANSWERS;
            self.askers.retain(|_, until| *until > now);
            self.solicited
                .retain(|_, at| now < *at + Duration::from_secs(1));
        }
        self.fence(now, outcome);
        self.register_due(now, outcome);
        self.ask_due(now, outcome);
        self.expire(now, outcome);
        self.probe_due(now, outcome);
    }

    pub(super) fn reject(&mut self, from: SocketAddr, reason: Rejection, outcome: &mut Outcome) {
        *self.rejected.entry(reason).or_default() += 1;
        outcome.events.push(Event::Rejected { from, reason });
    }

    /// Whether one more answer may be given in this second.
    pub(super) fn may_answer(&mut self) -> bool {
        match self.answers_left.checked_sub(1) {
            Some(left) => {
                self.answers_left = left;
                true
            }
            None => false,
        }
    }

    /// Our locator that is best for talking to an address.
    pub(super) fn rloc_for(&self, peer: IpAddr) -> Option<IpAddr> {
        let same = |rloc: &&Rloc| rloc.address.is_ipv4() == peer.is_ipv4();
        let mine = self.rlocs.iter().filter(same);
        mine.min_by_key(|rloc| rloc.priority)
            .map(|rloc| rloc.address)
    }

    pub(super) fn can_reach(&self, peer: IpAddr) -> bool {
        self.rloc_for(peer).is_some()
    }

    /// A nonce that nobody can guess.
    pub(super) fn nonce(&mut self) -> u64 {
        (self.random)()
    }

    /// A nonce that is larger than those of any run before, and hard to guess (for subscriptions).
    pub(super) fn growing_nonce(&mut self) -> u64 {
        self.era << 8 | (self.random)() & 0xffff_ffff
    }
}
