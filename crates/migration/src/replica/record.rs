//! Records on the wire.
//!
//! ```text
//! kind(8) number(64) offset(64) length(32) [data of a write]      all big endian
//! ```

use super::ReplicaError;
use std::sync::Arc;

/// Longest data of one record, bytes: pieces small enough to stop between.
pub(super) const MAX_DATA: u32 = 256 << 10;
const HEADER: usize = 21;

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes; at most 256 KiB.
    Data(Arc<[u8]>),
    /// Zeroes.
    Zeroes {
        /// How many bytes.
        length: u32,
        /// Whether the space may be given back.
        may_trim: bool,
    },
    /// Nothing more will come: the VM has stopped and its mirror is whole.
    End,
}

impl Body {
    /// Bytes that it covers on the disk.
    pub fn length(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zeroes { length, .. } => u64::from(*length),
            Self::End => 0,
        }
    }

    /// A write in pieces of at most 256 KiB, with the offset of each.
    pub fn pieces(offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, Self)> + '_ {
        let piece = MAX_DATA as usize;
        data.chunks(piece)
            .enumerate()
            .map(move |(n, part)| (offset + (n * piece) as u64, Self::Data(part.into())))
    }
}

/// One write, numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub number: u64,
    /// Where on the disk, bytes.
    pub offset: u64,
    /// What.
    pub body: Body,
}

impl Record {
    /// Appends its bytes.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let (kind, length) = match &self.body {
            Body::Data(data) => (1, data.len() as u32),
            Body::Zeroes {
                length,
                may_trim: false,
            } => (2, *length),
            Body::Zeroes { length, .. } => (3, *length),
            Body::End => (4, 0),
        };
        to.push(kind);
        to.extend(self.number.to_be_bytes());
        to.extend(self.offset.to_be_bytes());
        to.extend(length.to_be_bytes());
        if let Body::Data(data) = &self.body {
            to.extend_from_slice(data);
        }
    }
}

/// Finds records in what arrives.
#[derive(Debug, Default)]
pub struct Records {
    inbox: Vec<u8>,
}

impl Records {
    /// Takes bytes and gives every record that is whole.
    ///
    /// # Errors
    /// A record of unknown kind or one that is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Record>, ReplicaError> {
        self.inbox.extend_from_slice(bytes);
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some((record, end)) = read(&self.inbox[at..])? {
            found.push(record);
            at += end;
        }
        self.inbox.drain(..at);
        Ok(found)
    }
}

fn read(bytes: &[u8]) -> Result<Option<(Record, usize)>, ReplicaError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let long = |at: usize| {
        header[at..at + 8]
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    let length = u32::from_be_bytes([header[17], header[18], header[19], header[20]]);
    let (body, end) = match header[0] {
        1 if length > MAX_DATA => return Err(ReplicaError::TooLong(length)),
        1 => match rest.get(..length as usize) {
            Some(data) => (Body::Data(data.into()), HEADER + data.len()),
            None => return Ok(None),
        },
        kind @ (2 | 3) => {
            let may_trim = kind == 3;
            (Body::Zeroes { length, may_trim }, HEADER)
        }
        4 => (Body::End, HEADER),
        other => return Err(ReplicaError::Unknown(other)),
    };
    let (number, offset) = (long(1), long(9));
    Ok(Some((
        Record {
            number,
            offset,
            body,
        },
        end,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bodies() -> impl Strategy<Value = Body> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|data| Body::Data(data.into())),
            (any::<u32>(), any::<bool>())
                .prop_map(|(length, may_trim)| Body::Zeroes { length, may_trim }),
            Just(Body::End),
        ]
    }

    proptest! {
        #[test]
        fn records_survive_the_wire_however_they_are_cut(
            sent in prop::collection::vec((any::<u64>(), any::<u64>(), bodies()), 0..6), piece in 1..90usize,
        ) {
            let sent: Vec<_> = sent.into_iter()
                .map(|(number, offset, body)| Record { number, offset, body }).collect();
            let mut bytes = Vec::new();
            sent.iter().for_each(|record| record.encode(&mut bytes));
            let (mut records, mut found) = (Records::default(), Vec::new());
            for part in bytes.chunks(piece) {
                found.extend(records.feed(part).unwrap());
            }
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn whatever_comes_is_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::default().feed(&bytes);
        }
    }

    #[test]
    fn a_long_write_goes_in_pieces() {
        let data = vec![7; 600 << 10];
        let pieces: Vec<_> = Body::pieces(4096, &data)
            .map(|(at, body)| (at, body.length()))
            .collect();
        assert_eq!(
            pieces,
            [
                (4096, 256 << 10),
                (4096 + (256 << 10), 256 << 10),
                (4096 + (512 << 10), 88 << 10)
            ]
        );
    }
}
