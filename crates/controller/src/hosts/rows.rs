//! In which order orders about rows may be under way to one host.
//!
//! An agent carries out several orders at a time and may end them in any order. For rows that is
//! fine, their epochs decide; but an order that gives the whole truth must not be overtaken, nor
//! overtake: a row that was added meanwhile would be gone, one that was removed be back. So nothing
//! about rows is under way beside it. No I/O.

use std::collections::{BTreeMap, VecDeque};

/// What an order means for the rows of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearing {
    /// Some rows, with their epochs.
    Some,
    /// The whole truth.
    Whole,
}

/// Orders about rows: those that are under way, and those that wait for them.
#[derive(Debug)]
pub(super) struct Rows<T> {
    under_way: BTreeMap<u64, Bearing>,
    waiting: VecDeque<(u64, Bearing, T)>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            under_way: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Rows<T> {
    /// Takes an order; gives it back when it may go now.
    pub(super) fn begin(&mut self, id: u64, bearing: Bearing, order: T) -> Option<T> {
        if !self.waiting.is_empty() || !self.may_go(bearing) {
            self.waiting.push_back((id, bearing, order));
            return None;
        }
        self.under_way.insert(id, bearing);
        Some(order)
    }

    /// Takes note that an order was answered; gives those that may go now.
    pub(super) fn end(&mut self, id: u64) -> Vec<(u64, T)> {
        let mut go = Vec::new();
        if self.under_way.remove(&id).is_none() {
            return go;
        }
        while let Some((_, bearing, _)) = self.waiting.front() {
            if !self.may_go(*bearing) {
                break;
            }
            if let Some((id, bearing, order)) = self.waiting.pop_front() {
                self.under_way.insert(id, bearing);
                go.push((id, order));
            }
        }
        go
    }

    fn may_go(&self, bearing: Bearing) -> bool {
        match bearing {
            Bearing::Some => !self
                .under_way
                .values()
                .any(|other| *other == Bearing::Whole),
            Bearing::Whole => self.under_way.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_go_beside_each_other_and_the_whole_truth_alone() {
        let mut rows = Rows::default();
        assert_eq!(rows.begin(1, Bearing::Some, 'a'), Some('a'));
        assert_eq!(rows.begin(2, Bearing::Some, 'b'), Some('b'));
        assert_eq!(rows.begin(3, Bearing::Whole, 'c'), None);
        assert_eq!(
            rows.begin(4, Bearing::Some, 'd'),
            None,
            "not past the whole truth"
        );
        assert_eq!(rows.end(1), []);
        assert_eq!(rows.end(2), [(3, 'c')]);
        assert_eq!(rows.end(7), [], "never heard of");
        assert_eq!(rows.end(3), [(4, 'd')]);
    }

    proptest! {
        #[test]
        fn everything_goes_once_in_order_around_the_whole_truth(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), any::<prop::sample::Index>()), 1..80),
        ) {
            let mut rows = Rows::default();
            let mut under_way: Vec<u64> = Vec::new();
            let mut gone: Vec<u64> = Vec::new();
            let mut whole: Vec<u64> = Vec::new();
            let mut next = 0;
            for (begin, is_whole, which) in steps {
                let went = if begin || under_way.is_empty() {
                    next += 1;
                    let bearing = if is_whole { Bearing::Whole } else { Bearing::Some };
                    if is_whole {
                        whole.push(next);
                    }
                    rows.begin(next, bearing, next).into_iter().collect()
                } else {
                    let id = under_way.swap_remove(which.index(under_way.len()));
                    rows.end(id).into_iter().map(|(id, _)| id).collect::<Vec<_>>()
                };
                for id in went {
                    under_way.push(id);
                    gone.push(id);
                }
                let alone = under_way.iter().any(|id| whole.contains(id));
                prop_assert!(!alone || under_way.len() == 1);
            }
            while let Some(id) = under_way.pop() {
                for (id, _) in rows.end(id) {
                    under_way.push(id);
                    gone.push(id);
                }
            }
            prop_assert_eq!(gone, (1..=next).collect::<Vec<_>>());
        }
    }
}
