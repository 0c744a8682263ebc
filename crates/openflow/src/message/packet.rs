//! Packets between switch and controller (OpenFlow 1.3.5, 7.3.7 and 7.4.1).

use serde::Serialize;

use super::flow_mod::NO_BUFFER;
use crate::action::Action;
use crate::address::PortNo;
use crate::error::DecodeError;
use crate::flow_match::Match;
use crate::oxm::Field;
use crate::wire::{Blob, Reader, Wire, Writer, decode_all, encode_all, open_enum};

open_enum! {
    /// Why the controller gets a packet.
    pub enum PacketInReason: u8 {
        /// No rule matched.
        NoMatch = 0,
        /// A rule said so.
        Action = 1,
        /// Its TTL is used up.
        InvalidTtl = 2,
        /// The action set said so (1.4).
        ActionSet = 3,
        /// A group said so (1.4).
        Group = 4,
        /// A packet-out said so (1.4).
        PacketOut = 5,
    }
}

/// A packet for the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PacketIn {
    /// Where the switch keeps the packet, or `0xffffffff`.
    pub buffer_id: u32,
    /// Full length of the packet.
    pub total_len: u16,
    /// Why.
    pub reason: PacketInReason,
    /// Table of the rule.
    pub table_id: u8,
    /// Cookie of the rule.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// Pipeline fields: input port, tunnel, metadata, registers.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The packet, perhaps cut.
    pub data: Blob,
}

impl PacketIn {
    /// The port it came in on.
    pub fn in_port(&self) -> Option<PortNo> {
        let number = self.matching.exact(Field::IN_PORT)?;
        u32::try_from(number).ok().map(PortNo)
    }
}

impl Wire for PacketIn {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut m = Self {
            buffer_id: r.u32()?,
            total_len: r.u16()?,
            reason: Wire::decode(r)?,
            table_id: r.u8()?,
            cookie: r.u64()?,
            matching: Wire::decode(r)?,
            data: Blob::default(),
        };
        r.pad(2)?;
        m.data = r.rest().into();
        Ok(m)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u32(self.buffer_id);
        w.u16(self.total_len);
        self.reason.encode(w);
        w.u8(self.table_id);
        w.u64(self.cookie);
        self.matching.encode(w);
        w.zeros(2);
        w.bytes(&self.data);
    }
}

/// A packet from the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketOut {
    /// Packet that the switch keeps, or `0xffffffff`.
    pub buffer_id: u32,
    /// Where it came from, for actions that ask; `controller` where it did not.
    pub in_port: PortNo,
    /// What to do with it.
    pub actions: Vec<Action>,
    /// The packet, if it is not a kept one.
    pub data: Blob,
}

impl PacketOut {
    /// A packet to which these actions are done.
    pub fn new(data: impl Into<Vec<u8>>, actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            buffer_id: NO_BUFFER,
            in_port: PortNo::CONTROLLER,
            actions: actions.into_iter().collect(),
            data: Blob(data.into()),
        }
    }

    /// Sets the port that the packet is said to come from.
    #[must_use]
    pub fn in_port(mut self, port: impl Into<PortNo>) -> Self {
        self.in_port = port.into();
        self
    }
}

impl Wire for PacketOut {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let buffer_id = r.u32()?;
        let in_port = PortNo::decode(r)?;
        let length = usize::from(r.u16()?);
        r.pad(6)?;
        let actions = decode_all(&mut r.sub(length)?)?;
        Ok(Self {
            buffer_id,
            in_port,
            actions,
            data: r.rest().into(),
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u32(self.buffer_id);
        self.in_port.encode(w);
        let at = w.position();
        w.u16(0);
        w.zeros(6);
        let start = w.position();
        encode_all(&self.actions, w);
        w.patch_len(at, start, "the actions of a packet-out");
        w.bytes(&self.data);
    }
}
