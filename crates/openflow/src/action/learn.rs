//! The `learn` action: a rule that makes rules (ovs-actions(7)).
//!
//! Each part of the new rule is a [`LearnSpec`]. On the wire it begins with 16 bits: where the bits
//! come from (bit 13), where they go (bits 11 and 12), how many (bits 0 to 10). Zero ends the list.

use serde::Serialize;

use super::BitRange;
use super::codec::tail;
use super::parts::plain_field;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::oxm::{Field, FieldHeader};
use crate::wire::{Blob, Reader, Wire, Writer, encode_all, flags};

flags! {
    /// How the new rule behaves.
    pub struct LearnFlags: u16 {
        /// Report when the new rule goes.
        SEND_FLOW_REM = 1,
        /// Delete the new rules when this one goes.
        DELETE_LEARNED = 2,
        /// Say in a field whether the limit allowed the rule.
        WRITE_RESULT = 4,
    }
}

/// Parameters of `learn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Learn {
    /// Idle timeout in seconds.
    pub idle_timeout: u16,
    /// Hard timeout in seconds.
    pub hard_timeout: u16,
    /// Priority of the new rule.
    pub priority: u16,
    /// Cookie of the new rule.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// How it behaves.
    pub flags: LearnFlags,
    /// Table it goes to.
    pub table_id: u8,
    /// Idle timeout after FIN.
    pub fin_idle_timeout: u16,
    /// Hard timeout after FIN.
    pub fin_hard_timeout: u16,
    /// A limit for the number of rules; makes it the second form of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LearnLimit>,
    /// The parts of the new rule.
    pub specs: Vec<LearnSpec>,
}

/// How many rules may be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LearnLimit {
    /// Rules with this cookie in the table; 0 for no limit.
    pub limit: u32,
    /// Bit that becomes 1 if the rule could be learned (with `WRITE_RESULT`).
    pub result_offset: u16,
    /// Field of that bit.
    pub result: Option<Field>,
}

/// One part of a learned rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LearnSpec {
    /// How many bits (11 bits of number).
    pub bits: u16,
    /// Where they come from.
    pub source: LearnSource,
    /// Where they go.
    pub destination: LearnDestination,
}

/// Where bits of a learned rule come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnSource {
    /// The packet, from this bit of this field on.
    Field(Field, u16),
    /// A constant in an even number of bytes, right aligned.
    Value(Blob),
}

/// Where bits of a learned rule go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnDestination {
    /// The match of the new rule, from this bit of this field on.
    Match(Field, u16),
    /// A `load` action of the new rule.
    Load(Field, u16),
    /// The port of an output action of the new rule.
    Output,
}

impl LearnSpec {
    /// The new rule matches on the same bits that this packet has.
    pub fn match_field(range: impl Into<BitRange>) -> Self {
        let range = range.into();
        Self {
            bits: range.bits,
            source: LearnSource::Field(range.field, range.offset),
            destination: LearnDestination::Match(range.field, range.offset),
        }
    }

    /// The new rule matches on other bits of this packet.
    pub fn match_from(range: impl Into<BitRange>, source: impl Into<BitRange>) -> Self {
        let (range, source) = (range.into(), source.into());
        Self {
            bits: range.bits,
            source: LearnSource::Field(source.field, source.offset),
            destination: LearnDestination::Match(range.field, range.offset),
        }
    }

    /// The new rule sets bits to what this packet has.
    pub fn load_from(source: impl Into<BitRange>, range: impl Into<BitRange>) -> Self {
        let (range, source) = (range.into(), source.into());
        Self {
            bits: range.bits,
            source: LearnSource::Field(source.field, source.offset),
            destination: LearnDestination::Load(range.field, range.offset),
        }
    }

    /// The new rule sends to the port in these bits.
    pub fn output(source: impl Into<BitRange>) -> Self {
        let source = source.into();
        Self {
            bits: source.bits,
            source: LearnSource::Field(source.field, source.offset),
            destination: LearnDestination::Output,
        }
    }
}

impl Wire for LearnSpec {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let header = r.u16()?;
        let bits = header & 0x7ff;
        if header >> 14 != 0 {
            let value = header.into();
            return Err(at.error(DecodeErrorKind::Value {
                what: "learn header",
                value,
            }));
        }
        let source = if header & 0x2000 == 0 {
            LearnSource::Field(plain_field(r)?, r.u16()?)
        } else {
            LearnSource::Value(r.take(usize::from(bits.div_ceil(16)) * 2)?.into())
        };
        let destination = match header >> 11 & 3 {
            0 => LearnDestination::Match(plain_field(r)?, r.u16()?),
            1 => LearnDestination::Load(plain_field(r)?, r.u16()?),
            2 => LearnDestination::Output,
            other => {
                let value = other.into();
                return Err(at.error(DecodeErrorKind::Value {
                    what: "learn target",
                    value,
                }));
            }
        };
        Ok(Self {
            bits,
            source,
            destination,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let target = match self.destination {
            LearnDestination::Match(..) => 0,
            LearnDestination::Load(..) => 1 << 11,
            LearnDestination::Output => 2 << 11,
        };
        let constant = match self.source {
            LearnSource::Field(..) => 0,
            LearnSource::Value(_) => 0x2000,
        };
        w.u16(self.bits & 0x7ff | target | constant);
        match &self.source {
            LearnSource::Field(field, offset) => put(*field, *offset, w),
            LearnSource::Value(bytes) => {
                // The reader derives the number of bytes from the number of bits.
                let want = usize::from((self.bits & 0x7ff).div_ceil(16)) * 2;
                w.zeros(want.saturating_sub(bytes.len()));
                w.bytes(
                    bytes
                        .get(bytes.len().saturating_sub(want)..)
                        .unwrap_or_default(),
                );
            }
        }
        match self.destination {
            LearnDestination::Match(field, offset) | LearnDestination::Load(field, offset) => {
                put(field, offset, w);
            }
            LearnDestination::Output => {}
        }
    }
}

fn put(field: Field, offset: u16, w: &mut Writer<'_>) {
    FieldHeader::from(field).encode(w);
    w.u16(offset);
}

impl Learn {
    pub(super) fn decode(r: &mut Reader<'_>, limited: bool) -> Result<Self, DecodeError> {
        let mut learn = Self {
            idle_timeout: r.u16()?,
            hard_timeout: r.u16()?,
            priority: r.u16()?,
            cookie: r.u64()?,
            flags: LearnFlags::decode(r)?,
            table_id: r.u8()?,
            ..Self::default()
        };
        r.pad(1)?;
        learn.fin_idle_timeout = r.u16()?;
        learn.fin_hard_timeout = r.u16()?;
        if limited {
            let limit = r.u32()?;
            let result_offset = r.u16()?;
            r.pad(2)?;
            let result = if learn.flags.contains(LearnFlags::WRITE_RESULT) {
                Some(plain_field(r)?)
            } else {
                None
            };
            learn.limit = Some(LearnLimit {
                limit,
                result_offset,
                result,
            });
        }
        while r.remaining() >= 2 && r.peek_u16(0)? != 0 {
            learn.specs.push(LearnSpec::decode(r)?);
        }
        tail(r)?;
        Ok(learn)
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.idle_timeout);
        w.u16(self.hard_timeout);
        w.u16(self.priority);
        w.u64(self.cookie);
        self.flags.encode(w);
        w.u8(self.table_id);
        w.zeros(1);
        w.u16(self.fin_idle_timeout);
        w.u16(self.fin_hard_timeout);
        if let Some(limit) = &self.limit {
            w.u32(limit.limit);
            w.u16(limit.result_offset);
            w.zeros(2);
            if let Some(field) = limit.result {
                FieldHeader::from(field).encode(w);
            }
        }
        encode_all(&self.specs, w);
    }
}
