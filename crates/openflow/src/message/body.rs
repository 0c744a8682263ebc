//! Which body belongs to which type number.

use serde::Serialize;

use super::{
    AsyncConfig, BundleAdd, BundleControl, ControllerRole, ErrorMessage, Experimenter, Features,
    FlowMod, FlowRemoved, GroupMod, Hello, MeterMod, PacketIn, PacketOut, PortMod, PortStatus,
    QueueGetConfigReply, SwitchConfig, TableMod, version,
};
use crate::address::PortNo;
use crate::error::DecodeError;
use crate::multipart::{MultipartReply, MultipartRequest};
use crate::wire::{Blob, Reader, Wire, Writer};

/// What a message says (OpenFlow 1.3.5, 7.1, and the bundle messages of 1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub enum Body {
    /// 0: versions that the sender speaks.
    Hello(Hello),
    /// 1: a request was refused.
    Error(ErrorMessage),
    /// 2: send these bytes back.
    EchoRequest(Blob),
    /// 3: the bytes of the request.
    EchoReply(Blob),
    /// 4: a message of somebody else's definition.
    Experimenter(Experimenter),
    /// 5: who are you?
    FeaturesRequest,
    /// 6: what the switch is.
    FeaturesReply(Features),
    /// 7
    GetConfigRequest,
    /// 8
    GetConfigReply(SwitchConfig),
    /// 9
    SetConfig(SwitchConfig),
    /// 10: a packet for the controller.
    PacketIn(PacketIn),
    /// 11: a rule is gone.
    FlowRemoved(FlowRemoved),
    /// 12: a port came, went or changed.
    PortStatus(PortStatus),
    /// 13: a packet from the controller.
    PacketOut(PacketOut),
    /// 14: change rules.
    FlowMod(FlowMod),
    /// 15: change a group.
    GroupMod(GroupMod),
    /// 16: change a port.
    PortMod(PortMod),
    /// 17: change a table (no effect in 1.3).
    TableMod(TableMod),
    /// 18: ask for statistics or descriptions.
    MultipartRequest(MultipartRequest),
    /// 19: a part of the answer.
    MultipartReply(MultipartReply),
    /// 20: answer when all before it is done.
    BarrierRequest,
    /// 21
    BarrierReply,
    /// 22: the queues of a port.
    QueueGetConfigRequest {
        /// Port, or `any`.
        port: PortNo,
    },
    /// 23
    QueueGetConfigReply(QueueGetConfigReply),
    /// 24: take or ask for a role.
    RoleRequest(ControllerRole),
    /// 25
    RoleReply(ControllerRole),
    /// 26: which asynchronous messages does the controller get?
    GetAsyncRequest,
    /// 27
    GetAsyncReply(AsyncConfig),
    /// 28
    SetAsync(AsyncConfig),
    /// 29: change a meter.
    MeterMod(MeterMod),
    /// 33 (OpenFlow 1.4): open, close, commit or discard a bundle.
    BundleControl(BundleControl),
    /// 34 (OpenFlow 1.4): put a message in a bundle.
    BundleAdd(Box<BundleAdd>),
    /// A type that is not known, or that has another layout in the header's version.
    Opaque {
        /// Type number.
        kind: u8,
        /// What follows the header.
        data: Blob,
    },
}

/// Types whose layout OpenFlow 1.4 has changed; they are kept as bytes there.
const CHANGED_IN_14: [u8; 7] = [12, 16, 17, 26, 27, 28, 29];

impl Body {
    /// The type number.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 0,
            Self::Error(_) => 1,
            Self::EchoRequest(_) => 2,
            Self::EchoReply(_) => 3,
            Self::Experimenter(_) => 4,
            Self::FeaturesRequest => 5,
            Self::FeaturesReply(_) => 6,
            Self::GetConfigRequest => 7,
            Self::GetConfigReply(_) => 8,
            Self::SetConfig(_) => 9,
            Self::PacketIn(_) => 10,
            Self::FlowRemoved(_) => 11,
            Self::PortStatus(_) => 12,
            Self::PacketOut(_) => 13,
            Self::FlowMod(_) => 14,
            Self::GroupMod(_) => 15,
            Self::PortMod(_) => 16,
            Self::TableMod(_) => 17,
            Self::MultipartRequest(_) => 18,
            Self::MultipartReply(_) => 19,
            Self::BarrierRequest => 20,
            Self::BarrierReply => 21,
            Self::QueueGetConfigRequest { .. } => 22,
            Self::QueueGetConfigReply(_) => 23,
            Self::RoleRequest(_) => 24,
            Self::RoleReply(_) => 25,
            Self::GetAsyncRequest => 26,
            Self::GetAsyncReply(_) => 27,
            Self::SetAsync(_) => 28,
            Self::MeterMod(_) => 29,
            Self::BundleControl(_) => 33,
            Self::BundleAdd(_) => 34,
            Self::Opaque { kind, .. } => *kind,
        }
    }

    pub(super) fn decode(kind: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let of14 = r.version() != version::OF13;
        if of14 && CHANGED_IN_14.contains(&kind) {
            return Ok(Self::Opaque {
                kind,
                data: r.rest().into(),
            });
        }
        let body = match kind {
            0 => Self::Hello(Hello::decode(r)?),
            1 => Self::Error(ErrorMessage::decode(r)?),
            2 => Self::EchoRequest(r.rest().into()),
            3 => Self::EchoReply(r.rest().into()),
            4 => Self::Experimenter(Experimenter::decode(r)?),
            5 => Self::FeaturesRequest,
            6 => Self::FeaturesReply(Wire::decode(r)?),
            7 => Self::GetConfigRequest,
            8 => Self::GetConfigReply(Wire::decode(r)?),
            9 => Self::SetConfig(Wire::decode(r)?),
            10 => Self::PacketIn(Wire::decode(r)?),
            11 => Self::FlowRemoved(Wire::decode(r)?),
            12 => Self::PortStatus(Wire::decode(r)?),
            13 => Self::PacketOut(Wire::decode(r)?),
            14 => Self::FlowMod(Wire::decode(r)?),
            15 => Self::GroupMod(Wire::decode(r)?),
            16 => Self::PortMod(Wire::decode(r)?),
            17 => Self::TableMod(Wire::decode(r)?),
            18 => Self::MultipartRequest(Wire::decode(r)?),
            19 => Self::MultipartReply(Wire::decode(r)?),
            20 => Self::BarrierRequest,
            21 => Self::BarrierReply,
            22 => {
                let port = PortNo::decode(r)?;
                r.pad(4)?;
                Self::QueueGetConfigRequest { port }
            }
            23 => Self::QueueGetConfigReply(Wire::decode(r)?),
            24 => Self::RoleRequest(Wire::decode(r)?),
            25 => Self::RoleReply(Wire::decode(r)?),
            26 => Self::GetAsyncRequest,
            27 => Self::GetAsyncReply(Wire::decode(r)?),
            28 => Self::SetAsync(Wire::decode(r)?),
            29 => Self::MeterMod(Wire::decode(r)?),
            33 => Self::BundleControl(Wire::decode(r)?),
            34 => Self::BundleAdd(Box::new(Wire::decode(r)?)),
            kind => Self::Opaque {
                kind,
                data: Blob::from(r.rest()),
            },
        };
        r.finish("message")?;
        Ok(body)
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::Hello(v) => v.encode(w),
            Self::Error(v) => v.encode(w),
            Self::EchoRequest(v) | Self::EchoReply(v) => w.bytes(v),
            Self::Experimenter(v) => v.encode(w),
            Self::FeaturesRequest
            | Self::GetConfigRequest
            | Self::BarrierRequest
            | Self::BarrierReply
            | Self::GetAsyncRequest => {}
            Self::FeaturesReply(v) => v.encode(w),
            Self::GetConfigReply(v) | Self::SetConfig(v) => v.encode(w),
            Self::PacketIn(v) => v.encode(w),
            Self::FlowRemoved(v) => v.encode(w),
            Self::PortStatus(v) => v.encode(w),
            Self::PacketOut(v) => v.encode(w),
            Self::FlowMod(v) => v.encode(w),
            Self::GroupMod(v) => v.encode(w),
            Self::PortMod(v) => v.encode(w),
            Self::TableMod(v) => v.encode(w),
            Self::MultipartRequest(v) => v.encode(w),
            Self::MultipartReply(v) => v.encode(w),
            Self::QueueGetConfigRequest { port } => {
                port.encode(w);
                w.zeros(4);
            }
            Self::QueueGetConfigReply(v) => v.encode(w),
            Self::RoleRequest(v) | Self::RoleReply(v) => v.encode(w),
            Self::GetAsyncReply(v) | Self::SetAsync(v) => v.encode(w),
            Self::MeterMod(v) => v.encode(w),
            Self::BundleControl(v) => v.encode(w),
            Self::BundleAdd(v) => v.encode(w),
            Self::Opaque { data, .. } => w.bytes(data),
        }
    }
}

macro_rules! from_body {
    ($($t:ident => $variant:ident),* $(,)?) => {$(
        impl From<$t> for Body {
            fn from(v: $t) -> Self {
                Self::$variant(v)
            }
        }
    )*};
}
from_body!(
    Hello => Hello,
    ErrorMessage => Error,
    Experimenter => Experimenter,
    PacketOut => PacketOut,
    FlowMod => FlowMod,
    GroupMod => GroupMod,
    PortMod => PortMod,
    TableMod => TableMod,
    MultipartRequest => MultipartRequest,
    MultipartReply => MultipartReply,
    MeterMod => MeterMod,
    BundleControl => BundleControl,
);

impl From<BundleAdd> for Body {
    fn from(v: BundleAdd) -> Self {
        Self::BundleAdd(Box::new(v))
    }
}
