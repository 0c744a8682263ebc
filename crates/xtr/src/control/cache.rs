//! The map-cache, and what its entries mean for packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lisp::record::Action;
use lisp::subscription::NonceSequence;
use lisp::{Eid, Record};

use super::core::Core;
use super::outcome::{Change, Outcome};
use crate::config::Rloc;
use crate::data::table::{Choice, Route};

/// Mappings that are remembered.
const MOST: usize = 200_000;
/// Nobody answered for a destination: so long it is not asked for again.
pub(super) const UNANSWERED: Duration = Duration::from_secs(15);
/// After what part of its life a mapping that is used is asked for again, in eighths.
const RENEW_EIGHTHS: u32 = 6;

/// Where a mapping comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The configuration or whoever embeds us; never asked for.
    Static,
    /// The mapping system.
    Learned,
    /// An endpoint of ours left for there.
    Told,
}

/// A mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) origin: Origin,
    pub(super) action: Action,
    pub(super) rlocs: Vec<Rloc>,
    pub(super) expires: Option<Duration>,
    renew: Option<Duration>,
    /// What the tables have.
    pub(super) route: Option<Route>,
}

/// A subscription to changes.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) nonces: NonceSequence,
    pub(super) confirmed: bool,
}

/// All mappings.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) mappings: BTreeMap<Eid, Mapping>,
    pub(super) subscriptions: BTreeMap<Eid, Subscription>,
    /// When something is to be looked at.
    due: BTreeSet<(Duration, Eid)>,
    /// Which mappings use a locator.
    users: BTreeMap<IpAddr, BTreeSet<Eid>>,
}

impl Cache {
    /// The longest mapping around an endpoint.
    pub(super) fn around(&self, eid: Eid) -> Option<(Eid, &Mapping)> {
        let lengths = (0..=eid.length()).rev();
        let mut around = lengths.map(|length| Eid::new(eid.instance(), eid.address(), length));
        around.find_map(|eid| self.mappings.get(&eid).map(|mapping| (eid, mapping)))
    }

    fn take_out(&mut self, eid: Eid) -> Option<Mapping> {
        let mapping = self.mappings.remove(&eid)?;
        for at in [mapping.expires, mapping.renew].into_iter().flatten() {
            self.due.remove(&(at, eid));
        }
        for rloc in &mapping.rlocs {
            if let Some(users) = self.users.get_mut(&rloc.address) {
                users.remove(&eid);
                if users.is_empty() {
                    self.users.remove(&rloc.address);
                }
            }
        }
        Some(mapping)
    }

    fn put_in(&mut self, eid: Eid, mapping: Mapping) {
        for at in [mapping.expires, mapping.renew].into_iter().flatten() {
            self.due.insert((at, eid));
        }
        for rloc in &mapping.rlocs {
            self.users.entry(rloc.address).or_default().insert(eid);
        }
        self.mappings.insert(eid, mapping);
    }

    /// Forgets subscriptions to a prefix and to parts of it: what they told of is not remembered.
    fn unsubscribe(&mut self, eid: Eid) {
        let parts = self.subscriptions.range(eid..);
        let parts = parts.take_while(|(part, _)| eid.covers(**part));
        for part in parts.map(|(part, _)| *part).collect::<Vec<_>>() {
            self.subscriptions.remove(&part);
        }
    }

    /// Locators of all mappings, each with one of its mappings.
    pub(super) fn locators(&self) -> impl Iterator<Item = (IpAddr, Eid)> + '_ {
        let used =
            |(address, users): (&IpAddr, &BTreeSet<Eid>)| users.first().map(|eid| (*address, *eid));
        self.users.iter().filter_map(used)
    }

    /// Whether a mapping uses this locator.
    pub(super) fn uses(&self, locator: IpAddr) -> bool {
        self.users.contains_key(&locator)
    }
}

impl Core {
    /// Sets a mapping that stays until it is set again; none to have it asked for.
    pub fn set_mapping(
        &mut self,
        eid: Eid,
        rlocs: Option<Vec<Rloc>>,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        match rlocs {
            None => self.forget_mapping(eid, outcome),
            Some(rlocs) => {
                let action = match rlocs.is_empty() {
                    true => Action::Drop,
                    false => Action::None,
                };
                self.put_mapping(eid, Origin::Static, action, rlocs, None, now, outcome);
            }
        }
    }

    /// An endpoint of ours left for there: known until its mapping can be asked for.
    pub(super) fn told_mapping(
        &mut self,
        eid: Eid,
        rlocs: Vec<Rloc>,
        until: Duration,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let fixed = self.cache.mappings.get(&eid);
        let fixed = fixed.is_some_and(|known| known.origin == Origin::Static);
        if !rlocs.is_empty() && !fixed {
            let life = until.saturating_sub(now) + Duration::from_secs(60);
            let action = Action::None;
            self.put_mapping(eid, Origin::Told, action, rlocs, Some(life), now, outcome);
        }
    }

    /// Takes a mapping that was asked for or published.
    pub(super) fn learn(&mut self, record: &Record, now: Duration, outcome: &mut Outcome) {
        let Some(eid) = record.eid() else {
            return;
        };
        let fixed = self.cache.mappings.get(&eid);
        if fixed.is_some_and(|known| known.origin == Origin::Static) {
            return;
        }
        if record.ttl == 0 {
            return self.forget_mapping(eid, outcome);
        }
        if self.cache.mappings.len() >= MOST && fixed.is_none() {
            return;
        }
        let life = match record.ttl {
            Record::FOREVER => None,
            minutes => Some(Duration::from_secs(u64::from(minutes) * 60)),
        };
        let rlocs = record.locators.iter().filter_map(|locator| {
            Some(Rloc {
                address: locator_address(&locator.address)?,
                priority: locator.priority,
                weight: locator.weight,
            })
        });
        let rlocs: Vec<Rloc> = rlocs.collect();
        let action = match record.locators.is_empty() {
            true => record.action,
            false => Action::None,
        };
        self.put_mapping(eid, Origin::Learned, action, rlocs, life, now, outcome);
    }

    #[expect(clippy::too_many_arguments, reason = "what a mapping is made of")]
    pub(super) fn put_mapping(
        &mut self,
        eid: Eid,
        origin: Origin,
        action: Action,
        rlocs: Vec<Rloc>,
        life: Option<Duration>,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let before = self.cache.take_out(eid);
        let mapping = Mapping {
            origin,
            action,
            rlocs,
            expires: life.map(|life| now + life),
            renew: life.map(|life| now + life / 8 * RENEW_EIGHTHS),
            route: before.and_then(|mapping| mapping.route),
        };
        for rloc in &mapping.rlocs {
            self.locators.meet(rloc.address, self.probe_every, now);
        }
        self.cache.put_in(eid, mapping);
        self.route(eid, outcome);
        self.settle_questions(eid, now, outcome);
    }

    pub(super) fn forget_mapping(&mut self, eid: Eid, outcome: &mut Outcome) {
        if self.cache.take_out(eid).is_some() {
            outcome.changes.push(Change::Route(eid, None));
        }
    }

    /// Brings the tables to what a mapping means now.
    pub(super) fn route(&mut self, eid: Eid, outcome: &mut Outcome) {
        let Some(mapping) = self.cache.mappings.get(&eid) else {
            return;
        };
        let route = self.meaning(mapping);
        if mapping.route.as_ref() == Some(&route) {
            return;
        }
        if let Some(mapping) = self.cache.mappings.get_mut(&eid) {
            mapping.route = Some(route.clone());
        }
        outcome.changes.push(Change::Route(eid, Some(route)));
    }

    /// Routes of all mappings that use a locator, which went up or down.
    pub(super) fn reroute(&mut self, locator: IpAddr, outcome: &mut Outcome) {
        let users = self.cache.users.get(&locator).cloned().unwrap_or_default();
        for eid in users {
            self.route(eid, outcome);
        }
    }

    fn meaning(&self, mapping: &Mapping) -> Route {
        if mapping.rlocs.is_empty() {
            let petrs = self.petrs.iter().filter(|petr| self.can_reach(**petr));
            let petrs = petrs.map(|petr| (SocketAddr::new(*petr, self.data_port), 1));
            return match (mapping.action, Choice::new(petrs)) {
                (Action::NativelyForward, Some(petrs)) => Route::To(Arc::new(petrs)),
                (Action::NativelyForward, None) => Route::Native,
                (Action::SendMapRequest, _) => Route::Unknown,
                _ => Route::Negative,
            };
        }
        let usable = |rloc: &&Rloc| {
            rloc.priority < 255 && self.can_reach(rloc.address) && self.locators.is_up(rloc.address)
        };
        let usable: Vec<&Rloc> = mapping.rlocs.iter().filter(usable).collect();
        let best = usable.iter().map(|rloc| rloc.priority).min();
        let best = usable.iter().filter(|rloc| Some(rloc.priority) == best);
        let shares = best.map(|rloc| (SocketAddr::new(rloc.address, self.data_port), rloc.weight));
        Choice::new(shares).map_or(Route::Unreachable, |choice| Route::To(Arc::new(choice)))
    }

    /// Asks anew for mappings that are used and will run out, forgets those that have.
    pub(super) fn expire(&mut self, now: Duration, outcome: &mut Outcome) {
        while let Some(&(at, eid)) = self.cache.due.first() {
            if at > now {
                return;
            }
            self.cache.due.pop_first();
            let Some(mapping) = self.cache.mappings.get(&eid) else {
                continue;
            };
            if mapping.expires.is_some_and(|at| at <= now) {
                self.cache.unsubscribe(eid);
                self.forget_mapping(eid, outcome);
            } else if mapping.origin != Origin::Static && !mapping.rlocs.is_empty() {
                let used = match &mapping.route {
                    Some(Route::To(choice)) => choice.take_used(),
                    _ => false,
                };
                if used {
                    self.ask_again(eid, false, now, outcome);
                }
            }
        }
    }
}

/// The address of a locator that packets can be sent to.
fn locator_address(address: &lisp::Address) -> Option<IpAddr> {
    address.ip()
}
