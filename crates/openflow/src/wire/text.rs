//! Bytes that are shown as hexadecimal digits, and names of fixed length.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Reader, Wire, Writer};
use crate::error::DecodeError;

/// Bytes without a meaning here. Shown and serialized as hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl std::ops::Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> From<[u8; N]> for Blob {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |v: u8| DIGITS.get(usize::from(v & 15)).copied().unwrap_or(b'?') as char;
        let mut text = String::with_capacity(self.0.len() * 2);
        for b in &self.0 {
            text.push(digit(b >> 4));
            text.push(digit(*b));
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x\"{self}\"")
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A name in `N` bytes, filled with zeros. All bytes are kept, also those behind the first zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedText<const N: usize>(pub [u8; N]);

impl<const N: usize> Default for FixedText<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> From<&str> for FixedText<N> {
    /// Cuts what does not fit and leaves a zero at the end.
    fn from(text: &str) -> Self {
        let mut bytes = [0; N];
        let room = N.saturating_sub(1);
        for (slot, b) in bytes.iter_mut().take(room).zip(text.bytes()) {
            *slot = b;
        }
        Self(bytes)
    }
}

impl<const N: usize> fmt::Display for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|b| *b == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(text))
    }
}

impl<const N: usize> fmt::Debug for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<const N: usize> Serialize for FixedText<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<const N: usize> Wire for FixedText<N> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.array()?))
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.0);
    }
}

/// Serializes a number as `0x7`: cookies and masks are read bit by bit, and JSON readers round
/// large numbers.
pub(crate) fn hex64<S: Serializer>(number: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{number:#x}"))
}
