//! When a change of place is due for those who ask the Map-Server.
//!
//! A move is committed in the directory before its moment: hosts hold their flips by then. Mappings turn
//! at the moment, not before, so the directory's change waits here for it. Pure.

use crate::lock;
use control::Key;
use model::{Entry, Locator, Nanos};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Moments of changes that are about to be stored. Clones share them, and read as one; [`Turns::another`] makes a
/// reader of its own.
#[derive(Debug, Clone)]
pub struct Turns {
    /// For each reader, what it has not taken yet.
    readers: Arc<Mutex<Vec<Planned>>>,
    reader: usize,
}

type Planned = BTreeMap<Key, (Locator, Nanos)>;

impl Default for Turns {
    fn default() -> Self {
        Self {
            readers: Arc::new(Mutex::new(vec![Planned::new()])),
            reader: 0,
        }
    }
}

impl Turns {
    /// The next row that leads an endpoint to `locator` is due at `at`. Say it before the row is stored.
    pub fn plan(&self, key: &Key, locator: &Locator, at: Nanos) {
        for planned in lock(&self.readers).iter_mut() {
            planned.insert(key.clone(), (locator.clone(), at));
        }
    }

    /// A reader beside this one: what one takes, the other still finds.
    #[must_use]
    pub fn another(&self) -> Self {
        let mut readers = lock(&self.readers);
        let planned = readers.get(self.reader).cloned().unwrap_or_default();
        readers.push(planned);
        Self {
            readers: self.readers.clone(),
            reader: readers.len() - 1,
        }
    }

    /// The next row that leads an endpoint to `locator` is due as it comes. What was planned for another
    /// place stays: its row may be on its way still, and must not be told early.
    pub fn forget(&self, key: &Key, locator: &Locator) {
        for planned in lock(&self.readers).iter_mut() {
            if planned.get(key).is_some_and(|(there, _)| there == locator) {
                planned.remove(key);
            }
        }
    }

    /// When a row that has come is due; nothing means now.
    pub(crate) fn due(&self, row: &Entry, now: Nanos) -> Option<Nanos> {
        let mut readers = lock(&self.readers);
        let planned = readers.get_mut(self.reader)?;
        let (locator, at) = planned.get(&row.key())?;
        if *locator != row.locator {
            return None;
        }
        let at = *at;
        planned.remove(&row.key());
        (at > now).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, Epoch, HostName, Mac, VmName};

    fn row(host: &str) -> Entry {
        Entry {
            cluster: ClusterName::new("shop").unwrap(),
            vm: VmName::new("a").unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            ips: Vec::new(),
            security: Vec::new(),
            locator: Locator {
                host: HostName::new(host).unwrap(),
                address: [192, 0, 2, 1].into(),
            },
            epoch: Epoch(5),
            seal: None,
        }
    }

    #[test]
    fn a_planned_row_waits_for_its_moment_and_another_one_does_not() {
        let turns = Turns::default();
        let (here, there) = (row("north"), row("south"));
        turns.plan(&there.key(), &there.locator, Nanos(100));
        assert_eq!(turns.due(&here, Nanos(1)), None);
        assert_eq!(turns.due(&there, Nanos(1)), Some(Nanos(100)));
        assert_eq!(turns.due(&there, Nanos(2)), None, "it is told once");
        turns.plan(&there.key(), &there.locator, Nanos(100));
        assert_eq!(turns.due(&there, Nanos(100)), None);
        turns.plan(&there.key(), &there.locator, Nanos(300));
        turns.forget(&there.key(), &here.locator);
        assert_eq!(turns.due(&there, Nanos(200)), Some(Nanos(300)));
        turns.plan(&there.key(), &there.locator, Nanos(300));
        turns.forget(&there.key(), &there.locator);
        assert_eq!(turns.due(&there, Nanos(200)), None);
    }
    #[test]
    fn what_one_reader_takes_another_still_finds() {
        let lisp = Turns::default();
        let dns = lisp.another();
        let there = row("there");
        lisp.plan(&there.key(), &there.locator, Nanos(100));
        assert_eq!(lisp.clone().due(&there, Nanos(1)), Some(Nanos(100)));
        assert_eq!(dns.due(&there, Nanos(1)), Some(Nanos(100)));
        assert_eq!(dns.due(&there, Nanos(1)), None);
    }
}
