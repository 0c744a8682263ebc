//! Telling of changes: notifications to subscribers, again until they acknowledge (RFC 9437), and
//! solicitations to those who have only asked (RFC 9301, section 6.1), again until they ask.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashMap;
use lisp::auth::{self, Algorithm, Authentication};
use lisp::message::CONTROL_PORT;
use lisp::record::Action;
use lisp::subscription::{Freshness, NonceSequence};
use lisp::{Eid, EidRecord, MapNotify, MapRequest, MapRequestFlags, Message, Record, XtrId};

use crate::audit::{Audit, Rejection};
use crate::config::{Config, Site};
use crate::outcome::Outcome;
use crate::server::{MapServer, seconds};
use crate::table::PrefixTable;

mod askers;
mod solicited;

use askers::Askers;
use solicited::Solicited;

/// Minutes that a notification of something that is gone holds.
const GONE_TTL: u32 = 1;

/// Who is told.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    subscribers: PrefixTable<HashMap<XtrId, Subscriber>>,
    count: usize,
    retries: BTreeSet<Retry>,
    askers: Askers,
    solicited: Solicited,
}

/// When a notification is sent again: of the subscription of a prefix by an xTR, about a prefix.
type Retry = (Duration, Eid, XtrKey, Eid);
type XtrKey = (u128, u64);

#[derive(Debug)]
struct Subscriber {
    to: SocketAddr,
    nonces: NonceSequence,
    /// One for each prefix that it was told of.
    pending: Vec<Pending>,
}

/// A notification that is not acknowledged yet.
#[derive(Debug)]
struct Pending {
    /// What it is about.
    eid: Eid,
    nonce: u64,
    bytes: Box<[u8]>,
    tries: u8,
    /// When it is sent again.
    at: Duration,
}

/// How many prefixes a subscriber may leave unacknowledged; older ones are given up.
const MOST_PENDING: usize = 256;

/// Records in one notification, so that it fits an MTU.
const RECORDS_AT_ONCE: usize = 16;

impl Publisher {
    /// Remembers who was answered with a mapping of `eid`.
    pub(crate) fn remember(&mut self, eid: Eid, rloc: IpAddr, now: Duration, config: &Config) {
        let until = seconds(now.saturating_add(config.asker_lifetime));
        self.askers.remember(eid, rloc, until, config.most_askers);
        self.solicited.asked(rloc, eid);
    }

    /// Forgets askers whose time is over, `count` of their prefixes looked at in a call.
    pub(crate) fn sweep(&mut self, now: Duration, count: usize) {
        self.askers.sweep(seconds(now), count);
    }

    /// Ends all subscriptions of a site.
    pub(crate) fn forget_site(&mut self, id: u64) {
        let all = self.subscribers.some_after(None, usize::MAX);
        let concerned: Vec<Eid> = all
            .filter(|(_, list)| list.keys().any(|xtr| xtr.site_id == id))
            .map(|(eid, _)| eid)
            .collect();
        for eid in concerned {
            if let Some(list) = self.subscribers.get_mut(eid) {
                let before = list.len();
                list.retain(|xtr, _| xtr.site_id != id);
                self.count -= before - list.len();
                if list.is_empty() {
                    self.subscribers.remove(eid);
                }
            }
        }
    }

    fn end(&mut self, eid: Eid, xtr: XtrId) {
        let Some(list) = self.subscribers.get_mut(eid) else {
            return;
        };
        if list.remove(&xtr).is_some() {
            self.count -= 1;
        }
        if list.is_empty() {
            self.subscribers.remove(eid);
        }
    }

    /// Subscribed prefixes that a change of `eid` concerns: around it, itself and in it.
    fn concerned(&self, eid: Eid) -> Vec<Eid> {
        let wider = self.subscribers.covering(eid).map(|(found, _)| found);
        let narrower = self.subscribers.covered(eid).map(|(found, _)| found);
        wider
            .chain(narrower.filter(|found| *found != eid))
            .collect()
    }

    fn subscriber(&mut self, eid: Eid, xtr: XtrId) -> Option<&mut Subscriber> {
        self.subscribers.get_mut(eid)?.get_mut(&xtr)
    }
}

impl MapServer {
    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.publisher.count
    }

    /// How many notifications wait for their acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.publisher.retries.len()
    }

    /// Takes a wish to be told of changes; one without an address ends it.
    pub(crate) fn subscribe(
        &mut self,
        (from, to): (SocketAddr, Option<SocketAddr>),
        xtr: XtrId,
        eid: Eid,
        nonce: u64,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let site_id = xtr.site_id;
        if !self.sites.contains_key(&site_id) {
            return self.reject(from, Rejection::UnknownSite { site_id }, outcome);
        }
        let full = self.publisher.count >= self.config.most_subscriptions;
        match (self.publisher.subscriber(eid, xtr), to) {
            (Some(known), to) => {
                if known.nonces.accept(nonce) == Freshness::Old {
                    return self.reject(from, Rejection::Replayed { nonce }, outcome);
                }
                match to {
                    Some(to) => known.to = to,
                    None => return self.publisher.end(eid, xtr),
                }
            }
            (None, None) => return,
            (None, Some(_)) if full => {
                let what = "subscriptions";
                return self.reject(from, Rejection::Limit { what }, outcome);
            }
            (None, Some(to)) => {
                let new = Subscriber {
                    to,
                    nonces: NonceSequence::starting(nonce),
                    pending: Vec::new(),
                };
                if let Some(list) = self.publisher.subscribers.entry(eid) {
                    list.insert(xtr, new);
                    self.publisher.count += 1;
                }
            }
        }
        let records = self.known(eid, now);
        let mut confirms = Some(nonce);
        for some in records.chunks(RECORDS_AT_ONCE) {
            let about = some.first().and_then(Record::eid).unwrap_or(eid);
            let news = News {
                records: some,
                about,
                subscribed: eid,
                xtr,
                nonce: confirms.take(),
            };
            self.publisher
                .tell(&self.sites, &self.config, &news, now, outcome);
        }
    }

    /// Tells everyone whom a change of `eid` concerns.
    pub(crate) fn changed(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let concerned = self.publisher.concerned(eid);
        if !concerned.is_empty() {
            let record = self.current(eid, now);
            let xtrs: Vec<(Eid, XtrId)> = concerned
                .into_iter()
                .flat_map(|found| {
                    let list = self.publisher.subscribers.get(found);
                    let keys = list.into_iter().flat_map(HashMap::keys);
                    keys.map(move |xtr| (found, *xtr)).collect::<Vec<_>>()
                })
                .collect();
            for (subscribed, xtr) in xtrs {
                let news = News {
                    records: std::slice::from_ref(&record),
                    about: eid,
                    subscribed,
                    xtr,
                    nonce: None,
                };
                self.publisher
                    .tell(&self.sites, &self.config, &news, now, outcome);
            }
        }
        for (answered, rloc) in self.publisher.askers.take(eid, seconds(now)) {
            self.solicitations += 1;
            let mut smr = MapRequest::new(self.solicitations, answered, self.address);
            smr.flags = MapRequestFlags::SMR;
            // The receiver asks for the source EID of a solicitation, so that is what has changed.
            let inner = if answered.covers(eid) { eid } else { answered };
            smr.source_eid = Eid::host(inner.instance(), inner.address()).to_address();
            smr.records = vec![EidRecord::from(answered)];
            let Ok(bytes) = Message::from(smr).to_bytes() else {
                continue;
            };
            outcome.send(SocketAddr::new(rloc, CONTROL_PORT), &bytes);
            let (again, most) = (now + self.config.retry_after, self.config.most_askers);
            self.publisher
                .solicited
                .sent(rloc, answered, &bytes, again, most);
        }
    }

    /// The mapping of a prefix, or that there is none.
    fn current(&self, eid: Eid, now: Duration) -> Record {
        let mut covering = self.mappings.covering(eid);
        let found = covering.find_map(|(_, mapping)| mapping.record(seconds(now)));
        found.unwrap_or_else(|| {
            let mut record = Record::new(eid, GONE_TTL);
            record.action = Action::NativelyForward;
            record
        })
    }

    /// What a new subscriber of a prefix must know: the mapping around it, and all in it.
    fn known(&self, eid: Eid, now: Duration) -> Vec<Record> {
        let inside = self.mappings.covered(eid);
        let inside = inside.filter_map(|(_, mapping)| mapping.record(seconds(now)));
        let mut known: Vec<Record> = inside.take(MOST_PENDING * RECORDS_AT_ONCE / 2).collect();
        if known.first().and_then(Record::eid) != Some(eid) {
            let around = self.current(eid, now);
            // "There is nothing" would be wrong where there are parts.
            if known.is_empty() || !around.locators.is_empty() {
                known.insert(0, around);
            }
        }
        known
    }

    /// Sends again what was not acknowledged in time.
    pub(crate) fn retry(&mut self, now: Duration, outcome: &mut Outcome) {
        let (wait, most_tries) = (self.config.retry_after, self.config.most_tries);
        while let Some((rloc, smr)) = self.publisher.solicited.again(now, wait, most_tries) {
            outcome.send(SocketAddr::new(rloc, CONTROL_PORT), &smr);
        }
        while let Some(&retry) = self.publisher.retries.first() {
            let (at, subscribed, (xtr_id, site_id), about) = retry;
            if at > now {
                return;
            }
            self.publisher.retries.pop_first();
            let xtr = XtrId { xtr_id, site_id };
            let (most_tries, wait) = (self.config.most_tries, self.config.retry_after);
            let Some(known) = self.publisher.subscriber(subscribed, xtr) else {
                continue;
            };
            let Some(place) = known
                .pending
                .iter()
                .position(|pending| pending.eid == about && pending.at == at)
            else {
                continue;
            };
            let last = known.nonces.last();
            let Some(pending) = known.pending.get_mut(place) else {
                continue;
            };
            if pending.tries >= most_tries {
                known.pending.swap_remove(place);
                let eid = about;
                outcome.audit.push(Audit::Unacknowledged { eid, xtr_id });
                continue;
            }
            pending.tries += 1;
            let tries = pending.tries;
            // Twice as long each time: who is slow is not helped by more.
            pending.at = now + wait * (1 << (tries - 1).min(10));
            let again = (pending.at, subscribed, (xtr_id, site_id), about);
            if last == Some(pending.nonce) {
                outcome.send(known.to, &pending.bytes);
                self.publisher.retries.insert(again);
                continue;
            }
            // Others were sent since, so this nonce would not be believed any more; nor may what has
            // changed meanwhile be told as it was.
            let Ok(Message::MapNotify(told)) = Message::decode(&pending.bytes) else {
                continue;
            };
            let eids = told.records.iter().filter_map(Record::eid);
            let records: Vec<Record> = eids.map(|eid| self.current(eid, now)).collect();
            let news = News {
                records: &records,
                about,
                subscribed,
                xtr,
                nonce: None,
            };
            self.publisher.retries.insert(again);
            self.publisher
                .tell(&self.sites, &self.config, &news, now, outcome);
            self.publisher.keep_trying(&again, tries);
        }
    }

    /// Takes the acknowledgement of a notification. Those of registrations need none.
    pub(crate) fn acknowledge(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        ack: &MapNotify,
        outcome: &mut Outcome,
    ) {
        let Some(xtr) = ack.xtr else { return };
        let site_id = xtr.site_id;
        let Some(site) = self.sites.get(&site_id) else {
            return self.reject(from, Rejection::UnknownSite { site_id }, outcome);
        };
        let key_id = ack.authentication.key_id;
        let verified = match site.key(key_id) {
            None => Err(Rejection::UnknownKey { key_id }),
            Some(key) => auth::verify(datagram, &key.secret).map_err(Rejection::from),
        };
        if let Err(reason) = verified {
            return self.reject(from, reason, outcome);
        }
        for eid in ack.records.iter().filter_map(Record::eid) {
            for found in self.publisher.concerned(eid) {
                let Some(known) = self.publisher.subscriber(found, xtr) else {
                    continue;
                };
                let place = known.pending.iter().position(|of| of.nonce == ack.nonce);
                if let Some(place) = place {
                    let pending = known.pending.swap_remove(place);
                    let of = (pending.at, found, (xtr.xtr_id, site_id), pending.eid);
                    self.publisher.retries.remove(&of);
                }
            }
        }
    }
}

/// What one subscriber is told.
struct News<'a> {
    records: &'a [Record],
    /// What it is about: later news about the same take its place.
    about: Eid,
    subscribed: Eid,
    xtr: XtrId,
    /// Of the request that it confirms; else the next one.
    nonce: Option<u64>,
}

impl Publisher {
    /// Sends a notification, and remembers to send it again.
    fn tell(
        &mut self,
        sites: &HashMap<u64, Site>,
        config: &Config,
        news: &News<'_>,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let xtr = news.xtr;
        let list = self.subscribers.get_mut(news.subscribed);
        let Some(known) = list.and_then(|list| list.get_mut(&xtr)) else {
            return;
        };
        let site = sites.get(&xtr.site_id);
        let Some(key) = site.and_then(|site| site.keys.first()) else {
            return;
        };
        let Some(nonce) = news.nonce.or_else(|| known.nonces.advance()) else {
            return;
        };
        let message = Message::MapNotify(MapNotify {
            nonce,
            authentication: Authentication::with(key.id, Algorithm::HmacSha256),
            records: news.records.to_vec(),
            xtr: Some(xtr),
            ..MapNotify::default()
        });
        let Ok(bytes) = message.to_signed_bytes(&key.secret) else {
            return;
        };
        outcome.send(known.to, &bytes);
        let pending = Pending {
            eid: news.about,
            nonce,
            bytes: bytes.into(),
            tries: 1,
            at: now + config.retry_after,
        };
        let of = (xtr.xtr_id, xtr.site_id);
        let same = known.pending.iter().position(|old| old.eid == news.about);
        let old = match same {
            Some(place) => Some(known.pending.swap_remove(place)),
            None if known.pending.len() >= MOST_PENDING => {
                let eid = known.pending.first().map(|oldest| oldest.eid);
                let lost = eid.map(|eid| Audit::Unacknowledged {
                    eid,
                    xtr_id: xtr.xtr_id,
                });
                outcome.audit.extend(lost);
                Some(known.pending.swap_remove(0))
            }
            None => None,
        };
        if let Some(old) = old {
            self.retries.remove(&(old.at, news.subscribed, of, old.eid));
        }
        self.retries
            .insert((pending.at, news.subscribed, of, pending.eid));
        known.pending.push(pending);
    }

    /// Lets a notification that was made anew go on with the wait and the tries of the one before.
    fn keep_trying(&mut self, retry: &Retry, tries: u8) {
        let (at, subscribed, (xtr_id, site_id), about) = *retry;
        let known = self.subscriber(subscribed, XtrId { xtr_id, site_id });
        let pending = known.and_then(|known| known.pending.iter_mut().find(|of| of.eid == about));
        if let Some(pending) = pending {
            let made = (pending.at, subscribed, (xtr_id, site_id), about);
            pending.tries = tries;
            pending.at = at;
            self.retries.remove(&made);
            self.retries.insert(*retry);
        }
    }
}
