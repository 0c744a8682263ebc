//! Configuration of queues (OpenFlow 1.3.5, 7.3.6). Gone in 1.4.

use serde::Serialize;

use crate::address::PortNo;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Blob, Reader, Wire, Writer, decode_all, encode_all};

/// A property of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueProperty {
    /// Guaranteed rate in 1/10 percent; above 1000 it is not set.
    MinRate(u16),
    /// Highest rate in 1/10 percent; above 1000 it is not set.
    MaxRate(u16),
    /// Something of an experimenter.
    Experimenter {
        /// Whose.
        experimenter: u32,
        /// Its bytes.
        data: Blob,
    },
    /// A property that is not known.
    Unknown {
        /// Number.
        kind: u16,
        /// What follows the header, reserved bytes included.
        data: Blob,
    },
}

impl Wire for QueueProperty {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.peek_u16(2)?);
        if length < 8 {
            return Err(r.error(DecodeErrorKind::Length {
                what: "queue property",
                length,
            }));
        }
        let mut body = r.sub(length)?;
        let kind = body.u16()?;
        body.u16()?;
        let property = match kind {
            1 | 2 => {
                body.pad(4)?;
                let rate = body.u16()?;
                body.pad(6)?;
                if kind == 1 {
                    Self::MinRate(rate)
                } else {
                    Self::MaxRate(rate)
                }
            }
            0xffff => {
                body.pad(4)?;
                let experimenter = body.u32()?;
                body.pad(4)?;
                Self::Experimenter {
                    experimenter,
                    data: body.rest().into(),
                }
            }
            kind => Self::Unknown {
                kind,
                data: body.rest().into(),
            },
        };
        body.finish("queue property")?;
        Ok(property)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(match self {
            Self::MinRate(_) => 1,
            Self::MaxRate(_) => 2,
            Self::Experimenter { .. } => 0xffff,
            Self::Unknown { kind, .. } => *kind,
        });
        w.u16(0);
        match self {
            Self::MinRate(rate) | Self::MaxRate(rate) => {
                w.zeros(4);
                w.u16(*rate);
                w.zeros(6);
            }
            Self::Experimenter { experimenter, data } => {
                w.zeros(4);
                w.u32(*experimenter);
                w.zeros(4);
                w.bytes(data);
            }
            Self::Unknown { data, .. } => w.bytes(data),
        }
        w.patch_len(start + 2, start, "a queue property");
    }
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PacketQueue {
    /// Number.
    pub queue_id: u32,
    /// Its port.
    pub port: PortNo,
    /// Its properties.
    pub properties: Vec<QueueProperty>,
}

impl Wire for PacketQueue {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.peek_u16(8)?);
        if length < 16 {
            return Err(r.error(DecodeErrorKind::Length {
                what: "queue",
                length,
            }));
        }
        let mut body = r.sub(length)?;
        let queue_id = body.u32()?;
        let port = PortNo::decode(&mut body)?;
        body.u16()?;
        body.pad(6)?;
        Ok(Self {
            queue_id,
            port,
            properties: decode_all(&mut body)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u32(self.queue_id);
        self.port.encode(w);
        w.u16(0);
        w.zeros(6);
        encode_all(&self.properties, w);
        w.patch_len(start + 8, start, "a queue");
    }
}

/// The queues of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueGetConfigReply {
    /// The port of the request.
    pub port: PortNo,
    /// Its queues.
    pub queues: Vec<PacketQueue>,
}

impl Wire for QueueGetConfigReply {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let port = PortNo::decode(r)?;
        r.pad(4)?;
        Ok(Self {
            port,
            queues: decode_all(r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        self.port.encode(w);
        w.zeros(4);
        encode_all(&self.queues, w);
    }
}
