//! Reading and writing of big-endian structures.
//!
//! This is the only place that touches offsets. [`Reader`] checks every length and never panics;
//! [`Writer`] patches lengths in afterwards and remembers when something did not fit. What the
//! structures mean is the business of the other modules.

mod layout;
mod open_enum;
mod reader;
mod text;
mod tlv;
mod writer;

pub(crate) use layout::layout;
pub(crate) use open_enum::{flags, open_enum, serialize_flags, snake};
pub use reader::ReservedBytes;
pub(crate) use reader::{MAX_DEPTH, Reader};
pub(crate) use text::hex64;
pub use text::{Blob, FixedText};
pub(crate) use tlv::{blob_property, decode_tlv, encode_tlv};
pub(crate) use writer::Writer;

use crate::error::DecodeError;

/// Something with one binary form.
pub(crate) trait Wire: Sized {
    /// Reads the structure and leaves the reader behind its last byte.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Appends the structure.
    fn encode(&self, w: &mut Writer<'_>);
}

macro_rules! wire_int {
    ($($t:ty),*) => {$(
        impl Wire for $t {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$t>::from_be_bytes(r.array()?))
            }
            fn encode(&self, w: &mut Writer<'_>) {
                w.bytes(&self.to_be_bytes());
            }
        }
    )*};
}
wire_int!(u8, u16, u32, u64, u128);

impl Wire for std::net::Ipv4Addr {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from(r.array::<4>()?))
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.octets());
    }
}

impl Wire for std::net::Ipv6Addr {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from(r.array::<16>()?))
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.octets());
    }
}

/// A list that fills the rest of its surroundings.
impl<T: Wire> Wire for Vec<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_all(r)
    }
    fn encode(&self, w: &mut Writer<'_>) {
        encode_all(self, w);
    }
}

/// Bytes that fill the rest of their surroundings.
impl Wire for Blob {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(r.rest().into())
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(self);
    }
}

/// Reads items until the reader is empty. An item that consumes nothing is refused.
pub(crate) fn decode_all<T: Wire>(r: &mut Reader<'_>) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !r.is_empty() {
        let before = r.remaining();
        items.push(T::decode(r)?);
        if r.remaining() == before {
            return Err(r.error(crate::error::DecodeErrorKind::Length {
                what: "list item",
                length: 0,
            }));
        }
    }
    Ok(items)
}

/// Appends every item of a list.
pub(crate) fn encode_all<T: Wire>(items: &[T], w: &mut Writer<'_>) {
    for item in items {
        item.encode(w);
    }
}
