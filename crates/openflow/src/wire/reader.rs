//! A cursor over received bytes.

use std::cell::RefCell;

use serde::Serialize;

use super::text::Blob;
use crate::error::{DecodeError, DecodeErrorKind};

/// Nesting (an action in an action, a message in a message) that is followed. Real switches use two
/// or three levels; the bound keeps hostile input from exhausting the stack.
pub(crate) const MAX_DEPTH: u8 = 16;

/// Reserved bytes of a received message that were not zero.
///
/// The specification wants padding to be zero and receivers to ignore it. It is kept so that a
/// decoded message encodes to exactly the bytes that came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ReservedBytes {
    /// Position from the message's first byte.
    pub offset: usize,
    /// The whole reserved area.
    pub bytes: Blob,
}

/// A bounds-checked cursor. Sub-readers share the list of reserved bytes of the whole message.
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    base: usize,
    depth: u8,
    version: u8,
    reserved: &'a RefCell<Vec<ReservedBytes>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        data: &'a [u8],
        version: u8,
        reserved: &'a RefCell<Vec<ReservedBytes>>,
    ) -> Self {
        Self {
            data,
            base: 0,
            depth: 0,
            version,
            reserved,
        }
    }

    /// The protocol version of the message around: some structures differ.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    pub(crate) fn with_depth(mut self, depth: u8) -> Self {
        self.depth = depth;
        self
    }

    pub(crate) fn with_version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn remaining(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            offset: self.base,
            kind,
        }
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.data.split_at_checked(n) {
            Some((head, tail)) => {
                self.data = tail;
                self.base += n;
                Ok(head)
            }
            None => Err(self.error(DecodeErrorKind::Truncated {
                need: n,
                have: self.data.len(),
            })),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.data.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.data = tail;
                self.base += N;
                Ok(*head)
            }
            None => Err(self.error(DecodeErrorKind::Truncated {
                need: N,
                have: self.data.len(),
            })),
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A 16-bit number further on, without moving.
    pub(crate) fn peek_u16(&self, at: usize) -> Result<u16, DecodeError> {
        match self.data.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
            Some(pair) => Ok(u16::from_be_bytes(*pair)),
            None => Err(self.error(DecodeErrorKind::Truncated {
                need: at + 2,
                have: self.data.len(),
            })),
        }
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.data;
        self.base += rest.len();
        self.data = &[];
        rest
    }

    /// A reader of the next `n` bytes; this one continues behind them.
    pub(crate) fn sub(&mut self, n: usize) -> Result<Reader<'a>, DecodeError> {
        let base = self.base;
        let data = self.take(n)?;
        Ok(Reader {
            data,
            base,
            depth: self.depth,
            version: self.version,
            reserved: self.reserved,
        })
    }

    /// A second reader of the same bytes.
    pub(crate) fn fork(&self) -> Reader<'a> {
        Reader {
            data: self.data,
            base: self.base,
            depth: self.depth,
            version: self.version,
            reserved: self.reserved,
        }
    }

    /// Skips reserved bytes and keeps them if they are not zero.
    pub(crate) fn pad(&mut self, n: usize) -> Result<(), DecodeError> {
        let offset = self.base;
        let bytes = self.take(n)?;
        if bytes.iter().any(|b| *b != 0) {
            self.reserved.borrow_mut().push(ReservedBytes {
                offset,
                bytes: Blob::from(bytes),
            });
        }
        Ok(())
    }

    /// How many reserved areas were kept so far; see [`Reader::forget_reserved`].
    pub(crate) fn reserved_mark(&self) -> usize {
        self.reserved.borrow().len()
    }

    /// Drops what an abandoned attempt to decode has kept.
    pub(crate) fn forget_reserved(&self, mark: usize) {
        self.reserved.borrow_mut().truncate(mark);
    }

    /// Fails when something is left.
    pub(crate) fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.data.is_empty() {
            Ok(())
        } else {
            Err(self.error(DecodeErrorKind::Trailing {
                what,
                count: self.data.len(),
            }))
        }
    }
}
