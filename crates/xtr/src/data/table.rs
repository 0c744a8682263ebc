//! What is done with packets to a prefix, found by the longest match. Control writes it, workers read
//! it; a number that grows with each change tells them when what they remember is old.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lisp::Eid;

/// Where packets to a prefix go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To one of these locators.
    To(Arc<Choice>),
    /// Out without encapsulation. A router behind a TUN cannot do that, so it drops: routes of the
    /// kernel must lead such packets elsewhere.
    Native,
    /// Nowhere: the mapping says so.
    Negative,
    /// Somewhere, but none of the locators can be used.
    Unreachable,
    /// The mapping is being asked for; packets may wait with the question.
    Asked,
    /// Whoever knows wants to be asked with the packet.
    Unknown,
}

/// Locators of one mapping that are up and best, with their shares.
#[derive(Debug)]
pub struct Choice {
    /// Locator and the sum of the shares up to its own.
    shares: Vec<(SocketAddr, u32)>,
    total: u32,
    /// Whether a packet was sent since someone last asked.
    used: AtomicBool,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.shares == other.shares
    }
}

impl Eq for Choice {}

impl Choice {
    /// Locators with their weights; all equal if all weights are zero. Nothing without locators.
    pub fn new(locators: impl IntoIterator<Item = (SocketAddr, u8)>) -> Option<Self> {
        let locators: Vec<_> = locators.into_iter().collect();
        let equal = locators.iter().all(|(_, weight)| *weight == 0);
        let mut total = 0;
        let mut shares = Vec::with_capacity(locators.len());
        for (address, weight) in locators {
            total += if equal { 1 } else { u32::from(weight) };
            shares.push((address, total));
        }
        (total > 0).then_some(Self {
            shares,
            total,
            used: AtomicBool::new(false),
        })
    }

    /// The locator of a flow: always the same one while the locators are the same.
    pub fn pick(&self, flow: u64) -> Option<SocketAddr> {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        let [only] = self.shares.as_slice() else {
            // The upper half, since the lower one chooses the source port.
            let point = (((flow >> 32) * u64::from(self.total)) >> 32) as u32;
            let found = self.shares.iter().find(|(_, upto)| point < *upto);
            return found.map(|(address, _)| *address);
        };
        Some(only.0)
    }

    /// Whether a packet was sent since the last call.
    pub fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// The locators.
    pub fn locators(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.shares.iter().map(|(address, _)| *address)
    }
}

/// What becomes of packets that come for one of our prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is here.
    Here,
    /// It has left; packets are sent on.
    Left,
    /// It has left long ago; packets are dropped.
    Fenced,
}

/// Prefixes of one instance and family, by length.
#[derive(Debug)]
struct Prefixes<T> {
    values: HashMap<(u128, u8), T>,
    /// How many prefixes there are of each length, longest looked at first.
    lengths: BTreeMap<u8, usize>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            lengths: BTreeMap::new(),
        }
    }
}

/// Values by prefix, for the longest match of an address.
#[derive(Debug)]
pub struct Longest<T>(HashMap<(u32, u8), Prefixes<T>>);

impl<T> Default for Longest<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Longest<T> {
    /// Gives a prefix a value.
    pub fn insert(&mut self, eid: Eid, value: T) {
        let prefixes = self.0.entry(space(eid)).or_default();
        let key = (eid.address().bits(), eid.length());
        if prefixes.values.insert(key, value).is_none() {
            *prefixes.lengths.entry(eid.length()).or_default() += 1;
        }
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, eid: Eid) -> Option<T> {
        let prefixes = self.0.get_mut(&space(eid))?;
        let key = (eid.address().bits(), eid.length());
        let value = prefixes.values.remove(&key)?;
        if let Some(count) = prefixes.lengths.get_mut(&eid.length()) {
            *count -= 1;
            if *count == 0 {
                prefixes.lengths.remove(&eid.length());
            }
        }
        Some(value)
    }

    /// The value of the longest prefix around an address, and the prefix's length.
    pub fn find(&self, instance: u32, address: IpAddr) -> Option<(u8, &T)> {
        let host = Eid::host(instance, address);
        let prefixes = self.0.get(&space(host))?;
        let bits = host.address().bits();
        prefixes.lengths.keys().rev().find_map(|&length| {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            let value = prefixes.values.get(&(bits & mask, length))?;
            Some((length, value))
        })
    }
}

fn space(eid: Eid) -> (u32, u8) {
    (eid.instance(), eid.address().width())
}

/// The tables of a router.
#[derive(Debug, Default)]
pub struct Tables {
    routes: RwLock<Longest<Route>>,
    own: RwLock<Longest<Presence>>,
    changes: AtomicU64,
}

impl Tables {
    /// Grows with each change.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Sets or forgets where packets to a prefix go.
    pub fn set_route(&self, eid: Eid, route: Option<Route>) {
        if let Ok(mut routes) = self.routes.write() {
            match route {
                Some(route) => routes.insert(eid, route),
                None => drop(routes.remove(eid)),
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Sets or forgets whether a prefix is ours.
    pub fn set_own(&self, eid: Eid, presence: Option<Presence>) {
        if let Ok(mut own) = self.own.write() {
            match presence {
                Some(presence) => own.insert(eid, presence),
                None => drop(own.remove(eid)),
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Where packets to an address go; nothing if nothing is known of it.
    pub fn route(&self, instance: u32, address: IpAddr) -> Option<Route> {
        let routes = self.routes.read().ok()?;
        routes
            .find(instance, address)
            .map(|(_, route)| route.clone())
    }

    /// Whether an address is ours.
    pub fn own(&self, instance: u32, address: IpAddr) -> Option<Presence> {
        let own = self.own.read().ok()?;
        own.find(instance, address).map(|(_, presence)| *presence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    #[test]
    fn flows_are_shared_out_by_weight_and_each_stays_where_it_is() {
        let at = |last| SocketAddr::from(([192, 0, 2, last], 4341));
        let choice = Choice::new([(at(1), 75), (at(2), 25), (at(3), 0)]).unwrap();
        let mut seen = HashMap::new();
        for flow in 0..40_000u64 {
            let flow = offload::packet::mix(7, flow);
            let picked = choice.pick(flow).unwrap();
            assert_eq!(choice.pick(flow), Some(picked));
            *seen.entry(picked).or_insert(0) += 1;
        }
        assert!((29_000..31_000).contains(&seen[&at(1)]), "{seen:?}");
        assert!(!seen.contains_key(&at(3)), "weight 0 gets nothing");
        let equal = Choice::new([(at(1), 0), (at(2), 0)]).unwrap();
        assert_ne!(equal.pick(0), equal.pick(u64::MAX));
        assert_eq!(Choice::new([]), None);
    }

    proptest! {
        #[test]
        fn the_longest_match_is_what_a_search_of_everything_finds(
            prefixes in proptest::collection::vec((0u32..2, any::<u32>(), 0u8..=32), 0..40),
            asked in any::<u32>(),
            gone in any::<proptest::sample::Index>(),
        ) {
            let mut table = Longest::default();
            let mut all: Vec<(Eid, usize)> = Vec::new();
            for (number, (instance, bits, length)) in prefixes.into_iter().enumerate() {
                let near = asked ^ bits >> (length % 20);
                let eid = Eid::new(instance, Ipv4Addr::from_bits(near), length);
                all.retain(|(known, _)| *known != eid);
                all.push((eid, number));
                table.insert(eid, number);
            }
            if !all.is_empty() {
                let (eid, number) = all.swap_remove(gone.index(all.len()));
                prop_assert_eq!(table.remove(eid), Some(number));
            }
            let asked = Ipv4Addr::from_bits(asked);
            let host = Eid::host(1, asked);
            let best = all.iter().filter(|(eid, _)| eid.covers(host)).max_by_key(|(eid, _)| eid.length());
            let found = table.find(1, asked.into()).map(|(length, number)| (length, *number));
            prop_assert_eq!(found, best.map(|(eid, number)| (eid.length(), *number)));
        }
    }
}
