//! Requests and simple replies.
//!
//! ```text
//! request  0x25609513(32) flags(16) type(16) cookie(64) offset(64) length(32) [data of a write]
//! reply    0x67446698(32) error(32) cookie(64) [data of a read that went well]
//! ```

use crate::{MAX_PAYLOAD, NbdError};
use std::collections::HashMap;

const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const NO_HOLE: u16 = 1 << 1;

/// Error numbers of replies.
pub mod errno {
    /// Something went wrong below.
    pub const IO: u32 = 5;
    /// A request that makes no sense.
    pub const INVALID: u32 = 22;
    /// No space is left.
    pub const NO_SPACE: u32 = 28;
    /// Not offered.
    pub const NOT_SUPPORTED: u32 = 95;
}

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Read this many bytes.
    Read(u32),
    /// Write these.
    Write(Vec<u8>),
    /// The client goes.
    Disconnect,
    /// All that was written shall be durable.
    Flush,
    /// These bytes are not needed any more.
    Trim(u32),
    /// Write zeroes.
    Zeroes {
        /// How many bytes.
        length: u32,
        /// Whether the space may be given back.
        may_trim: bool,
    },
    /// Something that was not offered.
    Other(u16),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the client, returned in the reply.
    pub cookie: u64,
    /// Where, bytes.
    pub offset: u64,
    /// What.
    pub kind: Kind,
}

impl Request {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (flags, kind, length, data) = match &self.kind {
            Kind::Read(length) => (0, 0, *length, None),
            Kind::Write(data) => (0, 1, data.len() as u32, Some(data)),
            Kind::Disconnect => (0, 2, 0, None),
            Kind::Flush => (0, 3, 0, None),
            Kind::Trim(length) => (0, 4, *length, None),
            Kind::Zeroes { length, may_trim } => {
                (if *may_trim { 0 } else { NO_HOLE }, 6, *length, None)
            }
            Kind::Other(kind) => (0, *kind, 0, None),
        };
        let mut bytes = Vec::with_capacity(28 + data.map_or(0, Vec::len));
        bytes.extend(REQUEST.to_be_bytes());
        bytes.extend(u16::to_be_bytes(flags));
        bytes.extend(u16::to_be_bytes(kind));
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        if let Some(data) = data {
            bytes.extend_from_slice(data);
        }
        bytes
    }
}

/// Finds requests in what a client sends.
#[derive(Debug, Default)]
pub struct Requests {
    inbox: Vec<u8>,
}

impl Requests {
    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// The next whole request, if it is here.
    ///
    /// # Errors
    /// Bytes that are no request, or one that is too long.
    pub fn take(&mut self) -> Result<Option<Request>, NbdError> {
        let Some(header) = self.inbox.first_chunk::<28>() else {
            return Ok(None);
        };
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let long = |at: usize| (u64::from(word(at)) << 32) | u64::from(word(at + 4));
        if word(0) != REQUEST {
            return Err(NbdError::Magic {
                wanted: REQUEST.into(),
                found: word(0).into(),
            });
        }
        let (flags, kind, cookie, offset, length) = (half(4), half(6), long(8), long(16), word(24));
        let carries = kind == 1;
        if carries && length > MAX_PAYLOAD {
            return Err(NbdError::TooLong(length.into()));
        }
        let end = 28 + if carries { length as usize } else { 0 };
        if self.inbox.len() < end {
            return Ok(None);
        }
        let kind = match kind {
            0 => Kind::Read(length),
            1 => Kind::Write(self.inbox[28..end].to_vec()),
            2 => Kind::Disconnect,
            3 => Kind::Flush,
            4 => Kind::Trim(length),
            6 => Kind::Zeroes {
                length,
                may_trim: flags & NO_HOLE == 0,
            },
            other => Kind::Other(other),
        };
        self.inbox.drain(..end);
        Ok(Some(Request {
            cookie,
            offset,
            kind,
        }))
    }
}

/// One simple reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of the request.
    pub cookie: u64,
    /// 0, or one of [`errno`].
    pub error: u32,
    /// What was read.
    pub data: Vec<u8>,
}

impl Reply {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.data.len());
        bytes.extend(REPLY.to_be_bytes());
        bytes.extend(self.error.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

/// Finds replies in what a server sends. A reply does not tell how long it is: the client knows what
/// it asked for.
#[derive(Debug, Default)]
pub struct Replies {
    inbox: Vec<u8>,
    asked: HashMap<u64, u32>,
}

impl Replies {
    /// A request was sent; its reply will carry this many bytes if it goes well.
    pub fn expect(&mut self, cookie: u64, data: u32) {
        self.asked.insert(cookie, data);
    }

    /// How many requests are unanswered.
    pub fn outstanding(&self) -> usize {
        self.asked.len()
    }

    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// The next whole reply, if it is here.
    ///
    /// # Errors
    /// Bytes that are no reply, or one to a request that was never made.
    pub fn take(&mut self) -> Result<Option<Reply>, NbdError> {
        let Some(header) = self.inbox.first_chunk::<16>() else {
            return Ok(None);
        };
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if word(0) != REPLY {
            return Err(NbdError::Magic {
                wanted: REPLY.into(),
                found: word(0).into(),
            });
        }
        let (error, cookie) = (word(4), (u64::from(word(8)) << 32) | u64::from(word(12)));
        let data = *self.asked.get(&cookie).ok_or(NbdError::Unasked(cookie))?;
        let end = 16 + if error == 0 { data as usize } else { 0 };
        if self.inbox.len() < end {
            return Ok(None);
        }
        self.asked.remove(&cookie);
        let data = self.inbox[16..end].to_vec();
        self.inbox.drain(..end);
        Ok(Some(Reply {
            cookie,
            error,
            data,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> impl Strategy<Value = Request> {
        let kind = prop_oneof![
            (0..MAX_PAYLOAD).prop_map(Kind::Read),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Kind::Write),
            Just(Kind::Disconnect),
            Just(Kind::Flush),
            any::<u32>().prop_map(Kind::Trim),
            (any::<u32>(), any::<bool>())
                .prop_map(|(length, may_trim)| Kind::Zeroes { length, may_trim }),
        ];
        (any::<u64>(), any::<u64>(), kind).prop_map(|(cookie, offset, kind)| Request {
            cookie,
            offset,
            kind,
        })
    }

    proptest! {
        #[test]
        fn requests_survive_the_wire_however_they_are_cut(
            sent in prop::collection::vec(requests(), 1..5), piece in 1..100usize,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(Request::encode).collect();
            let (mut decoder, mut found) = (Requests::default(), Vec::new());
            for part in bytes.chunks(piece) {
                decoder.feed(part);
                while let Some(request) = decoder.take().unwrap() {
                    found.push(request);
                }
            }
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn replies_survive_the_wire_however_they_are_cut(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5), piece in 1..40usize,
        ) {
            let mut decoder = Replies::default();
            let mut bytes = Vec::new();
            for (cookie, data) in data.iter().enumerate() {
                decoder.expect(cookie as u64, data.len() as u32);
                bytes.extend(Reply { cookie: cookie as u64, error: 0, data: data.clone() }.encode());
            }
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                decoder.feed(part);
                while let Some(reply) = decoder.take().unwrap() {
                    found.push(reply.data);
                }
            }
            prop_assert_eq!(found, data);
            prop_assert_eq!(decoder.outstanding(), 0);
        }

        #[test]
        fn whatever_comes_is_a_request_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut requests = Requests::default();
            requests.feed(&bytes);
            while let Ok(Some(_)) = requests.take() {}
            let mut replies = Replies::default();
            replies.feed(&bytes);
            while let Ok(Some(_)) = replies.take() {}
        }
    }

    #[test]
    fn a_reply_to_nothing_is_an_error() {
        let mut replies = Replies::default();
        replies.feed(
            &Reply {
                cookie: 9,
                error: 0,
                data: vec![],
            }
            .encode(),
        );
        assert_eq!(replies.take(), Err(NbdError::Unasked(9)));
    }

    #[test]
    fn a_failed_read_carries_no_data() {
        let mut replies = Replies::default();
        replies.expect(1, 4096);
        replies.feed(
            &Reply {
                cookie: 1,
                error: errno::IO,
                data: vec![],
            }
            .encode(),
        );
        assert_eq!(replies.take().unwrap().unwrap().error, errno::IO);
    }
}
