//! Requests.

use serde::Serialize;

use super::{FlowStatsRequest, MultipartFlags, QueueStatsRequest, TableFeatures, is_opaque};
use crate::address::PortNo;
use crate::error::DecodeError;
use crate::wire::{Blob, Reader, Wire, Writer};

/// A request, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MultipartRequest {
    /// Whether more parts follow.
    pub flags: MultipartFlags,
    /// What is asked.
    #[serde(flatten)]
    pub body: MultipartRequestBody,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "multipart", content = "request", rename_all = "snake_case")]
pub enum MultipartRequestBody {
    /// 0: maker and names.
    Desc,
    /// 1: rules.
    Flow(FlowStatsRequest),
    /// 2: sums over rules.
    Aggregate(FlowStatsRequest),
    /// 3: tables.
    Table,
    /// 4: counters of a port, or of all with `any`.
    PortStats(PortNo),
    /// 5: counters of queues.
    Queue(QueueStatsRequest),
    /// 6: counters of a group; `0xfffffffc` for all.
    Group(u32),
    /// 7: all groups.
    GroupDesc,
    /// 8: what groups can do.
    GroupFeatures,
    /// 9: counters of a meter; `0xffffffff` for all.
    Meter(u32),
    /// 10: one meter; `0xffffffff` for all.
    MeterConfig(u32),
    /// 11: what meters can do.
    MeterFeatures,
    /// 12: what tables can do; with a body, what they shall do.
    TableFeatures(Vec<TableFeatures>),
    /// 13: all ports.
    PortDesc,
    /// 0xffff: something of an experimenter.
    Experimenter {
        /// Whose.
        experimenter: u32,
        /// Type number of its choice.
        kind: u32,
        /// What follows.
        data: Blob,
    },
    /// A kind that is not known.
    Opaque {
        /// Its number.
        kind: u16,
        /// The body.
        data: Blob,
    },
}

impl From<MultipartRequestBody> for MultipartRequest {
    fn from(body: MultipartRequestBody) -> Self {
        Self {
            flags: MultipartFlags::default(),
            body,
        }
    }
}

impl From<MultipartRequestBody> for crate::message::Body {
    fn from(body: MultipartRequestBody) -> Self {
        Self::MultipartRequest(body.into())
    }
}

impl MultipartRequestBody {
    fn kind(&self) -> u16 {
        match self {
            Self::Desc => 0,
            Self::Flow(_) => 1,
            Self::Aggregate(_) => 2,
            Self::Table => 3,
            Self::PortStats(_) => 4,
            Self::Queue(_) => 5,
            Self::Group(_) => 6,
            Self::GroupDesc => 7,
            Self::GroupFeatures => 8,
            Self::Meter(_) => 9,
            Self::MeterConfig(_) => 10,
            Self::MeterFeatures => 11,
            Self::TableFeatures(_) => 12,
            Self::PortDesc => 13,
            Self::Experimenter { .. } => 0xffff,
            Self::Opaque { kind, .. } => *kind,
        }
    }
}

impl Wire for MultipartRequest {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = r.u16()?;
        let flags = MultipartFlags::decode(r)?;
        r.pad(4)?;
        let body = match kind {
            kind if is_opaque(kind, r.version()) => MultipartRequestBody::Opaque {
                kind,
                data: r.rest().into(),
            },
            0 => MultipartRequestBody::Desc,
            1 => MultipartRequestBody::Flow(Wire::decode(r)?),
            2 => MultipartRequestBody::Aggregate(Wire::decode(r)?),
            3 => MultipartRequestBody::Table,
            4 => {
                let port = PortNo::decode(r)?;
                r.pad(4)?;
                MultipartRequestBody::PortStats(port)
            }
            5 => MultipartRequestBody::Queue(Wire::decode(r)?),
            6 => MultipartRequestBody::Group(padded_id(r)?),
            7 => MultipartRequestBody::GroupDesc,
            8 => MultipartRequestBody::GroupFeatures,
            9 => MultipartRequestBody::Meter(padded_id(r)?),
            10 => MultipartRequestBody::MeterConfig(padded_id(r)?),
            11 => MultipartRequestBody::MeterFeatures,
            12 => MultipartRequestBody::TableFeatures(Wire::decode(r)?),
            13 => MultipartRequestBody::PortDesc,
            0xffff => MultipartRequestBody::Experimenter {
                experimenter: r.u32()?,
                kind: r.u32()?,
                data: r.rest().into(),
            },
            kind => MultipartRequestBody::Opaque {
                kind,
                data: r.rest().into(),
            },
        };
        Ok(Self { flags, body })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.body.kind());
        self.flags.encode(w);
        w.zeros(4);
        match &self.body {
            MultipartRequestBody::Desc
            | MultipartRequestBody::Table
            | MultipartRequestBody::GroupDesc
            | MultipartRequestBody::GroupFeatures
            | MultipartRequestBody::MeterFeatures
            | MultipartRequestBody::PortDesc => {}
            MultipartRequestBody::Flow(v) | MultipartRequestBody::Aggregate(v) => v.encode(w),
            MultipartRequestBody::PortStats(port) => {
                port.encode(w);
                w.zeros(4);
            }
            MultipartRequestBody::Queue(v) => v.encode(w),
            MultipartRequestBody::Group(id)
            | MultipartRequestBody::Meter(id)
            | MultipartRequestBody::MeterConfig(id) => {
                w.u32(*id);
                w.zeros(4);
            }
            MultipartRequestBody::TableFeatures(v) => v.encode(w),
            MultipartRequestBody::Experimenter {
                experimenter,
                kind,
                data,
            } => {
                w.u32(*experimenter);
                w.u32(*kind);
                w.bytes(data);
            }
            MultipartRequestBody::Opaque { data, .. } => w.bytes(data),
        }
    }
}

fn padded_id(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let id = r.u32()?;
    r.pad(4)?;
    Ok(id)
}
