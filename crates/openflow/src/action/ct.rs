//! Connection tracking and address translation (`ct`, `nat`; ovs-actions(7)).

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::codec::tail;
use super::parts::plain_field;
use super::{Action, BitRange};
use crate::error::DecodeError;
use crate::oxm::FieldHeader;
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, flags};

flags! {
    /// What `ct` does besides tracking.
    pub struct CtFlags: u16 {
        /// Remember the connection.
        COMMIT = 1,
        /// Treat the packet as the connection's first.
        FORCE = 2,
    }
}

/// The zone a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum CtZone {
    /// This number.
    Number(u16),
    /// The number in a field. The action has no room for the long header of an experimenter's field.
    Field(BitRange),
}

/// Parameters of `ct`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Conntrack {
    /// What to do besides tracking.
    pub flags: CtFlags,
    /// Zone.
    pub zone: CtZone,
    /// Table that the tracked packet continues in, 255 for none.
    pub recirc_table: u8,
    /// Helper: 0 none, 21 FTP, 69 TFTP.
    pub alg: u16,
    /// Actions inside: `nat`, and setting of mark and label.
    pub actions: Vec<Action>,
}

impl Default for Conntrack {
    fn default() -> Self {
        Self {
            flags: CtFlags::default(),
            zone: CtZone::Number(0),
            recirc_table: 0xff,
            alg: 0,
            actions: Vec::new(),
        }
    }
}

impl Conntrack {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = CtFlags::decode(r)?;
        let zone = if r.fork().u32()? == 0 {
            r.u32()?;
            CtZone::Number(r.u16()?)
        } else {
            let field = plain_field(r)?;
            CtZone::Field(BitRange::unpack(r.u16()?, field))
        };
        let recirc_table = r.u8()?;
        r.pad(3)?;
        let alg = r.u16()?;
        Ok(Self {
            flags,
            zone,
            recirc_table,
            alg,
            actions: decode_all(r)?,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        self.flags.encode(w);
        match self.zone {
            CtZone::Number(zone) => {
                w.u32(0);
                w.u16(zone);
            }
            CtZone::Field(range) => {
                FieldHeader::from(range.field).encode(w);
                w.u16(range.packed());
            }
        }
        w.u8(self.recirc_table);
        w.zeros(3);
        w.u16(self.alg);
        encode_all(&self.actions, w);
    }
}

flags! {
    /// How addresses are translated.
    pub struct NatFlags: u16 {
        /// Sources.
        SRC = 1,
        /// Destinations.
        DST = 2,
        /// Keep the mapping over reboots.
        PERSISTENT = 4,
        /// Choose ports by a hash.
        PROTO_HASH = 8,
        /// Choose ports by chance.
        PROTO_RANDOM = 16,
    }
}

/// Parameters of `nat`. Without flags and ranges an existing translation is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Nat {
    /// How.
    pub flags: NatFlags,
    /// First IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_min: Option<Ipv4Addr>,
    /// Last IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_max: Option<Ipv4Addr>,
    /// First IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_min: Option<Ipv6Addr>,
    /// Last IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_max: Option<Ipv6Addr>,
    /// First port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_min: Option<u16>,
    /// Last port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_max: Option<u16>,
}

fn some<T: Wire>(present: u16, bit: u16, r: &mut Reader<'_>) -> Result<Option<T>, DecodeError> {
    if present & bit == 0 {
        Ok(None)
    } else {
        T::decode(r).map(Some)
    }
}

impl Nat {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.pad(2)?;
        let flags = NatFlags::decode(r)?;
        let present = r.u16()?;
        if present & !0x3f != 0 {
            return Err(r.error(crate::error::DecodeErrorKind::Value {
                what: "set of nat ranges",
                value: present.into(),
            }));
        }
        let nat = Self {
            flags,
            ipv4_min: some(present, 1, r)?,
            ipv4_max: some(present, 2, r)?,
            ipv6_min: some(present, 4, r)?,
            ipv6_max: some(present, 8, r)?,
            port_min: some(present, 16, r)?,
            port_max: some(present, 32, r)?,
        };
        tail(r)?;
        Ok(nat)
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.zeros(2);
        self.flags.encode(w);
        let at = w.position();
        w.u16(0);
        let mut present = 0;
        fn put<T: Wire>(v: &Option<T>, bit: usize, present: &mut usize, w: &mut Writer<'_>) {
            if let Some(v) = v {
                *present |= bit;
                v.encode(w);
            }
        }
        put(&self.ipv4_min, 1, &mut present, w);
        put(&self.ipv4_max, 2, &mut present, w);
        put(&self.ipv6_min, 4, &mut present, w);
        put(&self.ipv6_max, 8, &mut present, w);
        put(&self.port_min, 16, &mut present, w);
        put(&self.port_max, 32, &mut present, w);
        w.patch_u16(at, present, "nat");
    }
}
