//! What a rule does with its packets (OpenFlow 1.3.5, 7.2.4).

use serde::Serialize;

use crate::action::Action;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Blob, Reader, Wire, Writer, decode_all, encode_all};

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Instruction {
    /// Continue in a later table.
    GotoTable(u8),
    /// Change bits of the metadata.
    WriteMetadata {
        /// Value.
        #[serde(serialize_with = "crate::wire::hex64")]
        metadata: u64,
        /// Bits that count.
        #[serde(serialize_with = "crate::wire::hex64")]
        mask: u64,
    },
    /// Add to the action set, which runs at the end of the pipeline.
    WriteActions(Vec<Action>),
    /// Do now.
    ApplyActions(Vec<Action>),
    /// Empty the action set.
    ClearActions,
    /// Send through a meter.
    Meter(u32),
    /// An instruction of an experimenter.
    Experimenter {
        /// Whose.
        experimenter: u32,
        /// What follows the experimenter number.
        data: Blob,
    },
    /// An instruction of a type that is not known.
    Unknown {
        /// The type number.
        kind: u16,
        /// What follows type and length.
        data: Blob,
    },
}

impl Wire for Instruction {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.peek_u16(2)?);
        if length < 4 {
            return Err(r.error(DecodeErrorKind::Length {
                what: "instruction",
                length,
            }));
        }
        let mut body = r.sub(length)?;
        let kind = body.u16()?;
        body.u16()?;
        let instruction = match kind {
            1 => {
                let table = body.u8()?;
                body.pad(3)?;
                Self::GotoTable(table)
            }
            2 => {
                body.pad(4)?;
                Self::WriteMetadata {
                    metadata: body.u64()?,
                    mask: body.u64()?,
                }
            }
            3 | 4 => {
                body.pad(4)?;
                let actions = decode_all(&mut body)?;
                if kind == 3 {
                    Self::WriteActions(actions)
                } else {
                    Self::ApplyActions(actions)
                }
            }
            5 => {
                body.pad(4)?;
                Self::ClearActions
            }
            6 => Self::Meter(body.u32()?),
            0xffff => Self::Experimenter {
                experimenter: body.u32()?,
                data: body.rest().into(),
            },
            kind => Self::Unknown {
                kind,
                data: body.rest().into(),
            },
        };
        body.finish("instruction")?;
        Ok(instruction)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(match self {
            Self::GotoTable(_) => 1,
            Self::WriteMetadata { .. } => 2,
            Self::WriteActions(_) => 3,
            Self::ApplyActions(_) => 4,
            Self::ClearActions => 5,
            Self::Meter(_) => 6,
            Self::Experimenter { .. } => 0xffff,
            Self::Unknown { kind, .. } => *kind,
        });
        w.u16(0);
        match self {
            Self::GotoTable(table) => {
                w.u8(*table);
                w.zeros(3);
            }
            Self::WriteMetadata { metadata, mask } => {
                w.zeros(4);
                w.u64(*metadata);
                w.u64(*mask);
            }
            Self::WriteActions(actions) | Self::ApplyActions(actions) => {
                w.zeros(4);
                encode_all(actions, w);
            }
            Self::ClearActions => w.zeros(4),
            Self::Meter(id) => w.u32(*id),
            Self::Experimenter { experimenter, data } => {
                w.u32(*experimenter);
                w.bytes(data);
            }
            Self::Unknown { data, .. } => w.bytes(data),
        }
        w.patch_len(start + 2, start, "an instruction");
    }
}
