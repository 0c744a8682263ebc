//! The target's side: each record once, and no two that overlap at the same time.

use super::{Body, Record, ReplicaError};
use std::collections::BTreeMap;
use std::ops::Range;

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was received before.
    Known,
    /// Write it; tell [`Inbox::finished`] when that is done.
    Write,
    /// Something that it overlaps is being written: offer it again when one has finished.
    Wait,
}

/// Follows what was received and what was applied.
#[derive(Debug, Default)]
pub struct Inbox {
    received: u64,
    /// Being written.
    writing: BTreeMap<u64, Range<u64>>,
    end: Option<u64>,
}

impl Inbox {
    /// Everything up to this number was received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Everything up to this number is on the disk.
    pub fn applied(&self) -> u64 {
        self.writing
            .keys()
            .next()
            .map_or(self.received, |first| first - 1)
    }

    /// How many are being written.
    pub fn writing(&self) -> usize {
        self.writing.len()
    }

    /// Whether the end was received and everything before it is on the disk.
    pub fn is_finished(&self) -> bool {
        self.end.is_some() && self.writing.is_empty()
    }

    /// Offers the next record.
    ///
    /// # Errors
    /// [`ReplicaError::Gap`] when one before it is missing.
    pub fn offer(&mut self, record: &Record) -> Result<Verdict, ReplicaError> {
        if record.number <= self.received {
            return Ok(Verdict::Known);
        }
        if record.number != self.received + 1 {
            return Err(ReplicaError::Gap {
                wanted: self.received + 1,
                found: record.number,
            });
        }
        let range = record.offset..record.offset.saturating_add(record.body.length());
        let overlaps = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        if self.writing.values().any(overlaps) {
            return Ok(Verdict::Wait);
        }
        self.received = record.number;
        if record.body == Body::End {
            self.end = Some(record.number);
            return Ok(Verdict::Known);
        }
        self.writing.insert(record.number, range);
        Ok(Verdict::Write)
    }

    /// A record is on the disk.
    pub fn finished(&mut self, number: u64) {
        self.writing.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outbox;
    use super::*;
    use proptest::prelude::*;

    /// What happens between the two ends.
    #[derive(Debug, Clone)]
    enum Step {
        Write(u8, u8, u8),
        Carry(u8),
        Finish(u8),
        Confirm,
        Break,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..60u8, 1..6u8, any::<u8>()).prop_map(|(at, length, what)| Step::Write(at, length, what)),
            4 => (1..5u8).prop_map(Step::Carry),
            4 => any::<u8>().prop_map(Step::Finish),
            2 => Just(Step::Confirm),
            1 => Just(Step::Break),
        ];
        prop::collection::vec(step, 0..200)
    }

    #[derive(Default)]
    struct Target {
        disk: Vec<u8>,
        inbox: Inbox,
        in_flight: Vec<Record>,
    }

    impl Target {
        /// False when it must wait.
        fn take(&mut self, record: &Record) -> bool {
            match self.inbox.offer(record).unwrap() {
                Verdict::Known => true,
                Verdict::Write => {
                    self.in_flight.push(record.clone());
                    true
                }
                Verdict::Wait => false,
            }
        }

        /// Writes finish in any order.
        fn finish(&mut self, which: usize) {
            if self.in_flight.is_empty() {
                return;
            }
            let record = self.in_flight.remove(which % self.in_flight.len());
            if let Body::Data(data) = &record.body {
                let at = record.offset as usize;
                self.disk[at..at + data.len()].copy_from_slice(data);
            }
            self.inbox.finished(record.number);
        }
    }

    proptest! {
        #[test]
        fn after_any_breaks_the_target_has_every_write_in_order(steps in steps()) {
            let mut outbox = Outbox::new(1 << 20);
            let mut source = vec![0u8; 80];
            let mut target = Target { disk: vec![0; 80], ..Target::default() };
            // What the connection holds.
            let mut wire: Vec<Record> = Vec::new();
            let carry = |outbox: &mut Outbox, wire: &mut Vec<Record>, target: &mut Target, most: usize| {
                while let Some(record) = outbox.hand_out() {
                    wire.push(record.clone());
                }
                for _ in 0..most {
                    let Some(first) = wire.first().cloned() else { return };
                    if !target.take(&first) {
                        return;
                    }
                    wire.remove(0);
                }
            };
            for step in steps {
                match step {
                    Step::Write(at, length, what) => {
                        let data = vec![what; usize::from(length)];
                        source[usize::from(at)..usize::from(at) + data.len()].copy_from_slice(&data);
                        outbox.push(at.into(), Body::Data(data.into()));
                    }
                    Step::Carry(most) => carry(&mut outbox, &mut wire, &mut target, most.into()),
                    Step::Finish(which) => target.finish(which.into()),
                    Step::Confirm => outbox.applied(target.inbox.applied()).unwrap(),
                    Step::Break => {
                        wire.clear();
                        outbox.reconnected(target.inbox.received()).unwrap();
                    }
                }
            }
            outbox.push(0, Body::End);
            for _ in 0..1000 {
                carry(&mut outbox, &mut wire, &mut target, 10);
                target.finish(0);
            }
            outbox.applied(target.inbox.applied()).unwrap();
            prop_assert!(target.inbox.is_finished() && outbox.is_finished());
            prop_assert_eq!(target.disk, source);
        }
    }

    #[test]
    fn a_record_that_does_not_follow_is_an_error() {
        let record = Record {
            number: 2,
            offset: 0,
            body: Body::End,
        };
        assert!(matches!(
            Inbox::default().offer(&record),
            Err(ReplicaError::Gap {
                wanted: 1,
                found: 2
            })
        ));
    }

    #[test]
    fn a_target_that_lost_what_it_had_is_noticed() {
        let mut outbox = Outbox::new(100);
        for _ in 0..3 {
            outbox.push(
                0,
                Body::Zeroes {
                    length: 1,
                    may_trim: false,
                },
            );
        }
        while outbox.hand_out().is_some() {}
        outbox.applied(2).unwrap();
        assert!(matches!(
            outbox.reconnected(1),
            Err(ReplicaError::Lost { has: 1, kept: 3 })
        ));
        assert!(matches!(outbox.applied(9), Err(ReplicaError::Claim { .. })));
    }
}
