//! Map-Request (RFC 9301, section 5.2), with the subscription of RFC 9437.

use serde::Serialize;

use super::{header, kind};
use crate::address::Address;
use crate::eid::Eid;
use crate::error::DecodeError;
use crate::record::{Record, XtrId};
use crate::wire::{Reader, Writer, hex64, serialize_flags};

bitflags::bitflags! {
    /// Flags of a Map-Request, at their places in its first word. RFC 6830 has neither `I` nor `L`
    /// nor `D`: there they are reserved.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MapRequestFlags: u32 {
        /// A: the answer shall come from the ETR itself.
        const AUTHORITATIVE = 0x0800_0000;
        /// P: a probe of the locator that it is sent to.
        const PROBE = 0x0200_0000;
        /// S: solicits a Map-Request: the receiver's mapping is old.
        const SMR = 0x0100_0000;
        /// p: from a proxy ITR.
        const PITR = 0x0080_0000;
        /// s: was solicited.
        const SMR_INVOKED = 0x0040_0000;
        /// L: the sender and the source EID's ETR are one xTR.
        const LOCAL_XTR = 0x4000;
        /// D: no Map-Reply is wanted.
        const DONT_MAP_REPLY = 0x2000;
        const _ = Self::WIRE;
    }

    /// Flags of an EID record.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EidFlags: u32 {
        /// N: tell me of changes (RFC 9437).
        const NOTIFY = 0x80;
        const _ = 0xff;
    }
}

impl MapRequestFlags {
    pub(super) const REPLY_PRESENT: u32 = 0x0400_0000;
    pub(super) const XTR_ID_PRESENT: u32 = 0x0010_0000;
    /// What is neither type, count nor the presence of a part.
    const WIRE: u32 = 0x0fff_e000 & !(Self::REPLY_PRESENT | Self::XTR_ID_PRESENT);
}

/// Asks for mappings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapRequest {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: MapRequestFlags,
    /// Comes back in the answer.
    #[serde(serialize_with = "hex64")]
    pub nonce: u64,
    /// Whose packet made the sender ask; none in probes and subscriptions.
    pub source_eid: Address,
    /// Where the answer may go, 1 to 32. A single [`Address::None`] ends a subscription.
    pub itr_rlocs: Vec<Address>,
    /// What is asked for. At most 255; RFC 9301 wants one.
    pub records: Vec<EidRecord>,
    /// M: the sender's own mapping, to save the receiver a request.
    pub reply: Option<Record>,
    /// I: who asks. A subscription must say it.
    pub xtr: Option<XtrId>,
}

/// A prefix that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct EidRecord {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: EidFlags,
    /// Bits of the prefix that counts of `eid`.
    pub mask_len: u8,
    /// What is asked for.
    pub eid: Address,
}

impl From<Eid> for EidRecord {
    fn from(eid: Eid) -> Self {
        Self {
            flags: EidFlags::empty(),
            mask_len: eid.length(),
            eid: eid.to_address(),
        }
    }
}

impl EidRecord {
    /// What is asked for, if it can be looked up (see [`Eid::read`]).
    pub fn eid(&self) -> Option<Eid> {
        Eid::read(&self.eid, self.mask_len)
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = r.u8("EID record flags")?;
        let mask_len = r.u8("EID mask-len")?;
        Ok(Self {
            flags: EidFlags::from_bits_retain(flags.into()),
            mask_len,
            eid: Address::decode_prefix(r, "EID prefix", mask_len)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let flags = w.fit("EID record flags", self.flags.bits(), 8);
        w.bytes(&[flags as u8, self.mask_len]);
        self.eid.encode(w);
    }
}

impl MapRequest {
    /// Asks where `eid` is; the answer goes to `rloc`.
    pub fn new(nonce: u64, eid: Eid, rloc: impl Into<Address>) -> Self {
        Self {
            flags: MapRequestFlags::empty(),
            nonce,
            source_eid: Address::None,
            itr_rlocs: vec![rloc.into()],
            records: vec![eid.into()],
            reply: None,
            xtr: None,
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.u32("message header")?;
        let nonce = r.u64("nonce")?;
        let source_eid = Address::decode(r, "source EID")?;
        let rlocs = (word >> 8 & 0x1f) as usize + 1;
        let itr_rlocs = r.list(rlocs, 2, |r| Address::decode(r, "ITR-RLOC"))?;
        let records = r.list((word & 0xff) as usize, 4, EidRecord::decode)?;
        let reply = if word & MapRequestFlags::REPLY_PRESENT != 0 {
            Some(Record::decode(r)?)
        } else {
            None
        };
        let xtr = if word & MapRequestFlags::XTR_ID_PRESENT != 0 {
            Some(XtrId::decode(r)?)
        } else {
            None
        };
        r.finish("Map-Request")?;
        Ok(Self {
            flags: MapRequestFlags::from_bits_retain(word & MapRequestFlags::WIRE),
            nonce,
            source_eid,
            itr_rlocs,
            records,
            reply,
            xtr,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        let rlocs = w.count("ITR-RLOCs", self.itr_rlocs.len(), 1, 32) - 1;
        let records = w.count("records", self.records.len(), 0, 255);
        let mut flags = self.flags.bits() & MapRequestFlags::WIRE | rlocs << 8;
        if self.reply.is_some() {
            flags |= MapRequestFlags::REPLY_PRESENT;
        }
        if self.xtr.is_some() {
            flags |= MapRequestFlags::XTR_ID_PRESENT;
        }
        w.u32(header(kind::MAP_REQUEST, flags, records));
        w.u64(self.nonce);
        self.source_eid.encode(w);
        self.itr_rlocs.iter().for_each(|rloc| rloc.encode(w));
        self.records.iter().for_each(|record| record.encode(w));
        if let Some(reply) = &self.reply {
            reply.encode(w);
        }
        if let Some(xtr) = &self.xtr {
            xtr.encode(w);
        }
    }
}
