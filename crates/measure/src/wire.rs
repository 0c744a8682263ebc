//! The 64-byte record that probes send and guests echo, over UDP and TCP alike.
//!
//! ```text
//!  0               8               16              24                        64
//! +---------------+---------------+---------------+---------- ... ----------+
//! | sequence      | client's time | guest counter | zeros                   |
//! | u64 BE        | ns, u64 BE    | u64 BE        |                         |
//! +---------------+---------------+---------------+---------- ... ----------+
//! ```
//!
//! The guest returns the record as it came, except for the counter, which it sets to the number of
//! records it has echoed on this flow so far: a hole in the counters is a reply that got lost, a
//! hole in the sequence without one is a request that got lost.

/// Length of a record, bytes.
pub const LEN: usize = 64;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Number of the record on its flow, from 0.
    pub seq: u64,
    /// The client's `CLOCK_MONOTONIC` at sending, ns.
    pub sent_ns: i64,
    /// The guest's echo counter on this flow; 0 in a request.
    pub guest: u64,
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sent_ns.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.guest.to_be_bytes());
        bytes
    }

    /// Reads a record; none when `bytes` is not exactly [`LEN`] long.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(word)
        };
        Some(Self {
            seq: word(0),
            sent_ns: word(8) as i64,
            guest: word(16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_wire_and_a_short_one_is_refused() {
        let record = Record {
            seq: 7,
            sent_ns: 123_456_789,
            guest: 3,
        };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        assert_eq!(Record::decode(&record.encode()[..63]), None);
    }
}
