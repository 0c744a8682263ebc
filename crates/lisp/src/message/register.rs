//! Map-Register, Map-Notify and Map-Notify-Ack (RFC 9301, sections 5.6 and 5.7): one layout, and the
//! only messages of the RFC that are authenticated.
//!
//! What follows the last part that the RFC defines is kept as it is. Others put things there: an RTR
//! its own authentication (draft-ermagan-lisp-nat-traversal), lispers.net the xTR-ID of the
//! registration without the flag that says so.

use serde::Serialize;

use super::{header, kind};
use crate::auth::Authentication;
use crate::error::DecodeError;
use crate::record::{Record, XtrId};
use crate::wire::{Blob, Reader, Writer, hex64, serialize_flags};

bitflags::bitflags! {
    /// Flags of a Map-Register, at their places in its first word. RFC 6830 has `P` and `M` only.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MapRegisterFlags: u32 {
        /// P: the Map-Server shall answer for the ETR.
        const PROXY_REPLY = 0x0800_0000;
        /// S: the ETR knows LISP-SEC.
        const SECURITY_CAPABLE = 0x0400_0000;
        /// R: goes through an RTR (draft-ermagan-lisp-nat-traversal).
        const RTR = 0x0100_0000;
        /// E: tell the others in the site of moved EIDs.
        const EID_NOTIFY = 0x1000;
        /// T: the records' TTL is how long the registration holds.
        const USE_TTL = 0x0800;
        /// a: add to what others have registered for the same prefix.
        const MERGE = 0x0400;
        /// M: confirm with a Map-Notify.
        const WANT_NOTIFY = 0x0100;
        const _ = Self::WIRE;
    }

    /// Flags of Map-Notify and Map-Notify-Ack, at their places in the first word.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MapNotifyFlags: u32 {
        /// R: goes through an RTR (draft-ermagan-lisp-nat-traversal).
        const RTR = 0x0400_0000;
        const _ = Self::WIRE;
    }
}

impl MapRegisterFlags {
    const XTR_ID_PRESENT: u32 = 0x0200_0000;
    const WIRE: u32 = 0x0fff_ff00 & !Self::XTR_ID_PRESENT;
}

impl MapNotifyFlags {
    const XTR_ID_PRESENT: u32 = 0x0800_0000;
    const WIRE: u32 = 0x0fff_ff00 & !Self::XTR_ID_PRESENT;
}

/// An ETR says what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MapRegister {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: MapRegisterFlags,
    /// One more in each registration, against replay; always 0 from an ETR of RFC 6830's time.
    #[serde(serialize_with = "hex64")]
    pub nonce: u64,
    /// Proof that the site's secret is known; see [`crate::auth`].
    pub authentication: Authentication,
    /// The mappings. At most 255.
    pub records: Vec<Record>,
    /// I: who registers.
    pub xtr: Option<XtrId>,
    /// What follows, unread.
    #[serde(skip_serializing_if = "Blob::is_empty")]
    pub trailing: Blob,
}

/// A confirmation, a notification of a change, or the acknowledgement of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MapNotify {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: MapNotifyFlags,
    /// Of the registration that is confirmed; in publications see [`crate::subscription`].
    #[serde(serialize_with = "hex64")]
    pub nonce: u64,
    /// Proof that the secret is known; see [`crate::auth`].
    pub authentication: Authentication,
    /// The mappings. At most 255.
    pub records: Vec<Record>,
    /// I: whom it is for.
    pub xtr: Option<XtrId>,
    /// What follows, unread.
    #[serde(skip_serializing_if = "Blob::is_empty")]
    pub trailing: Blob,
}

/// What both have behind their flags.
struct Parts<'a> {
    nonce: u64,
    authentication: &'a Authentication,
    records: &'a [Record],
    xtr: Option<&'a XtrId>,
    trailing: &'a Blob,
}

impl Parts<'_> {
    fn encode(&self, kind: u8, flags: u32, w: &mut Writer<'_>) {
        let count = w.count("records", self.records.len(), 0, 255);
        w.u32(header(kind, flags, count));
        w.u64(self.nonce);
        self.authentication.encode(w);
        self.records.iter().for_each(|record| record.encode(w));
        if let Some(xtr) = self.xtr {
            xtr.encode(w);
        }
        w.bytes(self.trailing);
    }
}

impl MapRegister {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.u32("message header")?;
        Ok(Self {
            flags: MapRegisterFlags::from_bits_retain(word & MapRegisterFlags::WIRE),
            nonce: r.u64("nonce")?,
            authentication: Authentication::decode(r)?,
            records: r.list((word & 0xff) as usize, Record::LEAST_BYTES, Record::decode)?,
            xtr: xtr(word & MapRegisterFlags::XTR_ID_PRESENT, r)?,
            trailing: r.rest().into(),
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        let mut flags = self.flags.bits() & MapRegisterFlags::WIRE;
        if self.xtr.is_some() {
            flags |= MapRegisterFlags::XTR_ID_PRESENT;
        }
        let parts = Parts {
            nonce: self.nonce,
            authentication: &self.authentication,
            records: &self.records,
            xtr: self.xtr.as_ref(),
            trailing: &self.trailing,
        };
        parts.encode(kind::MAP_REGISTER, flags, w);
    }
}

impl MapNotify {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.u32("message header")?;
        Ok(Self {
            flags: MapNotifyFlags::from_bits_retain(word & MapNotifyFlags::WIRE),
            nonce: r.u64("nonce")?,
            authentication: Authentication::decode(r)?,
            records: r.list((word & 0xff) as usize, Record::LEAST_BYTES, Record::decode)?,
            xtr: xtr(word & MapNotifyFlags::XTR_ID_PRESENT, r)?,
            trailing: r.rest().into(),
        })
    }

    pub(super) fn encode(&self, kind: u8, w: &mut Writer<'_>) {
        let mut flags = self.flags.bits() & MapNotifyFlags::WIRE;
        if self.xtr.is_some() {
            flags |= MapNotifyFlags::XTR_ID_PRESENT;
        }
        let parts = Parts {
            nonce: self.nonce,
            authentication: &self.authentication,
            records: &self.records,
            xtr: self.xtr.as_ref(),
            trailing: &self.trailing,
        };
        parts.encode(kind, flags, w);
    }
}

fn xtr(present: u32, r: &mut Reader<'_>) -> Result<Option<XtrId>, DecodeError> {
    match present {
        0 => Ok(None),
        _ => XtrId::decode(r).map(Some),
    }
}
