//! Whether everything that was acknowledged is on the disk: read again from the medium, not from
//! the guest's memory.

use super::record::{self, Found};
use super::ring::{Last, Shape};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many of a kind are named.
const NAMED: usize = 8;

/// A count, and the first few of what was counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Few<T> {
    pub(crate) total: u64,
    pub(crate) first: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few {
            total: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, one: T) {
        self.total += 1;
        if self.first.len() < NAMED {
            self.first.push(one);
        }
    }
}

/// What a check of the journal found. The counts add up to all records from `oldest` to `acked`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    /// The last record that was acknowledged when the check began.
    pub(crate) acked: u64,
    /// The oldest that the ring had to hold then; 1 where there is none.
    pub(crate) oldest: u64,
    /// Records that are there, whole.
    pub(crate) checked: u64,
    /// Records whose slot was taken by a newer one during the check.
    pub(crate) overwritten: u64,
    /// Records that are not there: an older one, or nothing, lies in their slot.
    pub(crate) missing: Few<u64>,
    /// Records in whose slot lies something else, or that cannot be read.
    pub(crate) bad: Few<u64>,
}

/// Reads every record that the ring must still hold. `begun` is the last record whose writing has
/// begun, at any moment.
pub(crate) fn journal(shape: &Shape, acked: Last, begun: &AtomicU64) -> io::Result<Check> {
    let slots = shape.slots();
    let mut check = Check {
        acked: acked.sequence,
        oldest: acked.sequence.saturating_sub(slots) + 1,
        ..Check::default()
    };
    let mut right = vec![0; shape.record];
    shape.read(check.oldest, acked.sequence, |sequence, slot| {
        record::fill(&mut right, acked.id, sequence);
        if slot == Some(&right) {
            check.checked += 1;
        } else if begun.load(Ordering::Acquire) >= sequence + slots {
            check.overwritten += 1;
        } else {
            match slot.map(record::look) {
                Some(Found::Empty) => check.missing.push(sequence),
                Some(Found::Record { id, sequence: old }) if id == acked.id && old < sequence => {
                    check.missing.push(sequence);
                }
                _ => check.bad.push(sequence),
            }
        }
    })?;
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ring::Ring;
    use crate::disk::tests::Folder;
    use std::os::unix::fs::FileExt;

    const SLOTS: u64 = 16;

    fn written(folder: &Folder, last: u64) -> (Shape, Ring) {
        let shape = Shape {
            path: folder.path().join("journal"),
            record: 4096,
            bytes: SLOTS * 4096,
            flags: 0,
        };
        let mut ring = Ring::open(shape.clone()).unwrap().0;
        (1..=last).for_each(|k| ring.write(5, k).unwrap());
        (shape, ring)
    }

    fn check(shape: &Shape, acked: u64, begun: u64) -> Check {
        let acked = Last {
            id: 5,
            sequence: acked,
        };
        journal(shape, acked, &AtomicU64::new(begun)).unwrap()
    }

    #[test]
    fn all_that_the_ring_must_hold_is_checked() {
        let folder = Folder::new("check");
        let (shape, mut ring) = written(&folder, 0);
        assert_eq!(
            (check(&shape, 0, 0).checked, check(&shape, 0, 0).oldest),
            (0, 1)
        );
        for k in 1..=40 {
            ring.write(5, k).unwrap();
            let found = check(&shape, k, k);
            let whole = Check {
                acked: k,
                oldest: k.saturating_sub(SLOTS) + 1,
                checked: k.min(SLOTS),
                ..Check::default()
            };
            assert_eq!(found, whole);
        }
    }

    #[test]
    fn what_was_lost_is_missing_and_what_was_changed_is_bad() {
        let folder = Folder::new("bad");
        let (shape, _ring) = written(&folder, 20);
        let file = std::fs::OpenOptions::new().write(true).open(&shape.path);
        let file = file.unwrap();
        file.write_all_at(&[1], shape.offset(18) + 4095).unwrap();
        file.write_all_at(&[0; 4096], shape.offset(9)).unwrap();
        let found = check(&shape, 22, 22);
        // 21 and 22 were never written: 5 and 6 lie in their slots.
        assert_eq!(found.missing.first, [9, 21, 22]);
        assert_eq!(found.bad.first, [18]);
        assert_eq!((found.oldest, found.checked), (7, 12));
    }

    #[test]
    fn a_journal_of_another_guest_is_bad_from_end_to_end() {
        let folder = Folder::new("foreign");
        let (shape, mut ring) = written(&folder, 0);
        (1..=SLOTS).for_each(|k| ring.write(6, k).unwrap());
        let found = check(&shape, SLOTS, SLOTS);
        assert_eq!((found.bad.total, found.bad.first.len()), (SLOTS, NAMED));
    }

    #[test]
    fn a_slot_that_a_newer_record_took_meanwhile_is_neither() {
        let folder = Folder::new("newer");
        let (shape, _ring) = written(&folder, 20);
        let found = check(&shape, 18, 21);
        // 3 and 4 gave way to 19 and 20; 5 will to 21, whose writing has begun, but is there still.
        assert_eq!((found.overwritten, found.checked), (2, 14));
        assert_eq!(found.missing.total + found.bad.total, 0);
    }
}
