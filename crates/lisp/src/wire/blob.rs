//! Bytes, numbers and flags as JSON shows them.

use std::fmt;

use bitflags::Flags;
use serde::{Serialize, Serializer};

/// Bytes without a meaning here. Shown and serialized as hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl Blob {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

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
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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

/// Serializes a number as `0x7`: nonces are compared digit by digit, and JSON readers round large
/// numbers.
pub(crate) fn hex64<S: Serializer>(number: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{number:#x}"))
}

/// Writes the names of the set flags, and bits without a name as one hexadecimal number.
pub(crate) fn serialize_flags<F, S>(flags: &F, s: S) -> Result<S::Ok, S::Error>
where
    F: Flags<Bits = u32>,
    S: Serializer,
{
    let mut names = flags.iter_names();
    let mut set: Vec<String> = names
        .by_ref()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    let rest = names.remaining().bits();
    if rest != 0 {
        set.push(format!("{rest:#x}"));
    }
    set.serialize(s)
}
