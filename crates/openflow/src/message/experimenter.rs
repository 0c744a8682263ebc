//! Messages of experimenters: the ONF's bundles for 1.3 and some of OVS's own.

use serde::Serialize;

use super::{BundleAdd, BundleControl};
use crate::error::DecodeError;
use crate::wire::{
    Blob, Reader, Wire, Writer, blob_property, decode_all, encode_all, layout, open_enum,
};

const ONF: u32 = 0x4f4e_4600;
const ONF_BUNDLE_CONTROL: u32 = 2300;
const ONF_BUNDLE_ADD: u32 = 2301;
const NICIRA: u32 = 0x2320;

/// A message of somebody else's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Experimenter {
    /// ONF extension 230: bundle control for OpenFlow 1.3.
    BundleControl(BundleControl),
    /// ONF extension 230: bundle add for OpenFlow 1.3.
    BundleAdd(Box<BundleAdd>),
    /// A message of OVS.
    Nicira(NiciraMessage),
    /// Anything else.
    Other {
        /// Whose.
        experimenter: u32,
        /// Type number of the experimenter's choice.
        kind: u32,
        /// What follows.
        data: Blob,
    },
}

/// Messages of OVS that a controller meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NiciraMessage {
    /// 16: format of packet-ins: 0 standard, 1 NXT, 2 [`PacketIn2`].
    SetPacketInFormat(u32),
    /// 20: the id that `controller` actions name.
    SetControllerId(u16),
    /// 24: change the map of tunnel options.
    TlvTableMod(TlvTableMod),
    /// 25: ask for the map of tunnel options.
    TlvTableRequest,
    /// 26: the map of tunnel options.
    TlvTableReply(TlvTableReply),
    /// 30: a packet for the controller, as properties.
    PacketIn2(PacketIn2),
}

impl NiciraMessage {
    fn kind(&self) -> u32 {
        match self {
            Self::SetPacketInFormat(_) => 16,
            Self::SetControllerId(_) => 20,
            Self::TlvTableMod(_) => 24,
            Self::TlvTableRequest => 25,
            Self::TlvTableReply(_) => 26,
            Self::PacketIn2(_) => 30,
        }
    }

    fn decode(kind: u32, r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            16 => Self::SetPacketInFormat(r.u32()?),
            20 => {
                r.pad(6)?;
                Self::SetControllerId(r.u16()?)
            }
            24 => Self::TlvTableMod(Wire::decode(r)?),
            25 => Self::TlvTableRequest,
            26 => Self::TlvTableReply(Wire::decode(r)?),
            30 => Self::PacketIn2(PacketIn2 {
                properties: decode_all(r)?,
            }),
            _ => return Ok(None),
        }))
    }

    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::SetPacketInFormat(format) => w.u32(*format),
            Self::SetControllerId(id) => {
                w.zeros(6);
                w.u16(*id);
            }
            Self::TlvTableMod(v) => v.encode(w),
            Self::TlvTableRequest => {}
            Self::TlvTableReply(v) => v.encode(w),
            Self::PacketIn2(v) => encode_all(&v.properties, w),
        }
    }
}

impl Experimenter {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let experimenter = r.u32()?;
        let kind = r.u32()?;
        match (experimenter, kind) {
            (ONF, ONF_BUNDLE_CONTROL) => Ok(Self::BundleControl(Wire::decode(r)?)),
            (ONF, ONF_BUNDLE_ADD) => Ok(Self::BundleAdd(Box::new(Wire::decode(r)?))),
            _ => {
                // Another version of OVS may mean something else: then it is carried as bytes.
                let mark = r.reserved_mark();
                let mut attempt = r.fork();
                if experimenter == NICIRA
                    && let Ok(Some(message)) = NiciraMessage::decode(kind, &mut attempt)
                    && attempt.is_empty()
                {
                    r.rest();
                    return Ok(Self::Nicira(message));
                }
                r.forget_reserved(mark);
                Ok(Self::Other {
                    experimenter,
                    kind,
                    data: r.rest().into(),
                })
            }
        }
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::BundleControl(v) => {
                w.u32(ONF);
                w.u32(ONF_BUNDLE_CONTROL);
                v.encode(w);
            }
            Self::BundleAdd(v) => {
                w.u32(ONF);
                w.u32(ONF_BUNDLE_ADD);
                v.encode(w);
            }
            Self::Nicira(v) => {
                w.u32(NICIRA);
                w.u32(v.kind());
                v.encode(w);
            }
            Self::Other {
                experimenter,
                kind,
                data,
            } => {
                w.u32(*experimenter);
                w.u32(*kind);
                w.bytes(data);
            }
        }
    }
}

open_enum! {
    /// What happens to the map of tunnel options.
    pub enum TlvTableModCommand: u16 {
        /// Add.
        Add = 0,
        /// Delete.
        Delete = 1,
        /// Delete all.
        Clear = 2,
    }
}

/// A tunnel option and the `tun_metadata` field it is seen in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlvMap {
    /// Class of the Geneve option.
    pub option_class: u16,
    /// Its type.
    pub option_type: u8,
    /// Its length in bytes, a multiple of 4.
    pub option_len: u8,
    /// Number of the field, 0 to 63.
    pub index: u16,
}

layout!(TlvMap { option_class option_type option_len index (2) });

/// Changes the map of tunnel options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvTableModCommand,
    /// Entries.
    pub maps: Vec<TlvMap>,
}

layout!(TlvTableMod { command (6) maps });

/// The map of tunnel options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlvTableReply {
    /// Bytes of options that fit.
    pub max_option_space: u32,
    /// Options that fit.
    pub max_fields: u16,
    /// Entries.
    pub maps: Vec<TlvMap>,
}

layout!(TlvTableReply { max_option_space max_fields (10) maps });

/// A packet for the controller in OVS's own form (`nx_packet_in2`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PacketIn2 {
    /// The properties in wire order.
    pub properties: Vec<PacketInProperty>,
}

open_enum! {
    /// Property numbers of [`PacketIn2`].
    pub enum PacketInPropertyKind: u16 {
        /// The packet.
        Packet = 0,
        /// Its full length.
        FullLen = 1,
        /// Where the switch keeps it.
        BufferId = 2,
        /// Table of the rule.
        TableId = 3,
        /// Cookie of the rule.
        Cookie = 4,
        /// Why.
        Reason = 5,
        /// Pipeline fields.
        Metadata = 6,
        /// Bytes of the rule's choice.
        Userdata = 7,
        /// How to go on.
        Continuation = 8,
    }
}

blob_property! {
    /// One property of [`PacketIn2`].
    pub struct PacketInProperty(PacketInPropertyKind) "packet-in property"
}
