//! Prefixes of all instances and families: the longest match by a few hashes, one for each length that
//! there is; the parts of a prefix and the hole around an address by their order.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use lisp::{Eid, EidAddress};

/// Values by prefix.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    slots: Vec<Option<(Eid, T)>>,
    free: Vec<u32>,
    /// Places in `slots`, by the prefix there.
    places: HashTable<u32>,
    /// The same by the order of prefixes.
    order: BTreeMap<Eid, u32>,
    /// How many prefixes of each length an instance's family has.
    lengths: HashMap<(u32, u8), BTreeMap<u8, u32>>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            places: HashTable::new(),
            order: BTreeMap::new(),
            lengths: HashMap::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<T> PrefixTable<T> {
    /// How many prefixes have a value.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no prefix has a value.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The value of exactly this prefix.
    pub fn get(&self, eid: Eid) -> Option<&T> {
        self.slot(self.place(eid)?).map(|(_, value)| value)
    }

    /// The value of exactly this prefix, to be changed.
    pub fn get_mut(&mut self, eid: Eid) -> Option<&mut T> {
        let place = self.place(eid)?;
        let slot = self.slots.get_mut(place as usize)?.as_mut();
        slot.map(|(_, value)| value)
    }

    /// Gives a prefix a value, and back the one before.
    pub fn insert(&mut self, eid: Eid, value: T) -> Option<T> {
        if let Some(held) = self.get_mut(eid) {
            return Some(std::mem::replace(held, value));
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.slots.push(None);
                // More slots than this would be more than 100 GiB of them.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.slots.get_mut(place as usize) {
            *slot = Some((eid, value));
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let again = |place: &u32| match slots.get(*place as usize) {
            Some(Some((eid, _))) => hash(hasher, *eid),
            _ => 0,
        };
        self.places.insert_unique(hash(hasher, eid), place, again);
        self.order.insert(eid, place);
        let lengths = self.lengths.entry(space(eid)).or_default();
        *lengths.entry(eid.length()).or_default() += 1;
        None
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, eid: Eid) -> Option<T> {
        let place = self.order.remove(&eid)?;
        let found = self
            .places
            .find_entry(hash(&self.hasher, eid), |found| *found == place);
        if let Ok(found) = found {
            found.remove();
        }
        if let Some(lengths) = self.lengths.get_mut(&space(eid)) {
            if let Some(count) = lengths.get_mut(&eid.length()) {
                *count -= 1;
                if *count == 0 {
                    lengths.remove(&eid.length());
                }
            }
            if lengths.is_empty() {
                self.lengths.remove(&space(eid));
            }
        }
        self.free.push(place);
        let slot = self.slots.get_mut(place as usize)?.take();
        slot.map(|(_, value)| value)
    }

    /// The value of a prefix, made if there is none. Nothing where 2³² prefixes are there already.
    pub fn entry(&mut self, eid: Eid) -> Option<&mut T>
    where
        T: Default,
    {
        if self.place(eid).is_none() {
            self.insert(eid, T::default());
        }
        self.get_mut(eid)
    }

    /// All prefixes that cover `eid`, longest first, itself included.
    pub fn covering(&self, eid: Eid) -> impl Iterator<Item = (Eid, &T)> {
        let lengths = self.lengths.get(&space(eid));
        let there = lengths.map(|lengths| lengths.range(..=eid.length()).rev());
        there.into_iter().flatten().filter_map(move |(&length, _)| {
            let around = Eid::new(eid.instance(), eid.address(), length);
            let (found, value) = self.slot(self.place(around)?)?;
            Some((*found, value))
        })
    }

    /// All prefixes that `eid` covers, in order, itself included.
    pub fn covered(&self, eid: Eid) -> impl Iterator<Item = (Eid, &T)> {
        // Nothing but itself is in a single address, and looking that up needs no order.
        let single = eid.length() == eid.address().width();
        let itself = single.then(|| self.get(eid)).flatten();
        let inside = (!single).then(|| self.order.range(eid..));
        let inside = inside
            .into_iter()
            .flatten()
            .take_while(move |(found, _)| eid.covers(**found))
            .filter_map(|(_, place)| self.slot(*place));
        let itself = itself.map(|value| (eid, value));
        itself
            .into_iter()
            .chain(inside.map(|(found, value)| (*found, value)))
    }

    /// The largest prefix around the first address of `eid` that shares no address with any prefix
    /// here. Nothing if a prefix has that address.
    pub fn hole(&self, eid: Eid) -> Option<Eid> {
        let host = Eid::host(eid.instance(), eid.address());
        if self.covering(host).next().is_some() {
            return None;
        }
        let before = self.order.range(..host).next_back();
        let after = self
            .order
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
        self.order
            .range((start, Bound::Unbounded))
            .take(count)
            .filter_map(|(_, place)| self.slot(*place))
            .map(|(eid, value)| (*eid, value))
    }

    fn slot(&self, place: u32) -> Option<&(Eid, T)> {
        self.slots.get(place as usize)?.as_ref()
    }

    fn place(&self, eid: Eid) -> Option<u32> {
        let same = |place: &u32| self.slot(*place).is_some_and(|(found, _)| *found == eid);
        self.places.find(hash(&self.hasher, eid), same).copied()
    }
}

/// An instance's addresses of one family.
fn space(eid: Eid) -> (u32, u8) {
    (eid.instance(), eid.address().width())
}

fn hash(hasher: &DefaultHashBuilder, eid: Eid) -> u64 {
    let mut state = hasher.build_hasher();
    match eid.address() {
        EidAddress::Ipv4(address) => state.write_u64(address.to_bits().into()),
        address => state.write_u128(address.bits()),
    }
    let (instance, width) = space(eid);
    state.write_u64(u64::from(instance) << 16 | u64::from(width) << 8 | u64::from(eid.length()));
    state.finish()
}

/// How many first bits two prefixes share, at most the shorter one's; nothing in other instances or
/// families.
fn common_length(a: Eid, b: Eid) -> Option<u8> {
    let same = space(a) == space(b);
    let different = a.address().bits() ^ b.address().bits();
    same.then(|| {
        (different.leading_zeros() as u8)
            .min(a.length())
            .min(b.length())
    })
}
