//! Match fields: which ones there are ([`Field`]) and one with a value ([`Oxm`]).
//!
//! A field is its numbers and its width, so that one nobody has heard of is carried like any other.
//! Names, widths and formats of the known ones are in a table (`table.rs`); a whole match is
//! [`crate::Match`].
//!
//! ```text
//! +---------------+-------------+-+---------------+
//! |   class (16)  |  field (7)  |M|  length (8)   |   OpenFlow 1.3.5, 7.2.3.2
//! +---------------+-------------+-+---------------+
//! | experimenter (32), class 0xffff only          |
//! +-----------------------------------------------+
//! | value, then mask of the same length if M is 1 |
//! ```

mod field;
pub(crate) mod show;
mod table;
mod twin;
mod value;

pub use field::{Field, FieldHeader};
pub use table::{FIELDS, FieldInfo, Format};
pub use value::FieldValue;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Reader, Wire, Writer};
use value::Payload;

/// A field with a value and perhaps a mask.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Oxm {
    field: Field,
    masked: bool,
    /// Value, then mask.
    payload: Payload,
}

impl Oxm {
    /// An exact value. It is cut or extended with zeros on the left to the field's width.
    pub fn new(field: Field, value: impl FieldValue) -> Self {
        let mut payload = Payload::default();
        payload.push_number(value.to_bits(), field.width());
        Self {
            field,
            masked: false,
            payload,
        }
    }

    /// A value of which only the bits of `mask` count. Bits outside the mask are cleared, as
    /// OpenFlow 1.3.5, 7.2.3.5 asks.
    pub fn masked(field: Field, value: impl FieldValue, mask: impl FieldValue) -> Self {
        let mask = mask.to_bits();
        let mut payload = Payload::default();
        payload.push_number(value.to_bits() & mask, field.width());
        payload.push_number(mask, field.width());
        Self {
            field,
            masked: true,
            payload,
        }
    }

    /// A value of any length, for fields wider than 128 bits. The field takes the value's width.
    pub fn from_bytes(field: Field, value: &[u8]) -> Self {
        let value = value.get(..value.len().min(124)).unwrap_or_default();
        let mut payload = Payload::default();
        payload.push(value);
        Self {
            field: field.with_width(value.len() as u8),
            masked: false,
            payload,
        }
    }

    /// The field.
    pub fn field(&self) -> Field {
        self.field
    }

    /// The value in network byte order.
    pub fn value(&self) -> &[u8] {
        let bytes = self.payload.as_slice();
        bytes
            .get(..usize::from(self.field.width()))
            .unwrap_or(bytes)
    }

    /// The mask in network byte order.
    pub fn mask(&self) -> Option<&[u8]> {
        if !self.masked {
            return None;
        }
        self.payload
            .as_slice()
            .get(usize::from(self.field.width())..)
    }

    /// The value as a number, when it has at most 128 bits.
    pub fn number(&self) -> Option<u128> {
        value::number(self.value())
    }

    /// The mask as a number; all ones where there is no mask.
    pub fn mask_number(&self) -> Option<u128> {
        match self.mask() {
            Some(mask) => value::number(mask),
            None => {
                let bits = u32::from(self.field.width()) * 8;
                (bits <= 128).then(|| u128::MAX.checked_shr(128 - bits).unwrap_or(0))
            }
        }
    }
}

impl Wire for Oxm {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let FieldHeader { field, masked, .. } = FieldHeader::decode(r)?;
        let mut payload = Payload::default();
        let length = usize::from(field.width()) * if masked { 2 } else { 1 };
        payload.push(r.take(length)?);
        Ok(Self {
            field,
            masked,
            payload,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        FieldHeader {
            field: self.field,
            masked: self.masked,
        }
        .encode(w);
        w.bytes(self.payload.as_slice());
    }
}

impl Wire for FieldHeader {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let class = r.u16()?;
        let number = r.u8()?;
        let masked = number & 1 == 1;
        let length = r.u8()?;
        let bad = || {
            at.error(DecodeErrorKind::Length {
                what: "match field",
                length: usize::from(length),
            })
        };
        let mut width = length;
        let mut experimenter = None;
        if class == Field::EXPERIMENTER_CLASS {
            width = length.checked_sub(4).ok_or_else(bad)?;
            experimenter = Some(r.u32()?);
        }
        if masked {
            if width % 2 == 1 {
                return Err(bad());
            }
            width /= 2;
        }
        Ok(Self {
            field: Field::from_parts(class, number >> 1, experimenter, width),
            masked,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let field = self.field;
        let mut length = usize::from(field.width()) * if self.masked { 2 } else { 1 };
        if field.experimenter_id().is_some() {
            length += 4;
        }
        w.u16(field.class());
        w.u8(field.number() << 1 | u8::from(self.masked));
        match u8::try_from(length) {
            Ok(length) => w.u8(length),
            Err(_) => {
                w.too_long("a match field");
                w.u8(0);
            }
        }
        if let Some(experimenter) = field.experimenter_id() {
            w.u32(experimenter);
        }
    }
}
