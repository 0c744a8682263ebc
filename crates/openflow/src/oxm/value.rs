//! Values of match fields: what can become one, and how one is kept.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::address::{MacAddr, PortNo};

/// What can be the value or the mask of a field: numbers and addresses.
pub trait FieldValue {
    /// The value as a number, the last wire bit lowest.
    fn to_bits(&self) -> u128;
}

macro_rules! number_values {
    ($($t:ty),*) => {$(
        impl FieldValue for $t {
            fn to_bits(&self) -> u128 {
                u128::from(*self)
            }
        }
    )*};
}
number_values!(u8, u16, u32, u64, u128);

impl FieldValue for MacAddr {
    fn to_bits(&self) -> u128 {
        self.0.to_bits()
    }
}

impl FieldValue for [u8; 6] {
    fn to_bits(&self) -> u128 {
        self.iter().fold(0, |bits, b| bits << 8 | u128::from(*b))
    }
}

impl FieldValue for Ipv4Addr {
    fn to_bits(&self) -> u128 {
        u128::from(u32::from(*self))
    }
}

impl FieldValue for Ipv6Addr {
    fn to_bits(&self) -> u128 {
        u128::from(*self)
    }
}

impl FieldValue for PortNo {
    fn to_bits(&self) -> u128 {
        u128::from(self.0)
    }
}

/// Up to 16 bytes as a number.
pub(super) fn number(bytes: &[u8]) -> Option<u128> {
    (bytes.len() <= 16).then(|| bytes.iter().fold(0, |bits, b| bits << 8 | u128::from(*b)))
}

const INLINE: usize = 16;

/// Bytes that rarely exceed sixteen: flow tables are read and written by the ten thousands, and
/// most fields are a few bytes.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Inline(u8, [u8; INLINE]),
    Heap(Vec<u8>),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Inline(0, [0; INLINE])
    }
}

impl Payload {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Heap(bytes) => bytes,
        }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let old = self.as_slice().len();
        let new = old + more.len();
        match self {
            Self::Heap(bytes) => bytes.extend_from_slice(more),
            Self::Inline(len, bytes) => {
                if let Some(room) = bytes.get_mut(old..new) {
                    room.copy_from_slice(more);
                    *len = new as u8;
                } else {
                    *self = Self::Heap([self.as_slice(), more].concat());
                }
            }
        }
    }

    /// Appends a number in `width` bytes.
    pub(super) fn push_number(&mut self, bits: u128, width: u8) {
        let bytes = bits.to_be_bytes();
        let width = usize::from(width);
        match bytes.len().checked_sub(width) {
            Some(skip) => self.push(bytes.get(skip..).unwrap_or_default()),
            None => {
                self.push(&vec![0; width - bytes.len()]);
                self.push(&bytes);
            }
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Payload {}

impl std::hash::Hash for Payload {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
