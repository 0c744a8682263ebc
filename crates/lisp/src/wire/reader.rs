//! A cursor over received bytes.

use super::MAX_DEPTH;
use crate::error::{DecodeError, DecodeErrorKind};

/// A bounds-checked cursor that knows where it is in the whole input.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    offset: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            offset: 0,
            depth: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// What is left, without moving.
    pub(crate) fn peek(&self) -> &'a [u8] {
        self.data
    }

    pub(crate) fn error(&self, field: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            offset: self.offset,
            field,
            kind,
        }
    }

    fn truncated(&self, field: &'static str, need: usize) -> DecodeError {
        let have = self.data.len();
        self.error(field, DecodeErrorKind::Truncated { need, have })
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .data
            .split_at_checked(n)
            .ok_or_else(|| self.truncated(field, n))?;
        self.data = tail;
        self.offset += n;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .data
            .split_first_chunk::<N>()
            .ok_or_else(|| self.truncated(field, N))?;
        self.data = tail;
        self.offset += N;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.data;
        self.offset += rest.len();
        self.data = &[];
        rest
    }

    /// A reader of the next `n` bytes, one level deeper; this one continues behind them.
    pub(crate) fn nested(&mut self, field: &'static str, n: usize) -> Result<Self, DecodeError> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.error(field, DecodeErrorKind::Depth { limit: MAX_DEPTH }));
        }
        let offset = self.offset;
        let data = self.take(field, n)?;
        Ok(Self {
            data,
            offset,
            depth,
        })
    }

    /// Fails when something is left.
    pub(crate) fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        match self.data.len() {
            0 => Ok(()),
            count => Err(self.error(field, DecodeErrorKind::Trailing { count })),
        }
    }

    /// `count` items. Room is made for what the bytes can hold, not for what the count says.
    pub(crate) fn list<T>(
        &mut self,
        count: usize,
        least_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::with_capacity(count.min(self.data.len() / least_bytes.max(1)));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
