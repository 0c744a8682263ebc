//! Headers of data packets: LISP's own (RFC 9300, section 5.3; with the next protocol of RFC 9305)
//! and VXLAN-GPE's (draft-ietf-nvo3-vxlan-gpe), which the kernel speaks.
//!
//! Both have eight bytes behind the outer UDP header and are read for each packet, so they are
//! copied as they are and looked at through methods. Any eight bytes come back as they were.

use bitflags::bitflags;
use serde::{Serialize, Serializer};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::Reader;

/// UDP port of LISP data packets.
pub const DATA_PORT: u16 = 4341;
/// UDP port of VXLAN-GPE.
pub const GPE_PORT: u16 = 4790;
/// Bytes of either header.
pub const HEADER_LEN: usize = 8;

bitflags! {
    /// First byte of a LISP data header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DataFlags: u32 {
        /// N: there is a nonce.
        const NONCE = 0x80;
        /// L: there are locator status bits.
        const STATUS = 0x40;
        /// E: send the nonce back. Counts only with N.
        const ECHO = 0x20;
        /// V: there are map-versions. Counts only without N.
        const VERSION = 0x10;
        /// I: there is an instance id.
        const INSTANCE = 0x08;
        /// P: the last byte of the first word says what is inside (RFC 9305). Reserved in RFC 9300.
        const PROTOCOL = 0x04;
        const _ = 0xff;
    }

    /// First byte of a VXLAN-GPE header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct GpeFlags: u32 {
        /// I: there is a network identifier.
        const INSTANCE = 0x08;
        /// P: the next protocol is said; without it there is an Ethernet frame inside.
        const PROTOCOL = 0x04;
        /// B: broadcast, unknown unicast or multicast.
        const BUM = 0x02;
        /// O: for management, not to be forwarded.
        const OAM = 0x01;
        const _ = 0xff;
    }
}

/// What is inside a data packet. RFC 9305 and VXLAN-GPE share the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextProtocol {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// An Ethernet frame.
    Ethernet,
    /// A network service header.
    Nsh,
    /// A number without a name here.
    Other(u8),
}

impl From<u8> for NextProtocol {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Ipv4,
            2 => Self::Ipv6,
            3 => Self::Ethernet,
            4 => Self::Nsh,
            other => Self::Other(other),
        }
    }
}

impl From<NextProtocol> for u8 {
    fn from(protocol: NextProtocol) -> Self {
        match protocol {
            NextProtocol::Ipv4 => 1,
            NextProtocol::Ipv6 => 2,
            NextProtocol::Ethernet => 3,
            NextProtocol::Nsh => 4,
            NextProtocol::Other(other) => other,
        }
    }
}

/// Header of a LISP data packet.
///
/// ```text
///  0               1               2               3
/// +-+-+-+-+-+-+-+-+-----------------------------------------------+
/// |N|L|E|V|I|P|K|K|             Nonce/Map-Version                 |
/// +-+-+-+-+-+-+-+-+-----------------------------------------------+
/// |               Instance ID/Locator-Status-Bits                 |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataHeader([u32; 2]);

impl DataHeader {
    /// A header that says nothing: instance 0, IP inside.
    pub const fn new() -> Self {
        Self([0, 0])
    }

    /// Reads the header of a packet; the second part is what it carries.
    ///
    /// # Errors
    /// Fewer than eight bytes.
    pub fn decode(packet: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut r = Reader::new(packet);
        let words = [r.u32("LISP data header")?, r.u32("LISP data header")?];
        Ok((Self(words), r.rest()))
    }

    /// The header as bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        words(self.0)
    }

    /// The flags.
    pub fn flags(self) -> DataFlags {
        DataFlags::from_bits_retain(self.0[0] >> 24)
    }

    /// The same with a nonce of 24 bits (16 with a next protocol), to be sent back if `echo`.
    #[must_use]
    pub fn with_nonce(mut self, nonce: u32, echo: bool) -> Self {
        self = self.with_tag(nonce);
        self.set(DataFlags::NONCE, true);
        self.set(DataFlags::VERSION, false);
        self.set(DataFlags::ECHO, echo);
        self
    }

    /// The same with map-versions of 12 bits (8 with a next protocol) of source and destination.
    #[must_use]
    pub fn with_map_versions(mut self, source: u16, destination: u16) -> Self {
        let (width, limit) = self.version_width();
        let tag = (u32::from(source) & limit) << width | u32::from(destination) & limit;
        self = self.with_tag(tag);
        self.set(DataFlags::NONCE | DataFlags::ECHO, false);
        self.set(DataFlags::VERSION, true);
        self
    }

    /// The same in an instance of 24 bits. Status bits beyond the eighth are lost.
    #[must_use]
    pub fn with_instance(mut self, instance: u32) -> Self {
        self.0[1] = instance << 8 | self.0[1] & 0xff;
        self.set(DataFlags::INSTANCE, true);
        self
    }

    /// The same with a bit for each locator, the lowest for the first, set where it is up: 32 of
    /// them, or 8 beside an instance.
    #[must_use]
    pub fn with_status(mut self, bits: u32) -> Self {
        self.0[1] = match self.instance() {
            Some(_) => self.0[1] & !0xff | bits & 0xff,
            None => bits,
        };
        self.set(DataFlags::STATUS, true);
        self
    }

    /// The same with what is inside (RFC 9305). Set it before nonce or versions: it makes them
    /// shorter.
    #[must_use]
    pub fn with_protocol(mut self, protocol: NextProtocol) -> Self {
        self.0[0] = self.0[0] & !0xff | u32::from(u8::from(protocol));
        self.set(DataFlags::PROTOCOL, true);
        self
    }

    /// Nonce, where one is said. With both N and V the nonce counts (RFC 9300, section 5.3).
    pub fn nonce(self) -> Option<u32> {
        self.flags().contains(DataFlags::NONCE).then(|| self.tag())
    }

    /// Whether the nonce shall be sent back.
    pub fn echo(self) -> bool {
        self.flags().contains(DataFlags::NONCE | DataFlags::ECHO)
    }

    /// Map-versions of source and destination, where they are said.
    pub fn map_versions(self) -> Option<(u16, u16)> {
        let flags = self.flags();
        let (width, limit) = self.version_width();
        let said = flags.contains(DataFlags::VERSION) && !flags.contains(DataFlags::NONCE);
        said.then(|| {
            let tag = self.tag();
            ((tag >> width & limit) as u16, (tag & limit) as u16)
        })
    }

    /// Instance id, where one is said.
    pub fn instance(self) -> Option<u32> {
        self.flags()
            .contains(DataFlags::INSTANCE)
            .then_some(self.0[1] >> 8)
    }

    /// Status bits and how many there are, where they are said.
    pub fn status(self) -> Option<(u32, u8)> {
        let flags = self.flags();
        flags
            .contains(DataFlags::STATUS)
            .then_some(match flags.contains(DataFlags::INSTANCE) {
                true => (self.0[1] & 0xff, 8),
                false => (self.0[1], 32),
            })
    }

    /// What is inside, where it is said; without it the first four bits inside say which IP it is.
    pub fn protocol(self) -> Option<NextProtocol> {
        self.flags()
            .contains(DataFlags::PROTOCOL)
            .then_some(NextProtocol::from(self.0[0] as u8))
    }

    /// Which key the contents are encrypted with, 1 to 3 (RFC 8061); 0 for none.
    pub fn key_id(self) -> u8 {
        (self.0[0] >> 24) as u8 & 3
    }

    fn set(&mut self, flags: DataFlags, on: bool) {
        let bits = (flags.bits() & 0xff) << 24;
        self.0[0] = if on {
            self.0[0] | bits
        } else {
            self.0[0] & !bits
        };
    }

    /// Bits of the tag that the next protocol has.
    fn tag_shift(self) -> u32 {
        match self.flags().contains(DataFlags::PROTOCOL) {
            true => 8,
            false => 0,
        }
    }

    fn tag(self) -> u32 {
        (self.0[0] & 0xff_ffff) >> self.tag_shift()
    }

    fn with_tag(mut self, tag: u32) -> Self {
        let shift = self.tag_shift();
        let place = 0xff_ffff >> shift << shift;
        self.0[0] = self.0[0] & !place | tag << shift & place;
        self
    }

    fn version_width(self) -> (u32, u32) {
        match self.flags().contains(DataFlags::PROTOCOL) {
            true => (8, 0xff),
            false => (12, 0xfff),
        }
    }
}

impl Serialize for DataHeader {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            #[serde(serialize_with = "crate::wire::serialize_flags")]
            flags: DataFlags,
            nonce: Option<u32>,
            echo: bool,
            map_versions: Option<(u16, u16)>,
            instance: Option<u32>,
            status: Option<(u32, u8)>,
            protocol: Option<NextProtocol>,
            key_id: u8,
        }
        let shown = Shown {
            flags: self.flags(),
            nonce: self.nonce(),
            echo: self.echo(),
            map_versions: self.map_versions(),
            instance: self.instance(),
            status: self.status(),
            protocol: self.protocol(),
            key_id: self.key_id(),
        };
        shown.serialize(s)
    }
}

/// Header of a VXLAN-GPE packet.
///
/// ```text
///  0               1               2               3
/// +-+-+---+-+-+-+-+-------------------------------+---------------+
/// |R|R|Ver|I|P|B|O|           Reserved            | Next Protocol |
/// +-+-+---+-+-+-+-+-------------------------------+---------------+
/// |                      VNI                      |   Reserved    |
/// +-----------------------------------------------+---------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpeHeader([u32; 2]);

impl GpeHeader {
    /// A header for a network of 24 bits.
    pub fn new(vni: u32, protocol: NextProtocol) -> Self {
        let flags = GpeFlags::INSTANCE | GpeFlags::PROTOCOL;
        Self([flags.bits() << 24 | u32::from(u8::from(protocol)), vni << 8])
    }

    /// Reads the header of a packet; the second part is what it carries.
    ///
    /// # Errors
    /// Fewer than eight bytes, or a version other than 0: such packets are to be dropped.
    pub fn decode(packet: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut r = Reader::new(packet);
        let start = r.clone();
        let words = [r.u32("VXLAN-GPE header")?, r.u32("VXLAN-GPE header")?];
        match words[0] >> 28 & 3 {
            0 => Ok((Self(words), r.rest())),
            value => Err(start.error("VXLAN-GPE version", DecodeErrorKind::Value { value })),
        }
    }

    /// The header as bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        words(self.0)
    }

    /// The flags.
    pub fn flags(self) -> GpeFlags {
        GpeFlags::from_bits_retain(self.0[0] >> 24)
    }

    /// Network identifier, where one is said.
    pub fn vni(self) -> Option<u32> {
        self.flags()
            .contains(GpeFlags::INSTANCE)
            .then_some(self.0[1] >> 8)
    }

    /// What is inside.
    pub fn protocol(self) -> NextProtocol {
        match self.flags().contains(GpeFlags::PROTOCOL) {
            true => NextProtocol::from(self.0[0] as u8),
            false => NextProtocol::Ethernet,
        }
    }
}

impl Serialize for GpeHeader {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            #[serde(serialize_with = "crate::wire::serialize_flags")]
            flags: GpeFlags,
            vni: Option<u32>,
            protocol: NextProtocol,
        }
        let shown = Shown {
            flags: self.flags(),
            vni: self.vni(),
            protocol: self.protocol(),
        };
        shown.serialize(s)
    }
}

fn words([first, second]: [u32; 2]) -> [u8; HEADER_LEN] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}
