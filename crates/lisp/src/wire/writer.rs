//! An appender that fills lengths in afterwards.

use super::MAX_DEPTH;
use crate::error::EncodeError;

/// Appends to a buffer that may already hold something else, and remembers the first thing that did
/// not fit.
pub(crate) struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    depth: u8,
    error: Option<EncodeError>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self {
            buffer,
            depth: 0,
            error: None,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.buffer.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    /// Remembers an error; the first one stays.
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// The number if it has at most `bits` bits.
    pub(crate) fn fit(&mut self, field: &'static str, value: u32, bits: u8) -> u32 {
        if value.checked_shr(u32::from(bits)).unwrap_or(0) != 0 {
            let value = u64::from(value);
            self.fail(EncodeError::Value { field, value, bits });
            return 0;
        }
        value
    }

    /// How many, if a count of `least..=most` can say it.
    pub(crate) fn count(
        &mut self,
        field: &'static str,
        count: usize,
        least: usize,
        most: usize,
    ) -> u32 {
        if (least..=most).contains(&count) {
            return count as u32;
        }
        self.fail(EncodeError::Count {
            field,
            count,
            least,
            most,
        });
        least as u32
    }

    /// Writes with `body` one level deeper.
    pub(crate) fn nested(&mut self, body: impl FnOnce(&mut Self)) {
        if self.depth >= MAX_DEPTH {
            self.fail(EncodeError::Depth { limit: MAX_DEPTH });
            return;
        }
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    /// Writes with `body` into another buffer, at this depth.
    pub(crate) fn isolated(&mut self, buffer: &mut Vec<u8>, body: impl FnOnce(&mut Writer<'_>)) {
        let mut inner = Writer {
            buffer,
            depth: self.depth,
            error: self.error,
        };
        body(&mut inner);
        self.error = inner.error;
    }

    /// Writes the number of bytes since `start` at `at`.
    pub(crate) fn patch_length(&mut self, field: &'static str, at: usize, start: usize) {
        let length = self.buffer.len().saturating_sub(start);
        match u16::try_from(length) {
            Ok(length) => self.patch_u16(at, length),
            Err(_) => self.fail(EncodeError::Length { field, length }),
        }
    }

    /// Puts a number over what is there already; beyond the end nothing happens.
    pub(crate) fn patch_u16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.buffer.get_mut(at..at.saturating_add(2)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// What was written since `start`.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        self.buffer.get(start..).unwrap_or_default()
    }

    /// The first thing that did not fit.
    pub(crate) fn error(&self) -> Option<EncodeError> {
        self.error
    }
}
