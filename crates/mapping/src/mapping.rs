//! A mapping: what one xTR has registered for a prefix, or several that share it.

use std::net::IpAddr;
use std::time::Duration;

use lisp::record::{Action, RecordFlags};
use lisp::{Eid, Locator, Record, XtrId};

/// Who registers: by its xTR-ID, and without one by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Registrant {
    Xtr(XtrId),
    Address(IpAddr),
}

/// What one xTR has registered for a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) registrant: Registrant,
    /// Seconds of the server's clock.
    pub(crate) expires: u64,
    pub(crate) ttl: u32,
    pub(crate) map_version: u16,
    pub(crate) action: Action,
    /// Whether we answer for it.
    pub(crate) proxy: bool,
    /// Whether it stands beside others.
    pub(crate) merge: bool,
    pub(crate) locators: Box<[Locator]>,
}

/// All registrations of a prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    pub(crate) registrations: Vec<Registration>,
}

impl Mapping {
    /// Those that hold at `now`.
    pub(crate) fn live(&self, now: Duration) -> impl Iterator<Item = &Registration> + Clone {
        let now = now.as_secs();
        self.registrations
            .iter()
            .filter(move |registration| registration.expires > now)
    }

    pub(crate) fn is_live(&self, now: Duration) -> bool {
        self.live(now).next().is_some()
    }

    pub(crate) fn is_proxied(&self, now: Duration) -> bool {
        self.live(now).all(|registration| registration.proxy)
    }

    /// Takes a registration. One that does not merge replaces all; returns whether what others see
    /// is another now.
    pub(crate) fn take(&mut self, new: Registration, now: Duration) -> bool {
        let before = self.seen(now);
        if new.merge {
            self.registrations
                .retain(|old| old.merge && old.registrant != new.registrant);
            self.registrations.push(new);
        } else {
            self.registrations = Vec::with_capacity(1);
            self.registrations.push(new);
        }
        before != self.seen(now)
    }

    /// Forgets a registrant; returns whether what others see is another now.
    pub(crate) fn withdraw(&mut self, registrant: Registrant, now: Duration) -> bool {
        let before = self.seen(now);
        self.registrations
            .retain(|old| old.registrant != registrant);
        before != self.seen(now)
    }

    /// What counts as a change. The TTL and the order of xTRs do not.
    fn seen(&self, now: Duration) -> Option<(Vec<Locator>, Action)> {
        let action = self.live(now).next()?.action;
        Some((self.locators(now), action))
    }

    /// Locators of all, each address once: the first to register it says how it is used.
    pub(crate) fn locators(&self, now: Duration) -> Vec<Locator> {
        let mut live = self.live(now);
        let Some(first) = live.next() else {
            return Vec::new();
        };
        let mut all = first.locators.to_vec();
        for locator in live.flat_map(|registration| &registration.locators) {
            if !all.iter().any(|known| known.address == locator.address) {
                all.push(locator.clone());
            }
        }
        if self.registrations.len() > 1 {
            all.truncate(255);
            all.sort_by_key(|locator| locator.address.ip());
        }
        all
    }

    /// The mapping for a message.
    pub(crate) fn record(&self, eid: Eid, now: Duration) -> Option<Record> {
        let mut live = self.live(now);
        let first = live.next()?;
        let ttl = live.map(|other| other.ttl).fold(first.ttl, u32::min);
        let mut record = Record::new(eid, ttl);
        record.flags = RecordFlags::AUTHORITATIVE;
        record.map_version = first.map_version;
        record.action = first.action;
        record.locators = self.locators(now);
        Some(record)
    }
}
