//! Prefixes of all instances and families in one order, in which the longest match, the parts of a
//! prefix and the hole around an address are each a few steps away.

use std::collections::BTreeMap;
use std::ops::Bound;

use lisp::Eid;

/// Values by prefix.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    map: BTreeMap<Eid, T>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
        }
    }
}

impl<T> PrefixTable<T> {
    /// How many prefixes have a value.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no prefix has a value.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The value of exactly this prefix.
    pub fn get(&self, eid: Eid) -> Option<&T> {
        self.map.get(&eid)
    }

    /// The value of exactly this prefix, to be changed.
    pub fn get_mut(&mut self, eid: Eid) -> Option<&mut T> {
        self.map.get_mut(&eid)
    }

    /// Gives a prefix a value, and back the one before.
    pub fn insert(&mut self, eid: Eid, value: T) -> Option<T> {
        self.map.insert(eid, value)
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, eid: Eid) -> Option<T> {
        self.map.remove(&eid)
    }

    /// The value of a prefix, made if there is none.
    pub fn entry(&mut self, eid: Eid) -> &mut T
    where
        T: Default,
    {
        self.map.entry(eid).or_default()
    }

    /// All prefixes that cover `eid`, longest first, itself included.
    pub fn covering(&self, eid: Eid) -> impl Iterator<Item = (Eid, &T)> {
        let mut probe = Some(eid);
        std::iter::from_fn(move || {
            loop {
                let (&found, value) = self.map.range(..=probe?).next_back()?;
                if found.covers(eid) {
                    probe = shorter(eid, found.length());
                    return Some((found, value));
                }
                // Whatever covers `eid` and comes before `found` covers `found` too: it is no longer
                // than what both have in common.
                let common = common_length(found, eid)?;
                probe = Some(Eid::new(eid.instance(), eid.address(), common));
            }
        })
    }

    /// All prefixes that `eid` covers, in order, itself included.
    pub fn covered(&self, eid: Eid) -> impl Iterator<Item = (Eid, &T)> {
        self.map
            .range(eid..)
            .map(|(found, value)| (*found, value))
            .take_while(move |(found, _)| eid.covers(*found))
    }

    /// The largest prefix around the first address of `eid` that shares no address with any prefix
    /// here. Nothing if a prefix has that address.
    pub fn hole(&self, eid: Eid) -> Option<Eid> {
        let host = Eid::host(eid.instance(), eid.address());
        if self.covering(host).next().is_some() {
            return None;
        }
        let before = self.map.range(..host).next_back();
        let after = self
            .map
            .range((Bound::Excluded(host), Bound::Unbounded))
            .next();
        let common = [before, after]
            .into_iter()
            .flatten()
            .filter_map(|(neighbour, _)| common_length(*neighbour, host))
            .max();
        let length = common.map_or(0, |common| common + 1);
        Some(Eid::new(host.instance(), host.address(), length))
    }

    /// Up to `count` prefixes after `after`, in order; from the first one without it.
    pub fn some_after(&self, after: Option<Eid>, count: usize) -> impl Iterator<Item = (Eid, &T)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.map
            .range((start, Bound::Unbounded))
            .take(count)
            .map(|(eid, value)| (*eid, value))
    }
}

/// The prefix one shorter than `length` around `eid`.
fn shorter(eid: Eid, length: u8) -> Option<Eid> {
    let length = length.checked_sub(1)?;
    Some(Eid::new(eid.instance(), eid.address(), length))
}

/// How many first bits two prefixes share, at most the shorter one's; nothing in other instances or
/// families.
fn common_length(a: Eid, b: Eid) -> Option<u8> {
    let same = a.instance() == b.instance() && a.address().width() == b.address().width();
    let different = a.address().bits() ^ b.address().bits();
    same.then(|| {
        (different.leading_zeros() as u8)
            .min(a.length())
            .min(b.length())
    })
}
