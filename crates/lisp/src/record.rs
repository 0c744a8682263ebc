//! What a mapping is on the wire: an endpoint identifier, how long it holds, and its locators
//! (RFC 9301, section 5.4).

use serde::Serialize;

use crate::address::Address;
use crate::eid::Eid;
use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer, hex64, serialize_flags};

/// What to do with packets to a prefix that has no locators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keep the packet or drop it; the mapping says nothing.
    #[default]
    None,
    /// Forward it without encapsulation.
    NativelyForward,
    /// Ask for a better mapping with it.
    SendMapRequest,
    /// Drop it.
    Drop,
    /// Drop it, a policy wants so (new in RFC 9301).
    DropByPolicy,
    /// Drop it, authentication failed (new in RFC 9301).
    DropUnauthenticated,
    /// A number without a name: 6 or 7.
    Other(u8),
}

impl From<u8> for Action {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::NativelyForward,
            2 => Self::SendMapRequest,
            3 => Self::Drop,
            4 => Self::DropByPolicy,
            5 => Self::DropUnauthenticated,
            other => Self::Other(other),
        }
    }
}

impl From<Action> for u8 {
    fn from(action: Action) -> Self {
        match action {
            Action::None => 0,
            Action::NativelyForward => 1,
            Action::SendMapRequest => 2,
            Action::Drop => 3,
            Action::DropByPolicy => 4,
            Action::DropUnauthenticated => 5,
            Action::Other(other) => other,
        }
    }
}

bitflags::bitflags! {
    /// Flags of a record, at their places in the word that also has action and map-version.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RecordFlags: u32 {
        /// From the one that knows: the ETR, or a Map-Server that answers for it.
        const AUTHORITATIVE = 0x1000_0000;
        const _ = Self::WIRE;
    }

    /// Flags of a locator.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct LocatorFlags: u32 {
        /// It belongs to the sender of the message.
        const LOCAL = 4;
        /// The reply to a probe came from it.
        const PROBED = 2;
        /// The sender can reach it.
        const REACHABLE = 1;
        const _ = 0xffff;
    }
}

impl RecordFlags {
    const WIRE: u32 = 0x1fff_f000;
}

/// A mapping.
///
/// ```text
///  0               1               2               3
/// +---------------------------------------------------------------+
/// |                          Record TTL                           |
/// +---------------+---------------+-----+-+-----------------------+
/// | Locator Count | EID mask-len  | ACT |A|       Reserved        |
/// +-------+-------+---------------+-----+-+-----------------------+
/// | Rsvd  |  Map-Version Number   |       EID-Prefix-AFI          |
/// +-------+-----------------------+-------------------------------+
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Record {
    /// Minutes that it may be kept; 0 to drop it now, [`Record::FOREVER`] while it is used.
    pub ttl: u32,
    /// Bits of the prefix that counts of `eid`.
    pub mask_len: u8,
    /// What to do without locators.
    pub action: Action,
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: RecordFlags,
    /// Version of the mapping (RFC 9302), 12 bits; 0 for none.
    pub map_version: u16,
    /// What is mapped.
    pub eid: Address,
    /// Where it is. At most 255.
    pub locators: Vec<Locator>,
}

/// A place where an endpoint can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Locator {
    /// The smallest are used first; 255 never.
    pub priority: u8,
    /// Share of the traffic among locators of one priority.
    pub weight: u8,
    /// Priority for multicast.
    pub multicast_priority: u8,
    /// Weight for multicast.
    pub multicast_weight: u8,
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: LocatorFlags,
    /// The address.
    pub address: Address,
}

impl Locator {
    /// A reachable locator that multicast does not use.
    pub fn new(address: impl Into<Address>, priority: u8, weight: u8) -> Self {
        Self {
            priority,
            weight,
            multicast_priority: 255,
            multicast_weight: 0,
            flags: LocatorFlags::REACHABLE,
            address: address.into(),
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [priority, weight, multicast_priority, multicast_weight] = r.array("locator")?;
        Ok(Self {
            priority,
            weight,
            multicast_priority,
            multicast_weight,
            flags: LocatorFlags::from_bits_retain(r.u16("locator flags")?.into()),
            address: Address::decode(r, "locator")?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&[
            self.priority,
            self.weight,
            self.multicast_priority,
            self.multicast_weight,
        ]);
        let flags = w.fit("locator flags", self.flags.bits(), 16);
        w.u16(flags as u16);
        self.address.encode(w);
    }
}

impl Record {
    /// A TTL that never ends.
    pub const FOREVER: u32 = u32::MAX;
    /// The shortest record: no address, no locators.
    pub(crate) const LEAST_BYTES: usize = 12;

    /// A mapping of an identifier without locators yet.
    pub fn new(eid: Eid, ttl: u32) -> Self {
        Self {
            ttl,
            mask_len: eid.length(),
            eid: eid.to_address(),
            ..Self::default()
        }
    }

    /// The same with one more locator.
    #[must_use]
    pub fn locator(mut self, locator: Locator) -> Self {
        self.locators.push(locator);
        self
    }

    /// What is mapped, if it is an identifier that can be looked up (see [`Eid::read`]).
    pub fn eid(&self) -> Option<Eid> {
        Eid::read(&self.eid, self.mask_len)
    }

    /// Reads a record that was kept as bytes.
    ///
    /// # Errors
    /// The bytes are not exactly one record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let record = Self::decode(&mut r)?;
        r.finish("record")?;
        Ok(record)
    }

    /// The record as messages have it, to be kept.
    ///
    /// # Errors
    /// A part does not fit its field.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(48);
        let mut w = Writer::new(&mut bytes);
        self.encode(&mut w);
        match w.error() {
            None => Ok(bytes),
            Some(error) => Err(error),
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ttl = r.u32("record TTL")?;
        let count = r.u8("locator count")?;
        let mask_len = r.u8("EID mask-len")?;
        let word = r.u32("record flags")?;
        let mut record = Self {
            ttl,
            mask_len,
            action: ((word >> 29) as u8).into(),
            flags: RecordFlags::from_bits_retain(word & RecordFlags::WIRE),
            map_version: (word & 0xfff) as u16,
            eid: Address::decode_prefix(r, "EID prefix", mask_len)?,
            locators: Vec::new(),
        };
        record.locators = r.list(count.into(), 8, Locator::decode)?;
        Ok(record)
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.u32(self.ttl);
        let count = w.count("locators", self.locators.len(), 0, 255);
        w.u8(count as u8);
        w.u8(self.mask_len);
        let action = w.fit("action", u8::from(self.action).into(), 3);
        let version = w.fit("map-version", self.map_version.into(), 12);
        w.u32(action << 29 | self.flags.bits() & RecordFlags::WIRE | version);
        self.eid.encode(w);
        self.locators.iter().for_each(|locator| locator.encode(w));
    }
}

/// Who registers or subscribes, besides where it says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct XtrId {
    /// Unique among the xTRs of a site.
    #[serde(serialize_with = "hex128")]
    pub xtr_id: u128,
    /// The site; 0 where sites are not told apart.
    #[serde(serialize_with = "hex64")]
    pub site_id: u64,
}

impl XtrId {
    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xtr_id: u128::from_be_bytes(r.array("xTR-ID")?),
            site_id: r.u64("Site-ID")?,
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.xtr_id.to_be_bytes());
        w.u64(self.site_id);
    }
}

fn hex128<S: serde::Serializer>(number: &u128, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{number:#x}"))
}
