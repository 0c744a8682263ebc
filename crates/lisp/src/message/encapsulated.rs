//! Encapsulated Control Message (RFC 9301, section 5.8): a message in an IP packet of its own, so
//! that a Map-Resolver can pass it on as its first sender wrote it.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::{Message, kind};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{Blob, Reader, Writer, serialize_flags};

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

bitflags::bitflags! {
    /// Flags of an Encapsulated Control Message, at their places in its first word.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EcmFlags: u32 {
        /// D: from a Map-Resolver of the delegated database (RFC 8111).
        const DDT = 0x0400_0000;
        const _ = Self::WIRE;
    }
}

impl EcmFlags {
    const SECURITY_PRESENT: u32 = 0x0800_0000;
    const WIRE: u32 = 0x0fff_ffff & !Self::SECURITY_PRESENT;
}

/// A message in a packet of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Encapsulated {
    /// Flags, and reserved bits as they came.
    #[serde(serialize_with = "serialize_flags")]
    pub flags: EcmFlags,
    /// What is in it.
    pub inner: Inner,
}

/// The contents of an Encapsulated Control Message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Inner {
    /// A UDP packet with a message.
    Packet {
        /// Its IP header.
        ip: InnerIp,
        /// UDP source port.
        source_port: u16,
        /// UDP destination port.
        destination_port: u16,
        /// Whether it has a UDP checksum, which is right.
        udp_checksum: bool,
        /// The message.
        message: Box<Message>,
    },
    /// S: LISP-SEC (RFC 9303) stands before the packet. Everything behind the first word, unread.
    Secured(Blob),
}

/// An IP header. Lengths and checksums are computed; fragments are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InnerIp {
    /// IPv4.
    V4 {
        /// From.
        source: Ipv4Addr,
        /// To.
        destination: Ipv4Addr,
        /// Differentiated services and ECN.
        traffic_class: u8,
        /// Hops left.
        ttl: u8,
        /// Number of the packet.
        identification: u16,
        /// Not to be fragmented.
        dont_fragment: bool,
        /// Options: a multiple of 4 bytes, at most 40.
        options: Blob,
    },
    /// IPv6 without extension headers.
    V6 {
        /// From.
        source: Ipv6Addr,
        /// To.
        destination: Ipv6Addr,
        /// Differentiated services and ECN.
        traffic_class: u8,
        /// Flow label, 20 bits.
        flow_label: u32,
        /// Hops left.
        hop_limit: u8,
    },
}

impl InnerIp {
    /// A header between two IPv4 addresses with nothing special.
    pub fn v4(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self::V4 {
            source,
            destination,
            traffic_class: 0,
            ttl: 64,
            identification: 0,
            dont_fragment: false,
            options: Blob::default(),
        }
    }

    /// A header between two IPv6 addresses with nothing special.
    pub fn v6(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        Self::V6 {
            source,
            destination,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
        }
    }

    /// Sum of the addresses, for the UDP checksum.
    fn pseudo_sum(&self) -> u64 {
        match self {
            Self::V4 {
                source,
                destination,
                ..
            } => sum(&source.octets()) + sum(&destination.octets()),
            Self::V6 {
                source,
                destination,
                ..
            } => sum(&source.octets()) + sum(&destination.octets()),
        }
    }

    /// Reads a header and leaves in `r` what its length field says.
    fn decode<'a>(r: &mut Reader<'a>) -> Result<(Self, Reader<'a>), DecodeError> {
        let start = r.clone();
        match r.clone().u8("inner IP header")? >> 4 {
            4 => Self::decode_v4(r),
            6 => Self::decode_v6(r),
            version => {
                let value = version.into();
                Err(start.error("inner IP version", DecodeErrorKind::Value { value }))
            }
        }
    }

    fn decode_v4<'a>(r: &mut Reader<'a>) -> Result<(Self, Reader<'a>), DecodeError> {
        let start = r.clone();
        let refuse = |field, kind| Err(start.error(field, kind));
        let [first, traffic_class] = r.array("inner IPv4 header")?;
        let header_length = usize::from(first & 15) * 4;
        let total = usize::from(r.u16("inner IPv4 length")?);
        if header_length < 20 || total < header_length {
            let length = total.min(header_length);
            return refuse("inner IPv4 length", DecodeErrorKind::Length { length });
        }
        let identification = r.u16("inner IPv4 identification")?;
        let fragment = r.u16("inner IPv4 fragment")?;
        if fragment & !DONT_FRAGMENT != 0 {
            let value = fragment.into();
            return refuse("inner IPv4 fragment", DecodeErrorKind::Value { value });
        }
        let [ttl, protocol] = r.array("inner IPv4 header")?;
        if protocol != UDP {
            let value = protocol.into();
            return refuse("inner IP protocol", DecodeErrorKind::Value { value });
        }
        let found = r.u16("inner IPv4 checksum")?;
        let source = r.array::<4>("inner IPv4 source")?.into();
        let destination = r.array::<4>("inner IPv4 destination")?.into();
        let options = r.take("inner IPv4 options", header_length - 20)?.into();
        let header = start.clone().take("inner IPv4 header", header_length)?;
        let computed = fold(sum(header) - u64::from(found));
        if computed != found {
            let kind = DecodeErrorKind::Checksum { found, computed };
            return refuse("inner IPv4 checksum", kind);
        }
        let ip = Self::V4 {
            source,
            destination,
            traffic_class,
            ttl,
            identification,
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            options,
        };
        Ok((ip, r.nested("inner packet", total - header_length)?))
    }

    fn decode_v6<'a>(r: &mut Reader<'a>) -> Result<(Self, Reader<'a>), DecodeError> {
        let start = r.clone();
        let first = r.u32("inner IPv6 header")?;
        let length = r.u16("inner IPv6 length")?.into();
        let [protocol, hop_limit] = r.array("inner IPv6 header")?;
        if protocol != UDP {
            let value = protocol.into();
            return Err(start.error("inner IP protocol", DecodeErrorKind::Value { value }));
        }
        let ip = Self::V6 {
            source: r.array::<16>("inner IPv6 source")?.into(),
            destination: r.array::<16>("inner IPv6 destination")?.into(),
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0xf_ffff,
            hop_limit,
        };
        Ok((ip, r.nested("inner packet", length)?))
    }

    /// Writes the header of a packet with `payload` bytes behind it.
    fn encode(&self, payload: u16, w: &mut Writer<'_>) {
        match self {
            Self::V4 {
                source,
                destination,
                traffic_class,
                ttl,
                identification,
                dont_fragment,
                options,
            } => {
                let start = w.position();
                if options.len() > 40 || options.len() % 4 != 0 {
                    w.fail(EncodeError::Length {
                        field: "inner IPv4 options",
                        length: options.len(),
                    });
                    return;
                }
                let header = 20 + options.len() as u16;
                w.bytes(&[0x40 | (header / 4) as u8, *traffic_class]);
                match payload.checked_add(header) {
                    Some(total) => w.u16(total),
                    None => w.fail(EncodeError::Length {
                        field: "inner packet",
                        length: payload.into(),
                    }),
                }
                w.u16(*identification);
                w.u16(if *dont_fragment { DONT_FRAGMENT } else { 0 });
                w.bytes(&[*ttl, UDP, 0, 0]);
                w.bytes(&source.octets());
                w.bytes(&destination.octets());
                w.bytes(options);
                let checksum = fold(sum(w.since(start)));
                w.patch_u16(start + 10, checksum);
            }
            Self::V6 {
                source,
                destination,
                traffic_class,
                flow_label,
                hop_limit,
            } => {
                let label = w.fit("flow label", *flow_label, 20);
                w.u32(6 << 28 | u32::from(*traffic_class) << 20 | label);
                w.u16(payload);
                w.bytes(&[UDP, *hop_limit]);
                w.bytes(&source.octets());
                w.bytes(&destination.octets());
            }
        }
    }
}

const DONT_FRAGMENT: u16 = 0x4000;

/// Sum of 16-bit words, an odd byte at the end counted as if a zero followed.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum();
    words + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

/// The internet checksum (RFC 1071) of a sum.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// UDP checksum of a datagram whose checksum field counts as zero. Never 0, which means none.
fn udp_checksum(ip: &InnerIp, datagram: &[u8], field: u16) -> u16 {
    let whole = ip.pseudo_sum() + u64::from(UDP) + datagram.len() as u64 + sum(datagram);
    match fold(whole - u64::from(field)) {
        0 => 0xffff,
        checksum => checksum,
    }
}

impl Encapsulated {
    /// A message from one address and port to another.
    pub fn new(ip: InnerIp, source_port: u16, message: impl Into<Message>) -> Self {
        Self {
            flags: EcmFlags::empty(),
            inner: Inner::Packet {
                ip,
                source_port,
                destination_port: super::CONTROL_PORT,
                udp_checksum: true,
                message: Box::new(message.into()),
            },
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let word = r.clone().u32("message header")?;
        let flags = EcmFlags::from_bits_retain(word & EcmFlags::WIRE);
        let Some(mut opened) = Opened::read(r)? else {
            let inner = Inner::Secured(r.rest().into());
            return Ok(Self { flags, inner });
        };
        let inner = Inner::Packet {
            ip: opened.ip,
            source_port: opened.source_port,
            destination_port: opened.destination_port,
            udp_checksum: opened.udp_checksum,
            message: Box::new(Message::read(&mut opened.packet)?),
        };
        Ok(Self { flags, inner })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        let word = u32::from(kind::ENCAPSULATED) << 28 | self.flags.bits() & EcmFlags::WIRE;
        match &self.inner {
            Inner::Secured(data) => {
                w.u32(word | EcmFlags::SECURITY_PRESENT);
                w.bytes(data);
            }
            Inner::Packet {
                ip,
                source_port,
                destination_port,
                udp_checksum: checksum,
                message,
            } => {
                w.u32(word);
                let mut body = Vec::new();
                w.nested(|w| w.isolated(&mut body, |w| message.write(w)));
                let Ok(length) = u16::try_from(body.len() + UDP_HEADER) else {
                    let length = body.len();
                    let field = "inner packet";
                    return w.fail(EncodeError::Length { field, length });
                };
                ip.encode(length, w);
                let start = w.position();
                w.u16(*source_port);
                w.u16(*destination_port);
                w.u16(length);
                w.u16(0);
                w.bytes(&body);
                if *checksum {
                    let computed = udp_checksum(ip, w.since(start), 0);
                    w.patch_u16(start + 6, computed);
                }
            }
        }
    }
}

/// An Encapsulated Control Message whose packet was checked, and whose message was not read yet.
pub(super) struct Opened<'a> {
    ip: InnerIp,
    pub(super) source_port: u16,
    destination_port: u16,
    udp_checksum: bool,
    pub(super) packet: Reader<'a>,
}

impl<'a> Opened<'a> {
    /// Nothing for LISP-SEC: what is behind the first word is left in `r` then.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let word = r.u32("message header")?;
        if word & EcmFlags::SECURITY_PRESENT != 0 {
            return Ok(None);
        }
        let (ip, mut packet) = InnerIp::decode(r)?;
        r.finish("inner packet")?;
        let start = packet.clone();
        let datagram = packet.peek();
        let source_port = packet.u16("inner UDP source port")?;
        let destination_port = packet.u16("inner UDP destination port")?;
        let length = usize::from(packet.u16("inner UDP length")?);
        if length != datagram.len() {
            return Err(start.error("inner UDP length", DecodeErrorKind::Length { length }));
        }
        let found = packet.u16("inner UDP checksum")?;
        if found != 0 {
            let computed = udp_checksum(&ip, datagram, found);
            if computed != found {
                let kind = DecodeErrorKind::Checksum { found, computed };
                return Err(start.error("inner UDP checksum", kind));
            }
        }
        Ok(Some(Self {
            ip,
            source_port,
            destination_port,
            udp_checksum: found != 0,
            packet,
        }))
    }
}
