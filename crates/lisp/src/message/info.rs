//! Info-Request and Info-Reply (draft-ermagan-lisp-nat-traversal): an ETR asks a Map-Server which
//! address and port it seems to have, and learns of NAT and of the routers that help.

use serde::Serialize;

use super::kind;
use crate::address::Address;
use crate::auth::Authentication;
use crate::error::DecodeError;
use crate::wire::{Reader, Writer, hex64, serialize_flags};

bitflags::bitflags! {
    /// Flags of an Info message, at their places in its first word.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct InfoFlags: u32 {
        /// R: this is the reply.
        const REPLY = 0x0800_0000;
        const _ = Self::WIRE;
    }
}

impl InfoFlags {
    const WIRE: u32 = 0x0fff_ffff;
}

/// Asks for or says what NAT has made of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Request or reply, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: InfoFlags,
    /// Comes back in the reply.
    #[serde(serialize_with = "hex64")]
    pub nonce: u64,
    /// Proof that the site's secret is known; see [`crate::auth`].
    pub authentication: Authentication,
    /// Minutes that the answer holds.
    pub ttl: u32,
    /// Reserved.
    #[serde(skip_serializing_if = "is_zero")]
    pub reserved: u8,
    /// Bits of the prefix that counts of `eid`.
    pub mask_len: u8,
    /// For which endpoint.
    pub eid: Address,
    /// None in a request; [`NatTraversal`](crate::lcaf::NatTraversal) in a reply.
    pub address: Address,
}

impl Info {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.u32("message header")?;
        let nonce = r.u64("nonce")?;
        let authentication = Authentication::decode(r)?;
        let ttl = r.u32("TTL")?;
        let reserved = r.u8("reserved")?;
        let mask_len = r.u8("EID mask-len")?;
        let eid = Address::decode_prefix(r, "EID prefix", mask_len)?;
        let address = Address::decode(r, "NAT traversal address")?;
        r.finish("Info message")?;
        Ok(Self {
            flags: InfoFlags::from_bits_retain(word & InfoFlags::WIRE),
            nonce,
            authentication,
            ttl,
            reserved,
            mask_len,
            eid,
            address,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.u32(u32::from(kind::INFO) << 28 | self.flags.bits() & InfoFlags::WIRE);
        w.u64(self.nonce);
        self.authentication.encode(w);
        w.u32(self.ttl);
        w.bytes(&[self.reserved, self.mask_len]);
        self.eid.encode(w);
        self.address.encode(w);
    }
}

fn is_zero(reserved: &u8) -> bool {
    *reserved == 0
}
