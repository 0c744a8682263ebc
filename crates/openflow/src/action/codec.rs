//! Actions as bytes.
//!
//! ```text
//! +---------------+---------------+
//! |   type (16)   |  length (16)  |   length counts the whole action, a multiple of 8
//! +---------------+---------------+
//! ```

use super::{Action, NiciraAction, RegMove};
use crate::address::PortNo;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::oxm::Oxm;
use crate::wire::{Blob, MAX_DEPTH, Reader, Wire, Writer};

pub(super) const NICIRA: u32 = 0x2320;
const ONF: u32 = 0x4f4e_4600;
const ONF_COPY_FIELD: u16 = 3200;
const EXPERIMENTER: u16 = 0xffff;

impl Wire for Action {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.peek_u16(2)?);
        if length < 8 || length % 8 != 0 {
            return Err(r.error(DecodeErrorKind::Length {
                what: "action",
                length,
            }));
        }
        let mut body = r.sub(length)?;
        let kind = body.u16()?;
        body.u16()?;
        let action = match kind {
            0 => {
                let port = PortNo::decode(&mut body)?;
                let max_len = body.u16()?;
                body.pad(6)?;
                Self::Output { port, max_len }
            }
            11 => simple(&mut body, Self::CopyTtlOut)?,
            12 => simple(&mut body, Self::CopyTtlIn)?,
            15 => Self::SetMplsTtl(byte(&mut body)?),
            16 => simple(&mut body, Self::DecMplsTtl)?,
            17 => Self::PushVlan(short(&mut body)?),
            18 => simple(&mut body, Self::PopVlan)?,
            19 => Self::PushMpls(short(&mut body)?),
            20 => Self::PopMpls(short(&mut body)?),
            21 => Self::SetQueue(body.u32()?),
            22 => Self::Group(body.u32()?),
            23 => Self::SetNwTtl(byte(&mut body)?),
            24 => simple(&mut body, Self::DecNwTtl)?,
            25 => {
                let oxm = Oxm::decode(&mut body)?;
                tail(&mut body)?;
                Self::SetField(oxm)
            }
            26 => Self::PushPbb(short(&mut body)?),
            27 => simple(&mut body, Self::PopPbb)?,
            EXPERIMENTER => Self::experimenter(&mut body)?,
            kind => Self::Unknown {
                kind,
                data: body.rest().into(),
            },
        };
        body.finish("action")?;
        Ok(action)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(self.kind());
        w.u16(0);
        match self {
            Self::Output { port, max_len } => {
                port.encode(w);
                w.u16(*max_len);
                w.zeros(6);
            }
            Self::SetMplsTtl(ttl) | Self::SetNwTtl(ttl) => w.u8(*ttl),
            Self::PushVlan(t) | Self::PushMpls(t) | Self::PopMpls(t) | Self::PushPbb(t) => {
                w.u16(*t);
            }
            Self::SetQueue(id) | Self::Group(id) => w.u32(*id),
            Self::SetField(oxm) => oxm.encode(w),
            Self::OnfCopyField(copy) => {
                w.u32(ONF);
                w.u16(ONF_COPY_FIELD);
                w.zeros(2);
                copy.encode(w, 2);
            }
            Self::Nicira(action) => {
                w.u32(NICIRA);
                action.encode(w);
            }
            Self::Experimenter { experimenter, data } => {
                w.u32(*experimenter);
                w.bytes(data);
            }
            Self::Unknown { data, .. } => w.bytes(data),
            Self::CopyTtlOut
            | Self::CopyTtlIn
            | Self::DecMplsTtl
            | Self::PopVlan
            | Self::DecNwTtl
            | Self::PopPbb => w.zeros(4),
        }
        w.align8(start);
        w.patch_len(start + 2, start, "an action");
    }
}

impl Action {
    fn kind(&self) -> u16 {
        match self {
            Self::Output { .. } => 0,
            Self::CopyTtlOut => 11,
            Self::CopyTtlIn => 12,
            Self::SetMplsTtl(_) => 15,
            Self::DecMplsTtl => 16,
            Self::PushVlan(_) => 17,
            Self::PopVlan => 18,
            Self::PushMpls(_) => 19,
            Self::PopMpls(_) => 20,
            Self::SetQueue(_) => 21,
            Self::Group(_) => 22,
            Self::SetNwTtl(_) => 23,
            Self::DecNwTtl => 24,
            Self::SetField(_) => 25,
            Self::PushPbb(_) => 26,
            Self::PopPbb => 27,
            Self::OnfCopyField(_) | Self::Nicira(_) | Self::Experimenter { .. } => EXPERIMENTER,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Actions of experimenters. What does not have the expected layout is kept as bytes: another
    /// version of OVS may mean something else by it.
    fn experimenter(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let experimenter = r.u32()?;
        let mark = r.reserved_mark();
        let mut attempt = r.fork();
        let known = match experimenter {
            NICIRA if r.depth() < MAX_DEPTH => {
                let depth = r.depth() + 1;
                attempt = attempt.with_depth(depth);
                NiciraAction::decode(&mut attempt).ok().map(Self::Nicira)
            }
            ONF if r.peek_u16(0) == Ok(ONF_COPY_FIELD) => {
                copy_field(&mut attempt).ok().map(Self::OnfCopyField)
            }
            _ => None,
        };
        match known.filter(|_| attempt.is_empty()) {
            Some(action) => {
                r.rest();
                Ok(action)
            }
            None => {
                r.forget_reserved(mark);
                Ok(Self::Experimenter {
                    experimenter,
                    data: Blob::from(r.rest()),
                })
            }
        }
    }
}

fn copy_field(r: &mut Reader<'_>) -> Result<RegMove, DecodeError> {
    r.u16()?;
    r.pad(2)?;
    let copy = RegMove::decode(r, 2)?;
    tail(r)?;
    Ok(copy)
}

/// The zeros that fill an action up to a multiple of eight. More than that is left for the caller
/// to wonder about.
pub(super) fn tail(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    if r.remaining() < 8 {
        r.pad(r.remaining())
    } else {
        Ok(())
    }
}

fn simple(r: &mut Reader<'_>, action: Action) -> Result<Action, DecodeError> {
    r.pad(4)?;
    Ok(action)
}

fn byte(r: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let v = r.u8()?;
    r.pad(3)?;
    Ok(v)
}

fn short(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let v = r.u16()?;
    r.pad(2)?;
    Ok(v)
}
