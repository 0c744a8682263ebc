//! Map-Reply (RFC 9301, section 5.4).

use serde::Serialize;

use super::{header, kind};
use crate::error::DecodeError;
use crate::record::Record;
use crate::wire::{Blob, Reader, Writer, hex64, serialize_flags};

bitflags::bitflags! {
    /// Flags of a Map-Reply, at their places in its first word.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MapReplyFlags: u32 {
        /// P: answers a probe.
        const PROBE = 0x0800_0000;
        /// E: the sender echoes nonces of data packets.
        const ECHO_NONCE = 0x0400_0000;
        const _ = Self::WIRE;
    }
}

impl MapReplyFlags {
    const SECURITY_PRESENT: u32 = 0x0200_0000;
    const WIRE: u32 = 0x0fff_ff00 & !Self::SECURITY_PRESENT;
}

/// Answers a Map-Request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MapReply {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: MapReplyFlags,
    /// Of the request.
    #[serde(serialize_with = "hex64")]
    pub nonce: u64,
    /// The mappings. At most 255.
    pub records: Vec<Record>,
    /// S: what LISP-SEC adds (RFC 9303), unread.
    pub security: Option<Blob>,
}

impl MapReply {
    /// The bytes before the records of a plain answer with so many of them.
    pub fn head(nonce: u64, records: u8) -> [u8; 12] {
        let mut head = [0; 12];
        let (first, rest) = head.split_at_mut(4);
        first.copy_from_slice(&header(kind::MAP_REPLY, 0, records.into()).to_be_bytes());
        rest.copy_from_slice(&nonce.to_be_bytes());
        head
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.u32("message header")?;
        let nonce = r.u64("nonce")?;
        let records = r.list((word & 0xff) as usize, Record::LEAST_BYTES, Record::decode)?;
        let security = (word & MapReplyFlags::SECURITY_PRESENT != 0).then(|| Blob::from(r.rest()));
        r.finish("Map-Reply")?;
        Ok(Self {
            flags: MapReplyFlags::from_bits_retain(word & MapReplyFlags::WIRE),
            nonce,
            records,
            security,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        let records = w.count("records", self.records.len(), 0, 255);
        let mut flags = self.flags.bits() & MapReplyFlags::WIRE;
        if self.security.is_some() {
            flags |= MapReplyFlags::SECURITY_PRESENT;
        }
        w.u32(header(kind::MAP_REPLY, flags, records));
        w.u64(self.nonce);
        self.records.iter().for_each(|record| record.encode(w));
        if let Some(security) = &self.security {
            w.bytes(security);
        }
    }
}
