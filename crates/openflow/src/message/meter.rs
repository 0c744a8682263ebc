//! Meters (OpenFlow 1.3.5, 7.3.4.4).

use serde::Serialize;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Blob, Reader, Wire, Writer, decode_all, encode_all, flags, open_enum};

open_enum! {
    /// What happens to a meter.
    pub enum MeterModCommand: u16 {
        /// Make one.
        Add = 0,
        /// Change one.
        Modify = 1,
        /// Remove one.
        Delete = 2,
    }
}

flags! {
    /// How a meter measures.
    pub struct MeterFlags: u16 {
        /// Rates are in kbit/s.
        KBPS = 1,
        /// Rates are in packets/s.
        PKTPS = 2,
        /// Bursts count.
        BURST = 4,
        /// Collect statistics.
        STATS = 8,
    }
}

/// What happens above a rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterBand {
    /// Drop.
    Drop {
        /// Rate.
        rate: u32,
        /// Burst.
        burst: u32,
    },
    /// Raise the drop precedence.
    DscpRemark {
        /// Rate.
        rate: u32,
        /// Burst.
        burst: u32,
        /// Levels.
        prec_level: u8,
    },
    /// Something of an experimenter.
    Experimenter {
        /// Rate.
        rate: u32,
        /// Burst.
        burst: u32,
        /// Whose.
        experimenter: u32,
        /// Its bytes.
        data: Blob,
    },
    /// A band of a type that is not known.
    Unknown {
        /// Type number.
        kind: u16,
        /// What follows type and length.
        data: Blob,
    },
}

impl Wire for MeterBand {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let kind = r.u16()?;
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(4) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "meter band",
                length,
            }));
        };
        let mut body = r.sub(rest)?;
        let band = match kind {
            1 => {
                let (rate, burst) = (body.u32()?, body.u32()?);
                body.pad(4)?;
                Self::Drop { rate, burst }
            }
            2 => {
                let (rate, burst, prec_level) = (body.u32()?, body.u32()?, body.u8()?);
                body.pad(3)?;
                Self::DscpRemark {
                    rate,
                    burst,
                    prec_level,
                }
            }
            0xffff => Self::Experimenter {
                rate: body.u32()?,
                burst: body.u32()?,
                experimenter: body.u32()?,
                data: body.rest().into(),
            },
            kind => Self::Unknown {
                kind,
                data: body.rest().into(),
            },
        };
        body.finish("meter band")?;
        Ok(band)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(match self {
            Self::Drop { .. } => 1,
            Self::DscpRemark { .. } => 2,
            Self::Experimenter { .. } => 0xffff,
            Self::Unknown { kind, .. } => *kind,
        });
        w.u16(0);
        match self {
            Self::Drop { rate, burst } => {
                w.u32(*rate);
                w.u32(*burst);
                w.zeros(4);
            }
            Self::DscpRemark {
                rate,
                burst,
                prec_level,
            } => {
                w.u32(*rate);
                w.u32(*burst);
                w.u8(*prec_level);
                w.zeros(3);
            }
            Self::Experimenter {
                rate,
                burst,
                experimenter,
                data,
            } => {
                w.u32(*rate);
                w.u32(*burst);
                w.u32(*experimenter);
                w.bytes(data);
            }
            Self::Unknown { data, .. } => w.bytes(data),
        }
        w.patch_len(start + 2, start, "a meter band");
    }
}

/// Makes, changes or removes a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterModCommand,
    /// How it measures.
    pub flags: MeterFlags,
    /// Which meter.
    pub meter_id: u32,
    /// What it does.
    pub bands: Vec<MeterBand>,
}

impl Wire for MeterMod {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            command: Wire::decode(r)?,
            flags: Wire::decode(r)?,
            meter_id: r.u32()?,
            bands: decode_all(r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        self.command.encode(w);
        self.flags.encode(w);
        w.u32(self.meter_id);
        encode_all(&self.bands, w);
    }
}
