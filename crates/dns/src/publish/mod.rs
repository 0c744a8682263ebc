//! What one zone should say, what it was last told, and what is done about the difference. No I/O and no clock: who
//! runs it tells it what is wanted, what was answered and what time it is, and sends what it asks for.
//!
//! One update is under way at a time, of what is newest when it leaves. Per name, only epochs that grow are taken.
//! Where the server can compare (RFC 2136) each update asks for the marker that it replaces, so that one which arrives
//! late changes nothing, and names of others are left alone.

mod answer;
mod held;

pub use answer::{Answer, Told};
pub use held::{Published, State, View};

use crate::wait::Waits;
use crate::{Content, DnsName, Marker};
use held::{Held, Known};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names in one message: far below the 64 KiB that one may have.
const AT_ONCE: usize = 32;

/// Waits after a server that does not answer, or does not do it.
const SERVER: Waits = Waits {
    first: Duration::from_millis(250),
    most: Duration::from_secs(60),
};

/// Waits before a name that belongs to another is looked at again.
const NAME: Waits = Waits {
    first: Duration::from_secs(60),
    most: Duration::from_secs(3600),
};

/// What the server can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ability {
    /// It compares before it changes: RFC 2136. Names are marked with this owner.
    Compares {
        /// One word that no other publisher has.
        owner: String,
    },
    /// It sets what it is told, a name at a time, and takes nothing away: dyndns2.
    Sets,
}

/// What must hold at the server for a change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing has this name.
    Unused,
    /// The name has this marker.
    Marked(Marker),
    /// Nothing: the server does not compare.
    Anything,
}

/// A change of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name.
    pub name: DnsName,
    /// What must hold before.
    pub expect: Expect,
    /// What it is to say; nothing takes the name away.
    pub content: Option<Content>,
    /// Its marker afterwards, where the server compares.
    pub marker: Option<Marker>,
    /// Whether TXT records at the name are ours: others' stay.
    pub owns_text: bool,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Ask for the markers of these names.
    Ask(Vec<DnsName>),
    /// Make these changes, all or none.
    Update(Vec<Change>),
}

/// What is to be sent now; [`Publisher::answered`] wants to know how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which one it is.
    pub ticket: u64,
    /// Counts failures of servers: whoever has several takes the one that this leads to, round and round.
    pub server: usize,
    /// What to send.
    pub work: Work,
}

/// The names of one zone. Times are since any fixed moment.
#[derive(Debug, Clone)]
pub struct Publisher {
    ability: Ability,
    /// How many servers there are: each is tried once before the first wait.
    servers: u32,
    names: BTreeMap<DnsName, Held>,
    flight: Option<Flight>,
    tickets: u64,
    server: usize,
    failures: u32,
    again_at: Duration,
    trouble: Option<String>,
    stopped: Option<String>,
}

#[derive(Debug, Clone)]
struct Flight {
    ticket: u64,
    work: Work,
    /// Which version of each name's wish it carries.
    wishes: BTreeMap<DnsName, u64>,
}

impl Publisher {
    /// A zone of which nothing is known yet.
    pub fn new(ability: Ability, servers: usize) -> Self {
        Self {
            ability,
            servers: u32::try_from(servers).unwrap_or(u32::MAX).max(1),
            names: BTreeMap::new(),
            flight: None,
            tickets: 0,
            server: 0,
            failures: 0,
            again_at: Duration::ZERO,
            trouble: None,
            stopped: None,
        }
    }

    /// What was published before a restart.
    pub fn restore(&mut self, name: DnsName, published: Published) {
        let known = match &self.ability {
            Ability::Compares { owner } => Known::Marked(Marker {
                owner: owner.clone(),
                epoch: published.epoch,
                serial: published.serial,
            }),
            Ability::Sets => Known::Absent,
        };
        let held = self.names.entry(name).or_default();
        held.epoch = published.epoch;
        held.serial = published.serial;
        held.known = known;
        held.published = Some(published);
    }

    /// Goes on as stopped, after a restart.
    pub fn restore_stop(&mut self, why: String) {
        self.stopped = Some(why);
    }

    /// A name shall say this from now on. An older epoch than the last one changes nothing; returns whether it was taken.
    pub fn want(&mut self, name: &DnsName, content: Content, epoch: u64, now: Duration) -> bool {
        if content.is_empty() {
            return self.withdraw(name, epoch, now);
        }
        self.wish(name, Some(content), epoch, now)
    }

    /// A name shall say nothing from now on; an epoch of 0 means that of what it says.
    pub fn withdraw(&mut self, name: &DnsName, epoch: u64, now: Duration) -> bool {
        let Some(held) = self.names.get(name) else {
            return false;
        };
        let epoch = if epoch == 0 { held.epoch } else { epoch };
        self.wish(name, None, epoch, now)
    }

    fn wish(
        &mut self,
        name: &DnsName,
        content: Option<Content>,
        epoch: u64,
        now: Duration,
    ) -> bool {
        let held = self.names.entry(name.clone()).or_default();
        if epoch < held.epoch {
            return false;
        }
        held.wish(content, epoch, now);
        self.forget_if_done(name);
        true
    }

    /// These are all names that are wanted: others that were published are taken away.
    pub fn only(&mut self, wanted: &BTreeSet<DnsName>, now: Duration) {
        let others = self.names.keys().filter(|name| !wanted.contains(*name));
        for name in others.cloned().collect::<Vec<_>>() {
            self.withdraw(&name, 0, now);
        }
    }

    /// A person asks: publish it again, though it was, or was refused; all names without one. Returns how many.
    pub fn again(&mut self, name: Option<&DnsName>, now: Duration) -> usize {
        self.stopped = None;
        self.trouble = None;
        self.failures = 0;
        self.again_at = now;
        let mut count = 0;
        for (held_name, held) in &mut self.names {
            if name.is_none_or(|name| name == held_name) {
                held.again(now);
                count += 1;
            }
        }
        count
    }

    /// What is to be sent now, if anything.
    pub fn next(&mut self, now: Duration) -> Option<Job> {
        if self.flight.is_some() || self.stopped.is_some() || now < self.again_at {
            return None;
        }
        let due = self.names.iter().filter(|(_, held)| held.is_due(now));
        let due: Vec<&DnsName> = due.map(|(name, _)| name).collect();
        let unknown = |name: &&&DnsName| {
            self.held(name)
                .is_some_and(|held| held.known == Known::Unknown)
        };
        let compares = matches!(self.ability, Ability::Compares { .. });
        let ask: Vec<DnsName> = match compares {
            true => due
                .iter()
                .filter(unknown)
                .take(AT_ONCE)
                .map(|name| (*name).clone())
                .collect(),
            false => Vec::new(),
        };
        let work = if ask.is_empty() {
            let alone = due
                .iter()
                .find(|name| !compares || self.held(name).is_some_and(|held| held.alone));
            let chosen: Vec<&DnsName> = match alone {
                Some(name) => vec![*name],
                None => due.into_iter().take(AT_ONCE).collect(),
            };
            let changes = chosen.into_iter().filter_map(|name| self.change(name));
            Work::Update(changes.collect())
        } else {
            Work::Ask(ask)
        };
        let names: Vec<DnsName> = work.names().cloned().collect();
        if names.is_empty() {
            return None;
        }
        for name in &names {
            if let Some(held) = self.names.get_mut(name) {
                held.serial += 1;
            }
        }
        self.tickets += 1;
        let wishes = names.into_iter().filter_map(|name| {
            let wishes = self.held(&name)?.wishes;
            Some((name, wishes))
        });
        self.flight = Some(Flight {
            ticket: self.tickets,
            work: work.clone(),
            wishes: wishes.collect(),
        });
        Some(Job {
            ticket: self.tickets,
            server: self.server,
            work,
        })
    }

    /// When [`Publisher::next`] may have something that it has not now; nothing while an answer is awaited.
    pub fn wake(&self) -> Option<Duration> {
        if self.flight.is_some() || self.stopped.is_some() {
            return None;
        }
        let due = self.names.values().filter_map(Held::due_at).min()?;
        Some(due.max(self.again_at))
    }

    /// Why nothing is sent until a person acts.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Why the last try failed, while it is tried again.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Every name, in order.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.names.iter().map(|(name, held)| {
            let zone = self.stopped.as_deref().or(self.trouble.as_deref());
            held.view(name, zone, self.stopped.is_some())
        })
    }

    fn held(&self, name: &DnsName) -> Option<&Held> {
        self.names.get(name)
    }

    fn change(&self, name: &DnsName) -> Option<Change> {
        let held = self.held(name)?;
        let content = held.wanted.clone();
        let (expect, marker) = match &self.ability {
            Ability::Sets => (Expect::Anything, None),
            Ability::Compares { owner } => {
                let marker = content.as_ref().map(|_| Marker {
                    owner: owner.clone(),
                    epoch: held.epoch,
                    serial: held.serial + 1,
                });
                let expect = match &held.known {
                    Known::Marked(marker) => Expect::Marked(marker.clone()),
                    Known::Absent => Expect::Unused,
                    Known::Unknown => return None,
                };
                (expect, marker)
            }
        };
        Some(Change {
            name: name.clone(),
            expect,
            owns_text: held
                .wanted
                .iter()
                .chain(held.published.iter().map(|last| &last.content))
                .any(|content| content.text.is_some()),
            content,
            marker,
        })
    }

    /// A name that says nothing and shall say nothing is not kept; nor one that no server takes away.
    fn forget_if_done(&mut self, name: &DnsName) {
        let sets = self.ability == Ability::Sets;
        let mut flying = self.flight.iter();
        let flying = flying.any(|flight| flight.wishes.contains_key(name));
        let done = |held: &Held| held.wanted.is_none() && (sets || held.says_nothing());
        if !flying && self.names.get(name).is_some_and(done) {
            self.names.remove(name);
        }
    }
}

impl Work {
    fn names(&self) -> Box<dyn Iterator<Item = &DnsName> + '_> {
        match self {
            Self::Ask(names) => Box::new(names.iter()),
            Self::Update(changes) => Box::new(changes.iter().map(|change| &change.name)),
        }
    }
}

#[cfg(test)]
mod tests;
