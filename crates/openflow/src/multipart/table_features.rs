//! What a table can do (OpenFlow 1.3.5, 7.3.5.5).

use serde::Serialize;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::oxm::FieldHeader;
use crate::wire::{Blob, FixedText, Reader, Wire, Writer, decode_tlv, encode_tlv};

/// Features of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableFeatures {
    /// Table.
    pub table_id: u8,
    /// Name.
    pub name: FixedText<32>,
    /// Bits of metadata that can be matched.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub metadata_match: u64,
    /// Bits of metadata that can be written.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub metadata_write: u64,
    /// Bits of table configuration.
    pub config: u32,
    /// Most rules.
    pub max_entries: u32,
    /// The rest.
    pub properties: Vec<TableProperty>,
}

impl Wire for TableFeatures {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "table features",
                length,
            }));
        };
        let mut r = r.sub(rest)?;
        let table_id = r.u8()?;
        r.pad(5)?;
        Ok(Self {
            table_id,
            name: Wire::decode(&mut r)?,
            metadata_match: r.u64()?,
            metadata_write: r.u64()?,
            config: r.u32()?,
            max_entries: r.u32()?,
            properties: Wire::decode(&mut r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(0);
        w.u8(self.table_id);
        w.zeros(5);
        self.name.encode(w);
        w.u64(self.metadata_match);
        w.u64(self.metadata_write);
        w.u32(self.config);
        w.u32(self.max_entries);
        self.properties.encode(w);
        w.patch_len(start, start, "table features");
    }
}

/// Names an instruction or action: its type, and for experimenters what follows the header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeatureId {
    /// Type number.
    pub kind: u16,
    /// Empty for standard types.
    pub data: Blob,
}

impl Wire for FeatureId {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let kind = r.u16()?;
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(4) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "feature id",
                length,
            }));
        };
        Ok(Self {
            kind,
            data: r.take(rest)?.into(),
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(self.kind);
        w.u16(0);
        w.bytes(&self.data);
        w.patch_len(start + 2, start, "a feature id");
    }
}

/// One feature. `miss` says that it is the table-miss rule's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableProperty {
    /// Instructions.
    Instructions {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        ids: Vec<FeatureId>,
    },
    /// Tables that `goto` can name.
    NextTables {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        tables: Vec<u8>,
    },
    /// Actions in the action set.
    WriteActions {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        ids: Vec<FeatureId>,
    },
    /// Actions at once.
    ApplyActions {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        ids: Vec<FeatureId>,
    },
    /// Fields that can be matched.
    Match(Vec<FieldHeader>),
    /// Fields that can be left out.
    Wildcards(Vec<FieldHeader>),
    /// Fields that the action set can set.
    WriteSetField {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        fields: Vec<FieldHeader>,
    },
    /// Fields that can be set at once.
    ApplySetField {
        /// Of the table-miss rule.
        miss: bool,
        /// Which.
        fields: Vec<FieldHeader>,
    },
    /// A property that is not known, or does not have its usual layout.
    Unknown {
        /// Number.
        kind: u16,
        /// Its bytes.
        data: Blob,
    },
}

impl TableProperty {
    fn kind(&self) -> u16 {
        match self {
            Self::Instructions { miss, .. } => u16::from(*miss),
            Self::NextTables { miss, .. } => 2 + u16::from(*miss),
            Self::WriteActions { miss, .. } => 4 + u16::from(*miss),
            Self::ApplyActions { miss, .. } => 6 + u16::from(*miss),
            Self::Match(_) => 8,
            Self::Wildcards(_) => 10,
            Self::WriteSetField { miss, .. } => 12 + u16::from(*miss),
            Self::ApplySetField { miss, .. } => 14 + u16::from(*miss),
            Self::Unknown { kind, .. } => *kind,
        }
    }

    fn known(kind: u16, r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let miss = kind % 2 == 1;
        Ok(Some(match kind {
            0 | 1 => Self::Instructions {
                miss,
                ids: Wire::decode(r)?,
            },
            2 | 3 => Self::NextTables {
                miss,
                tables: r.rest().to_vec(),
            },
            4 | 5 => Self::WriteActions {
                miss,
                ids: Wire::decode(r)?,
            },
            6 | 7 => Self::ApplyActions {
                miss,
                ids: Wire::decode(r)?,
            },
            8 => Self::Match(Wire::decode(r)?),
            10 => Self::Wildcards(Wire::decode(r)?),
            12 | 13 => Self::WriteSetField {
                miss,
                fields: Wire::decode(r)?,
            },
            14 | 15 => Self::ApplySetField {
                miss,
                fields: Wire::decode(r)?,
            },
            _ => return Ok(None),
        }))
    }
}

impl Wire for TableProperty {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, mut body) = decode_tlv(r, "table property")?;
        // Switches disagree about the length that belongs to a field that can be masked: such a
        // list is carried as bytes.
        match Self::known(kind, &mut body.fork()) {
            Ok(Some(property)) => Ok(property),
            _ => Ok(Self::Unknown {
                kind,
                data: body.rest().into(),
            }),
        }
    }

    fn encode(&self, w: &mut Writer<'_>) {
        encode_tlv(self.kind(), w, "a table property", |w| match self {
            Self::Instructions { ids, .. }
            | Self::WriteActions { ids, .. }
            | Self::ApplyActions { ids, .. } => ids.encode(w),
            Self::NextTables { tables, .. } => w.bytes(tables),
            Self::Match(fields)
            | Self::Wildcards(fields)
            | Self::WriteSetField { fields, .. }
            | Self::ApplySetField { fields, .. } => fields.encode(w),
            Self::Unknown { data, .. } => w.bytes(data),
        });
    }
}
