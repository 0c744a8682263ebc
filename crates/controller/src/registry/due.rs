//! Changes of place that are stored and told, and not due yet.
//!
//! Between a commit with moments and its last moment the directory is ahead of the switches. Whoever
//! gives a host the whole truth in between must give it the row as it is for that host now, and the
//! change with its moment beside it. Pure.

use control::Key;
use model::order::Order;
use model::{Entry, HostName, MigrationId, Nanos, Slice};
use std::collections::BTreeMap;

/// One change of place.
#[derive(Debug, Clone)]
struct Change {
    before: Entry,
    after: Entry,
    moments: BTreeMap<HostName, Nanos>,
    migration: Option<MigrationId>,
}

/// Changes of place that are not due yet.
#[derive(Debug, Default)]
pub(super) struct Due(BTreeMap<Key, Change>);

impl Due {
    /// Takes a change with its moments.
    pub(super) fn add(
        &mut self,
        now: Nanos,
        before: Entry,
        after: Entry,
        moments: BTreeMap<HostName, Nanos>,
        migration: Option<MigrationId>,
    ) {
        self.expire(now);
        let key = after.key();
        // What the hosts hold is older still when the change before this one is not due either.
        let before = self.0.remove(&key).map_or(before, |change| change.before);
        self.0.insert(
            key,
            Change {
                before,
                after,
                moments,
                migration,
            },
        );
    }

    /// Forgets a change: a newer one was told to everybody.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Makes a slice that is true once everything is due into one that is true for a host now, and
    /// gives the orders that go with it.
    pub(super) fn adjust(&mut self, now: Nanos, host: &HostName, slice: &mut Slice) -> Vec<Order> {
        self.expire(now);
        let mut orders = Vec::new();
        if self.0.is_empty() {
            return orders;
        }
        for row in &mut slice.entries {
            let Some(change) = self.0.get(&row.key()) else {
                continue;
            };
            let moment = change.moments.get(host).copied();
            if moment.is_some_and(|moment| moment <= now) || row.epoch != change.after.epoch {
                continue;
            }
            *row = change.before.clone();
            if moment.is_some() {
                orders.push(apply_at(
                    change.after.clone(),
                    moment,
                    change.migration.clone(),
                ));
            }
        }
        orders
    }

    fn expire(&mut self, now: Nanos) {
        let ahead = |change: &mut Change| change.moments.values().any(|moment| *moment > now);
        self.0.retain(|_, change| ahead(change));
    }
}

/// The order to take one row at a moment, or now.
pub(super) fn apply_at(entry: Entry, at: Option<Nanos>, migration: Option<MigrationId>) -> Order {
    Order::Apply {
        nets: Vec::new(),
        entries: vec![entry],
        removed: Vec::new(),
        at,
        migration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, Epoch, Locator, Mac, VmName};

    fn name(text: &str) -> HostName {
        HostName::new(text).unwrap()
    }

    fn row(host: &str, epoch: u64) -> Entry {
        Entry {
            cluster: ClusterName::new("shop").unwrap(),
            vm: VmName::new("a").unwrap(),
            mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
            ips: vec![],
            security: Vec::new(),
            locator: Locator {
                host: name(host),
                address: "192.0.2.1".parse().unwrap(),
            },
            epoch: Epoch(epoch),
            seal: None,
        }
    }

    fn truth_for(due: &mut Due, now: i64, host: &str, newest: Entry) -> (u64, usize) {
        let mut slice = Slice {
            nets: vec![],
            entries: vec![newest],
        };
        let orders = due.adjust(Nanos(now), &name(host), &mut slice);
        (slice.entries[0].epoch.0, orders.len())
    }

    fn due() -> Due {
        let mut due = Due::default();
        let moments = BTreeMap::from([(name("peer"), Nanos(100)), (name("late"), Nanos(200))]);
        due.add(Nanos(0), row("north", 1), row("south", 2), moments, None);
        due
    }

    #[test]
    fn before_its_moment_a_host_has_the_old_row_and_the_order() {
        assert_eq!(truth_for(&mut due(), 50, "peer", row("south", 2)), (1, 1));
        assert_eq!(truth_for(&mut due(), 150, "peer", row("south", 2)), (2, 0));
        assert_eq!(truth_for(&mut due(), 150, "late", row("south", 2)), (1, 1));
    }

    #[test]
    fn a_host_that_was_not_told_keeps_the_old_row_until_the_last_moment() {
        assert_eq!(truth_for(&mut due(), 150, "other", row("south", 2)), (1, 0));
        assert_eq!(truth_for(&mut due(), 200, "other", row("south", 2)), (2, 0));
    }

    #[test]
    fn a_newer_change_for_everybody_is_true_at_once() {
        let mut due = due();
        assert_eq!(truth_for(&mut due, 50, "peer", row("north", 3)), (3, 0));
        due.forget(&row("north", 3).key());
        assert_eq!(truth_for(&mut due, 50, "peer", row("north", 3)), (3, 0));
    }
}
