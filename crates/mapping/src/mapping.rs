//! A mapping: what one xTR has registered for a prefix, or several that share it. Records are kept as
//! messages have them: answers are copies.

use std::borrow::Cow;

use lisp::record::{Action, LocatorFlags, RecordFlags};
use lisp::{Eid, Locator, Record};

/// Who has registered, by its number in the table of xTRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registrant(pub(crate) u32);

impl Registrant {
    /// Whoever runs this server: no xTR can take such a mapping's place.
    pub(crate) const HELD: Self = Self(u32::MAX);
}

/// Seconds of the server's clock that never come.
pub(crate) const NEVER: u32 = u32::MAX;

/// What one xTR has registered for a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) registrant: Registrant,
    /// Seconds of the server's clock.
    pub(crate) expires: u32,
    /// Whether we answer for it.
    pub(crate) proxy: bool,
    /// Whether it stands beside others.
    pub(crate) merge: bool,
    /// The record as it is answered.
    pub(crate) bytes: Box<[u8]>,
}

impl Registration {
    pub(crate) fn record(&self) -> Option<Record> {
        Record::from_bytes(&self.bytes).ok()
    }
}

/// All registrations of a prefix.
#[derive(Clone, Debug)]
pub(crate) enum Mapping {
    /// Of one xTR.
    One(Registration),
    /// Of several that merge.
    Merged(Box<Merged>),
}

/// Registrations that stand beside each other, and what they are together.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    parts: Vec<Registration>,
    bytes: Box<[u8]>,
}

impl Merged {
    /// None of no parts.
    fn of(parts: Vec<Registration>, eid: Eid) -> Option<Mapping> {
        if let [_] = parts.as_slice() {
            return parts.into_iter().next().map(Mapping::One);
        }
        let records: Vec<Record> = parts.iter().filter_map(Registration::record).collect();
        let first = records.first()?;
        let mut together = Record::new(eid, first.ttl);
        together.action = first.action;
        together.map_version = first.map_version;
        let mut all: Vec<Locator> = Vec::new();
        for record in &records {
            together.ttl = together.ttl.min(record.ttl);
            for locator in &record.locators {
                if !all.iter().any(|known| known.address == locator.address) {
                    all.push(locator.clone());
                }
            }
        }
        all.truncate(255);
        all.sort_by_key(|locator| locator.address.ip());
        together.locators = all;
        let bytes = together.to_bytes().ok()?.into();
        Some(Mapping::Merged(Box::new(Self { parts, bytes })))
    }
}

impl Mapping {
    pub(crate) fn registrations(&self) -> &[Registration] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Merged(merged) => &merged.parts,
        }
    }

    /// What is answered at `now`.
    pub(crate) fn answer(&self, now: u32) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::One(one) => (one.expires > now).then_some(Cow::Borrowed(&*one.bytes)),
            Self::Merged(merged) if !self.is_stale(now) => Some(Cow::Borrowed(&*merged.bytes)),
            Self::Merged(merged) => {
                let eid = merged.parts.first()?.record()?.eid()?;
                let left = self.clone().keeping(eid, |part| part.expires > now)?;
                left.answer(now).map(|bytes| Cow::Owned(bytes.into_owned()))
            }
        }
    }

    pub(crate) fn is_live(&self, now: u32) -> bool {
        self.registrations().iter().any(|part| part.expires > now)
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::One(one) if one.registrant == Registrant::HELD)
    }

    /// Whether something of it has run out.
    pub(crate) fn is_stale(&self, now: u32) -> bool {
        self.registrations().iter().any(|part| part.expires <= now)
    }

    /// Whether everyone who has registered wants us to answer.
    pub(crate) fn is_proxied(&self) -> bool {
        self.registrations().iter().all(|part| part.proxy)
    }

    /// The mapping for a message.
    pub(crate) fn record(&self, now: u32) -> Option<Record> {
        self.answer(now)
            .and_then(|bytes| Record::from_bytes(&bytes).ok())
    }

    /// The version of what is registered by others than `registrant`; 0 where none is said.
    pub(crate) fn version_of_others(&self, registrant: Registrant, now: u32) -> u16 {
        let mut others = self.registrations().iter();
        let other = others.find(|part| part.registrant != registrant && part.expires > now);
        other
            .and_then(Registration::record)
            .map_or(0, |record| record.map_version)
    }

    /// What becomes of a mapping by a registration: one that does not merge replaces all.
    pub(crate) fn with(before: Option<Self>, new: Registration, eid: Eid) -> Option<Self> {
        let old = before.filter(|_| new.merge).map(Self::into_registrations);
        let mut parts: Vec<Registration> = old.unwrap_or_default();
        parts.retain(|old| old.merge && old.registrant != new.registrant);
        parts.push(new);
        Merged::of(parts, eid)
    }

    /// What is left of a mapping when only some registrations stay.
    pub(crate) fn keeping(
        self,
        eid: Eid,
        mut stays: impl FnMut(&Registration) -> bool,
    ) -> Option<Self> {
        let mut parts = self.into_registrations();
        parts.retain(&mut stays);
        Merged::of(parts, eid)
    }

    fn into_registrations(self) -> Vec<Registration> {
        match self {
            Self::One(one) => vec![one],
            Self::Merged(merged) => merged.parts,
        }
    }
}

/// What counts as a change. The TTL, the version and the order of xTRs do not.
pub(crate) fn seen(mapping: Option<&Mapping>, now: u32) -> Option<(Vec<Locator>, Action)> {
    let record = mapping?.record(now)?;
    Some((record.locators, record.action))
}

/// A record as a Map-Server tells it: not the authority for it, and none of its locators its own
/// (RFC 9301, section 5.4).
pub(crate) fn told(eid: Eid, record: &Record) -> Record {
    let mut told = Record::new(eid, record.ttl);
    told.flags = record.flags - RecordFlags::AUTHORITATIVE;
    told.action = record.action;
    told.map_version = record.map_version;
    told.locators = record.locators.clone();
    for locator in &mut told.locators {
        locator.flags -= LocatorFlags::LOCAL | LocatorFlags::PROBED;
    }
    told
}
