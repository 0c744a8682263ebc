//! Replies.

use serde::Serialize;

use super::{
    AggregateStats, FlowStats, GroupDesc, GroupFeatures, GroupStats, MeterConfig, MeterFeatures,
    MeterStats, MultipartFlags, PortStats, QueueStats, SwitchDesc, TableFeatures, TableStats,
    is_opaque,
};
use crate::error::DecodeError;
use crate::message::Port;
use crate::wire::{Blob, Reader, Wire, Writer};

/// A reply, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MultipartReply {
    /// Whether more parts follow.
    pub flags: MultipartFlags,
    /// The answer.
    #[serde(flatten)]
    pub body: MultipartReplyBody,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "multipart", content = "reply", rename_all = "snake_case")]
pub enum MultipartReplyBody {
    /// 0: maker and names.
    Desc(Box<SwitchDesc>),
    /// 1: rules.
    Flow(Vec<FlowStats>),
    /// 2: sums over rules.
    Aggregate(AggregateStats),
    /// 3: tables.
    Table(Vec<TableStats>),
    /// 4: counters of ports.
    PortStats(Vec<PortStats>),
    /// 5: counters of queues.
    Queue(Vec<QueueStats>),
    /// 6: counters of groups.
    Group(Vec<GroupStats>),
    /// 7: groups.
    GroupDesc(Vec<GroupDesc>),
    /// 8: what groups can do.
    GroupFeatures(GroupFeatures),
    /// 9: counters of meters.
    Meter(Vec<MeterStats>),
    /// 10: meters.
    MeterConfig(Vec<MeterConfig>),
    /// 11: what meters can do.
    MeterFeatures(MeterFeatures),
    /// 12: what tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// 13: ports.
    PortDesc(Vec<Port>),
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

impl From<MultipartReplyBody> for MultipartReply {
    fn from(body: MultipartReplyBody) -> Self {
        Self {
            flags: MultipartFlags::default(),
            body,
        }
    }
}

impl MultipartReplyBody {
    fn kind(&self) -> u16 {
        match self {
            Self::Desc(_) => 0,
            Self::Flow(_) => 1,
            Self::Aggregate(_) => 2,
            Self::Table(_) => 3,
            Self::PortStats(_) => 4,
            Self::Queue(_) => 5,
            Self::Group(_) => 6,
            Self::GroupDesc(_) => 7,
            Self::GroupFeatures(_) => 8,
            Self::Meter(_) => 9,
            Self::MeterConfig(_) => 10,
            Self::MeterFeatures(_) => 11,
            Self::TableFeatures(_) => 12,
            Self::PortDesc(_) => 13,
            Self::Experimenter { .. } => 0xffff,
            Self::Opaque { kind, .. } => *kind,
        }
    }

    /// Puts the next part of the same answer behind this one. Answers without a list are replaced.
    pub fn extend(&mut self, next: Self) {
        match (self, next) {
            (Self::Flow(all), Self::Flow(more)) => all.extend(more),
            (Self::Table(all), Self::Table(more)) => all.extend(more),
            (Self::PortStats(all), Self::PortStats(more)) => all.extend(more),
            (Self::Queue(all), Self::Queue(more)) => all.extend(more),
            (Self::Group(all), Self::Group(more)) => all.extend(more),
            (Self::GroupDesc(all), Self::GroupDesc(more)) => all.extend(more),
            (Self::Meter(all), Self::Meter(more)) => all.extend(more),
            (Self::MeterConfig(all), Self::MeterConfig(more)) => all.extend(more),
            (Self::TableFeatures(all), Self::TableFeatures(more)) => all.extend(more),
            (Self::PortDesc(all), Self::PortDesc(more)) => all.extend(more),
            (
                Self::Experimenter {
                    experimenter,
                    kind,
                    data,
                },
                Self::Experimenter {
                    experimenter: e,
                    kind: k,
                    data: more,
                },
            ) if *experimenter == e && *kind == k => data.0.extend(more.0),
            (
                Self::Opaque { kind, data },
                Self::Opaque {
                    kind: k,
                    data: more,
                },
            ) if *kind == k => {
                data.0.extend(more.0);
            }
            (this, next) => *this = next,
        }
    }
}

impl Wire for MultipartReply {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = r.u16()?;
        let flags = MultipartFlags::decode(r)?;
        r.pad(4)?;
        let body = match kind {
            kind if is_opaque(kind, r.version()) => MultipartReplyBody::Opaque {
                kind,
                data: r.rest().into(),
            },
            0 => MultipartReplyBody::Desc(Box::new(Wire::decode(r)?)),
            1 => MultipartReplyBody::Flow(Wire::decode(r)?),
            2 => MultipartReplyBody::Aggregate(Wire::decode(r)?),
            3 => MultipartReplyBody::Table(Wire::decode(r)?),
            4 => MultipartReplyBody::PortStats(Wire::decode(r)?),
            5 => MultipartReplyBody::Queue(Wire::decode(r)?),
            6 => MultipartReplyBody::Group(Wire::decode(r)?),
            7 => MultipartReplyBody::GroupDesc(Wire::decode(r)?),
            8 => MultipartReplyBody::GroupFeatures(Wire::decode(r)?),
            9 => MultipartReplyBody::Meter(Wire::decode(r)?),
            10 => MultipartReplyBody::MeterConfig(Wire::decode(r)?),
            11 => MultipartReplyBody::MeterFeatures(Wire::decode(r)?),
            12 => MultipartReplyBody::TableFeatures(Wire::decode(r)?),
            13 => MultipartReplyBody::PortDesc(Wire::decode(r)?),
            0xffff => MultipartReplyBody::Experimenter {
                experimenter: r.u32()?,
                kind: r.u32()?,
                data: r.rest().into(),
            },
            kind => MultipartReplyBody::Opaque {
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
            MultipartReplyBody::Desc(v) => v.encode(w),
            MultipartReplyBody::Flow(v) => v.encode(w),
            MultipartReplyBody::Aggregate(v) => v.encode(w),
            MultipartReplyBody::Table(v) => v.encode(w),
            MultipartReplyBody::PortStats(v) => v.encode(w),
            MultipartReplyBody::Queue(v) => v.encode(w),
            MultipartReplyBody::Group(v) => v.encode(w),
            MultipartReplyBody::GroupDesc(v) => v.encode(w),
            MultipartReplyBody::GroupFeatures(v) => v.encode(w),
            MultipartReplyBody::Meter(v) => v.encode(w),
            MultipartReplyBody::MeterConfig(v) => v.encode(w),
            MultipartReplyBody::MeterFeatures(v) => v.encode(w),
            MultipartReplyBody::TableFeatures(v) => v.encode(w),
            MultipartReplyBody::PortDesc(v) => v.encode(w),
            MultipartReplyBody::Experimenter {
                experimenter,
                kind,
                data,
            } => {
                w.u32(*experimenter);
                w.u32(*kind);
                w.bytes(data);
            }
            MultipartReplyBody::Opaque { data, .. } => w.bytes(data),
        }
    }
}
