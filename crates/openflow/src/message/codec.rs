//! Messages to bytes and back.

use std::cell::RefCell;

use super::{Body, HEADER_LEN, Message, version};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{MAX_DEPTH, Reader, Wire, Writer};

/// How long the message at the start of `bytes` is, once its header is there.
///
/// # Errors
/// A length below the header's own.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(length) = bytes.get(2..4).and_then(|b| b.first_chunk::<2>()) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < HEADER_LEN {
        return Err(DecodeError {
            offset: 2,
            kind: DecodeErrorKind::Length {
                what: "message",
                length,
            },
        });
    }
    Ok(Some(length))
}

impl Message {
    /// Decodes the message at the start of `bytes` and says how many bytes it has.
    ///
    /// # Errors
    /// The message is cut off, malformed, or of a version that is not decoded. Hello, error and
    /// echo are decoded whatever their version is.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let reserved = RefCell::new(Vec::new());
        let version = bytes.first().copied().unwrap_or_default();
        let mut r = Reader::new(bytes, version, &reserved);
        let mut message = Self::read(&mut r)?;
        message.reserved = reserved.take();
        Ok((message, bytes.len() - r.remaining()))
    }

    /// Appends the message to `out`.
    ///
    /// # Errors
    /// A part does not fit its length field; `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let mut w = Writer::new(out, self.version);
        self.write(&mut w);
        match w.overflow() {
            None => Ok(()),
            Some(what) => {
                w.truncate(start);
                Err(EncodeError { what })
            }
        }
    }

    /// The message in a buffer of its own.
    ///
    /// # Errors
    /// As [`Message::encode`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(128);
        self.encode(&mut out)?;
        Ok(out)
    }

    /// Reads a message that may stand inside another. Reserved bytes stay with the reader.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.depth() > MAX_DEPTH {
            return Err(r.error(DecodeErrorKind::Depth { limit: MAX_DEPTH }));
        }
        let length = usize::from(r.peek_u16(2)?);
        if length < HEADER_LEN {
            return Err(r.error(DecodeErrorKind::Length {
                what: "message",
                length,
            }));
        }
        let at = r.fork();
        let depth = r.depth() + 1;
        let mut body = r.sub(length)?.with_depth(depth);
        let version = body.u8()?;
        let kind = body.u8()?;
        body.u16()?;
        let xid = body.u32()?;
        let any_version = matches!(kind, 0..=3);
        if !any_version && version != version::OF13 && version != version::OF14 {
            return Err(at.error(DecodeErrorKind::Version { version }));
        }
        let body = Body::decode(kind, &mut body.with_version(version))?;
        Ok(Self {
            version,
            xid,
            body,
            reserved: Vec::new(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        let start = w.position();
        let around = w.set_version(self.version);
        w.u8(self.version);
        w.u8(self.body.kind());
        w.u16(0);
        w.u32(self.xid);
        self.body.encode(w);
        w.patch_len(start + 2, start, "a message");
        for reserved in &self.reserved {
            w.overwrite(start + reserved.offset, &reserved.bytes);
        }
        w.set_version(around);
    }
}

impl Wire for Message {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::read(r)
    }
    fn encode(&self, w: &mut Writer<'_>) {
        self.write(w);
    }
}
