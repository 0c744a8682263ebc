//! Telling of changes: notifications to subscribers, again until they acknowledge (RFC 9437), and
//! solicitations to those who have only asked (RFC 9301, section 6.1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use lisp::auth::{self, Algorithm, Authentication};
use lisp::message::CONTROL_PORT;
use lisp::record::Action;
use lisp::subscription::{Freshness, NonceSequence};
use lisp::{Eid, EidRecord, MapNotify, MapRequest, MapRequestFlags, Message, Record, XtrId};

use crate::audit::{Audit, Rejection};
use crate::config::Config;
use crate::server::{MapServer, Outcome};
use crate::table::PrefixTable;

/// Minutes that a notification of something that is gone holds.
const GONE_TTL: u32 = 1;

/// Who is told.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    subscribers: PrefixTable<Vec<Subscriber>>,
    count: usize,
    retries: BTreeSet<(Duration, Eid, u128)>,
    /// By prefix and address: until when.
    askers: BTreeMap<(Eid, IpAddr), Duration>,
    swept: Option<(Eid, IpAddr)>,
}

#[derive(Debug)]
struct Subscriber {
    xtr: XtrId,
    site: usize,
    to: SocketAddr,
    nonces: NonceSequence,
    /// The notification that is not acknowledged yet, and how often it was sent.
    pending: Option<(Vec<u8>, u8)>,
}

impl Publisher {
    /// Remembers who asked. Beyond the limit nobody new is: its cache runs out by itself.
    pub(crate) fn remember(&mut self, eid: Eid, rloc: IpAddr, now: Duration, config: &Config) {
        let until = now + config.asker_lifetime;
        if self.askers.len() < config.most_askers {
            self.askers.insert((eid, rloc), until);
        } else if let Some(known) = self.askers.get_mut(&(eid, rloc)) {
            *known = until;
        }
    }

    /// Forgets whose time is over, `count` of them looked at in a call.
    pub(crate) fn sweep(&mut self, now: Duration, count: usize) {
        let start = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let seen: Vec<_> = self
            .askers
            .range((start, Bound::Unbounded))
            .take(count)
            .map(|(asker, until)| (*asker, *until))
            .collect();
        self.swept = match seen.last() {
            Some((asker, _)) if seen.len() == count => Some(*asker),
            _ => None,
        };
        for (asker, _) in seen.iter().filter(|(_, until)| *until <= now) {
            self.askers.remove(asker);
        }
    }

    fn take_askers(&mut self, eid: Eid, now: Duration) -> Vec<(Eid, IpAddr)> {
        let first = (eid, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let concerned = self.askers.range(first..);
        let found: Vec<_> = concerned
            .take_while(|((asked, _), _)| eid.covers(*asked))
            .map(|(asker, until)| (*asker, *until))
            .collect();
        for (asker, _) in &found {
            self.askers.remove(asker);
        }
        let live = found.into_iter().filter(|(_, until)| *until > now);
        live.map(|(asker, _)| asker).collect()
    }
}

impl MapServer {
    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.publisher.count
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what one request says, taken apart"
    )]
    pub(crate) fn subscribe(
        &mut self,
        from: SocketAddr,
        to: Option<SocketAddr>,
        xtr: XtrId,
        eid: Eid,
        nonce: u64,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let site_id = xtr.site_id;
        let Some(site) = self.config.sites.iter().position(|site| site.id == site_id) else {
            return outcome.reject(from, Rejection::UnknownSite { site_id });
        };
        let full = self.publisher.count >= self.config.most_subscriptions;
        let list = self.publisher.subscribers.entry(eid);
        let place = list.iter().position(|known| known.xtr == xtr);
        let fresh = match place.and_then(|place| list.get_mut(place)) {
            Some(known) => known.nonces.accept(nonce),
            None => Freshness::New,
        };
        match (fresh, place, to) {
            (Freshness::Old, _, _) => {
                return outcome.reject(from, Rejection::Replayed { nonce });
            }
            (_, Some(place), None) => {
                list.swap_remove(place);
                self.publisher.count -= 1;
                if list.is_empty() {
                    self.publisher.subscribers.remove(eid);
                }
                return;
            }
            (_, None, None) => {
                if list.is_empty() {
                    self.publisher.subscribers.remove(eid);
                }
                return;
            }
            (_, Some(place), Some(to)) => {
                if let Some(known) = list.get_mut(place) {
                    known.to = to;
                }
            }
            (_, None, Some(_)) if full => {
                if list.is_empty() {
                    self.publisher.subscribers.remove(eid);
                }
                let what = "subscriptions";
                return outcome.reject(from, Rejection::Limit { what });
            }
            (_, None, Some(to)) => {
                self.publisher.count += 1;
                list.push(Subscriber {
                    xtr,
                    site,
                    to,
                    nonces: NonceSequence::starting(nonce),
                    pending: None,
                });
            }
        }
        let record = self.current(eid, now);
        self.notify(eid, xtr, record, Some(nonce), now, outcome);
    }

    /// Tells everyone whom a change of `eid` concerns.
    pub(crate) fn changed(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let wider = self.publisher.subscribers.covering(eid);
        let narrower = self.publisher.subscribers.covered(eid);
        let concerned: Vec<(Eid, XtrId)> = wider
            .chain(narrower.filter(|(found, _)| *found != eid))
            .flat_map(|(found, list)| list.iter().map(move |known| (found, known.xtr)))
            .collect();
        let record = self.current(eid, now);
        for (subscribed, xtr) in concerned {
            self.notify(subscribed, xtr, record.clone(), None, now, outcome);
        }
        for (asked, rloc) in self.publisher.take_askers(eid, now) {
            self.solicitations += 1;
            let mut smr = MapRequest::new(self.solicitations, asked, self.address);
            smr.flags = MapRequestFlags::SMR;
            // The receiver asks for the source EID of a solicitation, so that is what has changed.
            smr.source_eid = Eid::host(asked.instance(), asked.address()).to_address();
            smr.records = vec![EidRecord::from(asked)];
            outcome.message(SocketAddr::new(rloc, CONTROL_PORT), &smr.into());
        }
    }

    /// The mapping of a prefix, or that there is none.
    fn current(&self, eid: Eid, now: Duration) -> Record {
        let mut covering = self.mappings.covering(eid);
        let found = covering.find_map(|(found, mapping)| mapping.record(found, now));
        found.unwrap_or_else(|| {
            let mut record = Record::new(eid, GONE_TTL);
            record.action = Action::NativelyForward;
            record
        })
    }

    /// Sends a notification: with the nonce of a request that it confirms, or the next one.
    fn notify(
        &mut self,
        eid: Eid,
        xtr: XtrId,
        record: Record,
        confirms: Option<u64>,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let list = self.publisher.subscribers.get_mut(eid);
        let Some(known) = list.and_then(|list| list.iter_mut().find(|known| known.xtr == xtr))
        else {
            return;
        };
        let Some(nonce) = confirms.or_else(|| known.nonces.advance()) else {
            return;
        };
        let site = self.config.sites.get(known.site);
        let Some(key) = site.and_then(|site| site.keys.first()) else {
            return;
        };
        let message = Message::MapNotify(MapNotify {
            nonce,
            authentication: Authentication::with(key.id, Algorithm::HmacSha256),
            records: vec![record],
            xtr: Some(xtr),
            ..MapNotify::default()
        });
        if let Ok(bytes) = message.to_signed_bytes(&key.secret) {
            known.pending = Some((bytes.clone(), 1));
            outcome.send.push((known.to, bytes));
            let at = now + self.config.retry_after;
            self.publisher.retries.insert((at, eid, xtr.xtr_id));
        }
    }

    /// Sends again what was not acknowledged in time.
    pub(crate) fn retry(&mut self, now: Duration, outcome: &mut Outcome) {
        while let Some(&(at, eid, xtr_id)) = self.publisher.retries.first() {
            if at > now {
                return;
            }
            self.publisher.retries.pop_first();
            let list = self.publisher.subscribers.get_mut(eid);
            let Some(known) =
                list.and_then(|list| list.iter_mut().find(|known| known.xtr.xtr_id == xtr_id))
            else {
                continue;
            };
            match &mut known.pending {
                None => {}
                Some((_, tries)) if *tries >= self.config.most_tries => {
                    known.pending = None;
                    outcome.audit.push(Audit::Unacknowledged { eid, xtr_id });
                }
                Some((bytes, tries)) => {
                    *tries += 1;
                    outcome.send.push((known.to, bytes.clone()));
                    let next = now + self.config.retry_after;
                    self.publisher.retries.insert((next, eid, xtr_id));
                }
            }
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
        let Some(site) = self.config.sites.iter().find(|site| site.id == site_id) else {
            return outcome.reject(from, Rejection::UnknownSite { site_id });
        };
        let key_id = ack.authentication.key_id;
        let verified = match site.key(key_id) {
            None => Err(Rejection::UnknownKey { key_id }),
            Some(key) => auth::verify(datagram, &key.secret).map_err(Rejection::from),
        };
        if let Err(reason) = verified {
            return outcome.reject(from, reason);
        }
        let eids = ack.records.iter().filter_map(Record::eid);
        for eid in eids.collect::<Vec<_>>() {
            let subscribed: Vec<Eid> = self
                .publisher
                .subscribers
                .covering(eid)
                .chain(self.publisher.subscribers.covered(eid))
                .map(|(found, _)| found)
                .collect();
            for found in subscribed {
                let list = self.publisher.subscribers.get_mut(found);
                let known = list.and_then(|list| list.iter_mut().find(|known| known.xtr == xtr));
                if let Some(known) = known
                    && known.nonces.last() == Some(ack.nonce)
                {
                    known.pending = None;
                }
            }
        }
    }
}
