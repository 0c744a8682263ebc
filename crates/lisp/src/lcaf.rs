//! LISP canonical address format, RFC 8060: addresses with more to them than a number.
//!
//! Instance ids, lists of addresses, NAT traversal and explicit locator paths are understood. All
//! other types keep their bytes, as do those that hold an address family without a known length.

use serde::Serialize;

use crate::address::Address;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Blob, Reader, Writer, serialize_flags};

/// Type numbers of RFC 8060 that are understood.
mod kind {
    pub(super) const AFI_LIST: u8 = 1;
    pub(super) const INSTANCE: u8 = 2;
    pub(super) const NAT_TRAVERSAL: u8 = 7;
    pub(super) const EXPLICIT_PATH: u8 = 10;
}

/// A structured address.
///
/// ```text
///  0               1               2               3
/// +-------------------------------+---------------+---------------+
/// |          AFI = 16387          |    Rsvd1      |     Flags     |
/// +---------------+---------------+---------------+---------------+
/// |     Type      |     Rsvd2     |            Length             |
/// +---------------+---------------+-------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Lcaf {
    /// Bytes of the header that have no meaning, or one that depends on the type.
    #[serde(skip_serializing_if = "LcafHeader::is_zero")]
    pub header: LcafHeader,
    /// What it says.
    #[serde(flatten)]
    pub body: LcafBody,
}

/// The bytes of the header that are zero in nearly every address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct LcafHeader {
    /// Reserved.
    pub reserved1: u8,
    /// Flags of the type.
    pub flags: u8,
    /// Reserved; for an instance id the length in bits of its mask, for a range of instances.
    pub reserved2: u8,
}

impl LcafHeader {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// What a structured address says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LcafBody {
    /// Type 1: several addresses of one thing.
    AfiList(Vec<Address>),
    /// Type 2: an address in one of many address spaces.
    Instance {
        /// Instance id. The data header carries 24 bits of it.
        instance: u32,
        /// The address in there.
        address: Address,
    },
    /// Type 7: what stands between an ETR and its Map-Server.
    NatTraversal(NatTraversal),
    /// Type 10: the hops of a path, first one first.
    ExplicitPath(Vec<Hop>),
    /// Any other type.
    Opaque {
        /// Type number.
        kind: u8,
        /// Bytes behind the length.
        data: Blob,
    },
}

/// Addresses and ports around a NAT (RFC 8060, section 4.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NatTraversal {
    /// UDP port that the Map-Server received from or answers at; 0 unless NAT changed it.
    pub ms_port: u16,
    /// UDP port that the ETR's datagrams have behind the NAT.
    pub etr_port: u16,
    /// The ETR as the outside sees it.
    pub global_etr: Address,
    /// The Map-Server.
    pub ms: Address,
    /// The ETR as it sees itself.
    pub private_etr: Address,
    /// Re-encapsulating routers that reach the ETR.
    pub rtrs: Vec<Address>,
}

bitflags::bitflags! {
    /// How a hop of an explicit path is used (RFC 8060, section 4.6.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct HopFlags: u32 {
        /// Strict: this hop must be the next one.
        const STRICT = 1;
        /// The hop answers probes.
        const PROBE = 2;
        /// The address is an endpoint identifier to be looked up.
        const LOOKUP = 4;
        const _ = 0xffff;
    }
}

/// A hop of an explicit path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Hop {
    /// How it is used.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: HopFlags,
    /// Where it is.
    pub address: Address,
}

impl From<LcafBody> for Lcaf {
    fn from(body: LcafBody) -> Self {
        Self {
            header: LcafHeader::default(),
            body,
        }
    }
}

impl Lcaf {
    /// An address in an instance.
    pub fn instance(instance: u32, address: impl Into<Address>) -> Self {
        LcafBody::Instance {
            instance,
            address: address.into(),
        }
        .into()
    }

    /// The address in an instance, if this is one.
    pub(crate) fn inner(&self) -> Option<&Address> {
        match &self.body {
            LcafBody::Instance { address, .. } => Some(address),
            _ => None,
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reserved1 = r.u8("LCAF Rsvd1")?;
        let flags = r.u8("LCAF flags")?;
        let kind = r.u8("LCAF type")?;
        let reserved2 = r.u8("LCAF Rsvd2")?;
        let length = usize::from(r.u16("LCAF length")?);
        let body = r.nested("LCAF", length)?;
        Ok(Self {
            header: LcafHeader {
                reserved1,
                flags,
                reserved2,
            },
            body: LcafBody::decode(kind, body)?,
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.header.reserved1);
        w.u8(self.header.flags);
        w.u8(self.body.kind());
        w.u8(self.header.reserved2);
        let at = w.position();
        w.u16(0);
        self.body.encode(w);
        w.patch_length("LCAF", at, at + 2);
    }
}

impl LcafBody {
    /// Type number.
    pub fn kind(&self) -> u8 {
        match self {
            Self::AfiList(_) => kind::AFI_LIST,
            Self::Instance { .. } => kind::INSTANCE,
            Self::NatTraversal(_) => kind::NAT_TRAVERSAL,
            Self::ExplicitPath(_) => kind::EXPLICIT_PATH,
            Self::Opaque { kind, .. } => *kind,
        }
    }

    fn decode(kind: u8, mut r: Reader<'_>) -> Result<Self, DecodeError> {
        match Self::understand(kind, r.clone()) {
            // The length around says where the address ends, so it can be kept unread.
            Ok(None)
            | Err(DecodeError {
                kind: DecodeErrorKind::AddressFamily { .. },
                ..
            }) => Ok(Self::Opaque {
                kind,
                data: r.rest().into(),
            }),
            Ok(Some(body)) => Ok(body),
            Err(error) => Err(error),
        }
    }

    fn understand(kind: u8, mut r: Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let body = match kind {
            kind::AFI_LIST => {
                let mut list = Vec::new();
                while !r.is_empty() {
                    list.push(Address::decode(&mut r, "AFI list")?);
                }
                Self::AfiList(list)
            }
            kind::INSTANCE => Self::Instance {
                instance: r.u32("instance id")?,
                address: Address::decode(&mut r, "address in the instance")?,
            },
            kind::NAT_TRAVERSAL => Self::NatTraversal(NatTraversal::decode(&mut r)?),
            kind::EXPLICIT_PATH => {
                let mut hops = Vec::new();
                while !r.is_empty() {
                    hops.push(Hop {
                        flags: HopFlags::from_bits_retain(r.u16("hop flags")?.into()),
                        address: Address::decode(&mut r, "reencap hop")?,
                    });
                }
                Self::ExplicitPath(hops)
            }
            _ => return Ok(None),
        };
        r.finish("LCAF")?;
        Ok(Some(body))
    }

    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::AfiList(list) => list.iter().for_each(|address| address.encode(w)),
            Self::Instance { instance, address } => {
                w.u32(*instance);
                address.encode(w);
            }
            Self::NatTraversal(nat) => nat.encode(w),
            Self::ExplicitPath(hops) => {
                for hop in hops {
                    let flags = w.fit("hop flags", hop.flags.bits(), 16);
                    w.u16(flags as u16);
                    hop.address.encode(w);
                }
            }
            Self::Opaque { data, .. } => w.bytes(data),
        }
    }
}

impl NatTraversal {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut nat = Self {
            ms_port: r.u16("MS UDP port")?,
            etr_port: r.u16("ETR UDP port")?,
            global_etr: Address::decode(r, "global ETR RLOC")?,
            ms: Address::decode(r, "MS RLOC")?,
            private_etr: Address::decode(r, "private ETR RLOC")?,
            rtrs: Vec::new(),
        };
        while !r.is_empty() {
            nat.rtrs.push(Address::decode(r, "RTR RLOC")?);
        }
        Ok(nat)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.ms_port);
        w.u16(self.etr_port);
        for address in [&self.global_etr, &self.ms, &self.private_etr] {
            address.encode(w);
        }
        self.rtrs.iter().for_each(|rtr| rtr.encode(w));
    }
}
