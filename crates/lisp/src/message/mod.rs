//! Control messages, RFC 9301: what UDP port 4342 carries.
//!
//! A message is a whole UDP payload; its first four bits are the type. Flags that say whether a part
//! is there (xTR-ID, the reply in a request) are not kept beside the part: it is there or it is not.

mod encapsulated;
mod info;
mod question;
mod register;
mod reply;
mod request;

pub use encapsulated::{EcmFlags, Encapsulated, Inner, InnerIp};
pub use info::{Info, InfoFlags};
pub use question::Question;
pub use register::{MapNotify, MapNotifyFlags, MapRegister, MapRegisterFlags};
pub use reply::{MapReply, MapReplyFlags};
pub use request::{EidFlags, EidRecord, MapRequest, MapRequestFlags};

use serde::Serialize;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{Blob, Reader, Writer};

/// UDP port of control messages.
pub const CONTROL_PORT: u16 = 4342;

/// Type numbers.
pub(crate) mod kind {
    pub(crate) const MAP_REQUEST: u8 = 1;
    pub(crate) const MAP_REPLY: u8 = 2;
    pub(crate) const MAP_REGISTER: u8 = 3;
    pub(crate) const MAP_NOTIFY: u8 = 4;
    pub(crate) const MAP_NOTIFY_ACK: u8 = 5;
    pub(crate) const MAP_REFERRAL: u8 = 6;
    pub(crate) const INFO: u8 = 7;
    pub(crate) const ENCAPSULATED: u8 = 8;
    pub(crate) const SHARED_EXTENSION: u8 = 15;
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Type 1: asks for mappings, probes a locator, solicits a request, subscribes.
    MapRequest(MapRequest),
    /// Type 2: answers.
    MapReply(MapReply),
    /// Type 3: an ETR says what it has.
    MapRegister(MapRegister),
    /// Type 4: a Map-Server confirms that, or tells a subscriber of a change.
    MapNotify(MapNotify),
    /// Type 5: the receiver of a notification confirms it. New in RFC 9301.
    MapNotifyAck(MapNotify),
    /// Type 7: asks for and says the address that NAT has given (draft-ermagan-lisp-nat-traversal).
    Info(Info),
    /// Type 8: another message in a packet of its own.
    Encapsulated(Encapsulated),
    /// Map-Referral (type 6, RFC 8111) and shared extension (type 15, RFC 8113), kept unread.
    Opaque(Opaque),
}

/// A message that is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opaque {
    /// All of it, with the type in the first four bits.
    pub data: Blob,
}

impl Message {
    /// Reads a UDP payload.
    ///
    /// # Errors
    /// The bytes are no control message; the error says which field is wrong and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes))
    }

    /// Appends the message.
    ///
    /// # Errors
    /// A part does not fit its field; then nothing is appended.
    pub fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = buffer.len();
        let mut w = Writer::new(buffer);
        self.write(&mut w);
        match w.error() {
            None => Ok(()),
            Some(error) => {
                buffer.truncate(start);
                Err(error)
            }
        }
    }

    /// The message as bytes.
    ///
    /// # Errors
    /// A part does not fit its field.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(128);
        self.encode(&mut bytes)?;
        Ok(bytes)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = r.clone();
        let word = start.clone().u32("message header")?;
        Ok(match (word >> 28) as u8 {
            kind::MAP_REQUEST => Self::MapRequest(MapRequest::decode(r)?),
            kind::MAP_REPLY => Self::MapReply(MapReply::decode(r)?),
            kind::MAP_REGISTER => Self::MapRegister(MapRegister::decode(r)?),
            kind::MAP_NOTIFY => Self::MapNotify(MapNotify::decode(r)?),
            kind::MAP_NOTIFY_ACK => Self::MapNotifyAck(MapNotify::decode(r)?),
            kind::INFO => Self::Info(Info::decode(r)?),
            kind::ENCAPSULATED => Self::Encapsulated(Encapsulated::decode(r)?),
            kind::MAP_REFERRAL | kind::SHARED_EXTENSION => Self::Opaque(Opaque {
                data: r.rest().into(),
            }),
            value => {
                let value = value.into();
                return Err(start.error("message type", DecodeErrorKind::Value { value }));
            }
        })
    }

    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Self::MapRequest(message) => message.encode(w),
            Self::MapReply(message) => message.encode(w),
            Self::MapRegister(message) => message.encode(w),
            Self::MapNotify(message) => message.encode(kind::MAP_NOTIFY, w),
            Self::MapNotifyAck(message) => message.encode(kind::MAP_NOTIFY_ACK, w),
            Self::Info(message) => message.encode(w),
            Self::Encapsulated(message) => message.encode(w),
            Self::Opaque(message) => w.bytes(&message.data),
        }
    }
}

/// The first word of a message: type, flags, and a count in the last byte.
fn header(kind: u8, flags: u32, count: u32) -> u32 {
    u32::from(kind) << 28 | flags & 0x0fff_ff00 | count & 0xff
}

macro_rules! from_body {
    ($($body:ident => $variant:ident),*) => {$(
        impl From<$body> for Message {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        }
    )*};
}
from_body!(
    MapRequest => MapRequest,
    MapReply => MapReply,
    MapRegister => MapRegister,
    Info => Info,
    Encapsulated => Encapsulated
);
