//! The source's side: what the target has not applied yet.

use super::{Body, Record, ReplicaError};
use std::collections::VecDeque;

/// Numbers writes and keeps them until the target has applied them.
#[derive(Debug)]
pub struct Outbox {
    kept: VecDeque<Record>,
    /// How many of `kept` were handed to the connection that lives.
    handed: usize,
    made: u64,
    bytes: u64,
    room: u64,
    ended: bool,
}

impl Outbox {
    /// Keeps up to `room` bytes before it asks the mirror to wait.
    pub fn new(room: u64) -> Self {
        Self {
            kept: VecDeque::new(),
            handed: 0,
            made: 0,
            bytes: 0,
            room,
            ended: false,
        }
    }

    /// Whether a further write may be taken.
    pub fn has_room(&self) -> bool {
        self.bytes < self.room
    }

    /// Takes a write. After the end nothing is taken: the VM has stopped.
    pub fn push(&mut self, offset: u64, body: Body) {
        if self.ended {
            return;
        }
        self.ended = body == Body::End;
        self.made += 1;
        self.bytes += cost(&body);
        let number = self.made;
        self.kept.push_back(Record {
            number,
            offset,
            body,
        });
    }

    /// The next record for the connection, if there is one.
    pub fn hand_out(&mut self) -> Option<&Record> {
        let record = self.kept.get(self.handed)?;
        self.handed += 1;
        Some(record)
    }

    /// Bytes that wait for the connection.
    pub fn waiting(&self) -> u64 {
        self.kept
            .iter()
            .skip(self.handed)
            .map(|it| cost(&it.body))
            .sum()
    }

    /// Whether records are on their way that the target has not applied.
    pub fn is_unconfirmed(&self) -> bool {
        self.handed > 0
    }

    /// The target has applied everything up to this number.
    ///
    /// # Errors
    /// [`ReplicaError::Claim`] for a number that was never made.
    pub fn applied(&mut self, number: u64) -> Result<(), ReplicaError> {
        if number > self.made {
            return Err(ReplicaError::Claim {
                claimed: number,
                sent: self.made,
            });
        }
        while self
            .kept
            .front()
            .is_some_and(|first| first.number <= number)
        {
            if let Some(gone) = self.kept.pop_front() {
                self.bytes -= cost(&gone.body);
                self.handed = self.handed.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// A new connection: the target has received everything up to this number; what follows is handed
    /// out again.
    ///
    /// # Errors
    /// When the target has lost what it had, or claims what was never made.
    pub fn reconnected(&mut self, received: u64) -> Result<(), ReplicaError> {
        if received > self.made {
            return Err(ReplicaError::Claim {
                claimed: received,
                sent: self.made,
            });
        }
        let first = self
            .kept
            .front()
            .map_or(self.made + 1, |record| record.number);
        if received + 1 < first {
            return Err(ReplicaError::Lost {
                has: received,
                kept: first,
            });
        }
        self.handed = (received + 1 - first) as usize;
        Ok(())
    }

    /// Whether the target has applied everything, the end included.
    pub fn is_finished(&self) -> bool {
        self.ended && self.kept.is_empty()
    }
}

/// What a record takes in memory.
fn cost(body: &Body) -> u64 {
    64 + match body {
        Body::Data(data) => data.len() as u64,
        _ => 0,
    }
}
