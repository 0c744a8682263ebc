//! Ranges of bits in fields, and moves between them.

use serde::{Serialize, Serializer};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::oxm::{Field, FieldHeader};
use crate::wire::{Reader, Wire, Writer};

/// Some bits of a field: `reg0[0..15]` in the language of `ovs-ofctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BitRange {
    /// The field.
    pub field: Field,
    /// First bit, counted from the lowest.
    pub offset: u16,
    /// Number of bits, at least one. Most actions take 64 at most.
    pub bits: u16,
}

impl BitRange {
    /// `bits` bits from `offset` on. The field gets the number that OVS knows it by in these
    /// actions, so that the rule is reported as it was sent.
    pub fn new(field: Field, offset: u16, bits: u16) -> Self {
        Self {
            field: field.in_nicira_actions(),
            offset,
            bits,
        }
    }

    /// Reads the packed form: offset (10 bits), number of bits less one (6 bits), field.
    pub(super) fn decode_packed(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let packed = r.u16()?;
        Ok(Self::unpack(packed, plain_field(r)?))
    }

    pub(super) fn encode_packed(self, w: &mut Writer<'_>) {
        w.u16(self.packed());
        FieldHeader::from(self.field).encode(w);
    }

    pub(super) fn packed(self) -> u16 {
        self.offset << 6 | (self.bits.saturating_sub(1) & 0x3f)
    }

    pub(super) fn unpack(packed: u16, field: Field) -> Self {
        Self {
            field,
            offset: packed >> 6,
            bits: (packed & 0x3f) + 1,
        }
    }
}

/// A field header that must not announce a mask.
pub(super) fn plain_field(r: &mut Reader<'_>) -> Result<Field, DecodeError> {
    let at = r.fork();
    let header = FieldHeader::decode(r)?;
    if header.masked {
        return Err(at.error(DecodeErrorKind::Value {
            what: "mask bit of a bare field",
            value: 1,
        }));
    }
    Ok(header.field)
}

impl From<Field> for BitRange {
    /// The whole field.
    fn from(field: Field) -> Self {
        Self::new(field, 0, field.bits())
    }
}

impl std::fmt::Display for BitRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = u32::from(self.offset) + u32::from(self.bits).saturating_sub(1);
        write!(f, "{}[{}..{last}]", self.field, self.offset)
    }
}

impl Serialize for BitRange {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Bits that go from one field to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegMove {
    /// How many bits.
    pub bits: u16,
    /// Where they come from.
    pub source: Field,
    /// First bit in the source.
    pub source_offset: u16,
    /// Where they go.
    pub destination: Field,
    /// First bit in the destination.
    pub destination_offset: u16,
}

impl RegMove {
    /// A move between two ranges. The narrower range decides how many bits.
    pub fn new(source: BitRange, destination: BitRange) -> Self {
        Self {
            bits: source.bits.min(destination.bits),
            source: source.field,
            source_offset: source.offset,
            destination: destination.field,
            destination_offset: destination.offset,
        }
    }

    /// Reads the move; the ONF's form has `reserved` bytes before the fields.
    pub(super) fn decode(r: &mut Reader<'_>, reserved: usize) -> Result<Self, DecodeError> {
        let (bits, source_offset, destination_offset) = (r.u16()?, r.u16()?, r.u16()?);
        r.pad(reserved)?;
        let (source, destination) = (plain_field(r)?, plain_field(r)?);
        Ok(Self {
            bits,
            source,
            source_offset,
            destination,
            destination_offset,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>, reserved: usize) {
        w.u16(self.bits);
        w.u16(self.source_offset);
        w.u16(self.destination_offset);
        w.zeros(reserved);
        FieldHeader::from(self.source).encode(w);
        FieldHeader::from(self.destination).encode(w);
    }
}

/// `{"from": "reg0[0..15]", "to": "reg1[16..31]"}`.
impl Serialize for RegMove {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([
            (
                "from",
                BitRange::new(self.source, self.source_offset, self.bits),
            ),
            (
                "to",
                BitRange::new(self.destination, self.destination_offset, self.bits),
            ),
        ])
    }
}
