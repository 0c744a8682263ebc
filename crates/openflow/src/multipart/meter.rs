//! Meters: counters, configuration, features (OpenFlow 1.3.5, 7.3.5.12 to 7.3.5.14).

use serde::Serialize;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::message::{MeterBand, MeterFlags};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, layout};

/// Counters of a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterBandStats {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
}

layout!(MeterBandStats { packet_count byte_count });

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterStats {
    /// Meter.
    pub meter_id: u32,
    /// Rules that use it.
    pub flow_count: u32,
    /// Packets in.
    pub packet_in_count: u64,
    /// Bytes in.
    pub byte_in_count: u64,
    /// Seconds that it lives.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// Its bands.
    pub bands: Vec<MeterBandStats>,
}

impl Wire for MeterStats {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.peek_u16(4)?);
        if length < 40 {
            return Err(r.error(DecodeErrorKind::Length {
                what: "meter statistics",
                length,
            }));
        }
        let mut r = r.sub(length)?;
        let meter_id = r.u32()?;
        r.u16()?;
        r.pad(6)?;
        Ok(Self {
            meter_id,
            flow_count: r.u32()?,
            packet_in_count: r.u64()?,
            byte_in_count: r.u64()?,
            duration_sec: r.u32()?,
            duration_nsec: r.u32()?,
            bands: decode_all(&mut r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u32(self.meter_id);
        w.zeros(8);
        w.u32(self.flow_count);
        w.u64(self.packet_in_count);
        w.u64(self.byte_in_count);
        w.u32(self.duration_sec);
        w.u32(self.duration_nsec);
        encode_all(&self.bands, w);
        w.patch_len(start + 4, start, "meter statistics");
    }
}

/// A meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterConfig {
    /// How it measures.
    pub flags: MeterFlags,
    /// Its number.
    pub meter_id: u32,
    /// What it does.
    pub bands: Vec<MeterBand>,
}

impl Wire for MeterConfig {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "meter",
                length,
            }));
        };
        let mut r = r.sub(rest)?;
        let flags = Wire::decode(&mut r)?;
        Ok(Self {
            flags,
            meter_id: r.u32()?,
            bands: decode_all(&mut r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(0);
        self.flags.encode(w);
        w.u32(self.meter_id);
        encode_all(&self.bands, w);
        w.patch_len(start, start, "a meter");
    }
}

/// What meters can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterFeatures {
    /// Most meters.
    pub max_meter: u32,
    /// Bit n: bands of type n exist.
    pub band_types: u32,
    /// Bits of [`MeterFlags`].
    pub capabilities: u32,
    /// Most bands of a meter.
    pub max_bands: u8,
    /// Highest colour.
    pub max_color: u8,
}

layout!(MeterFeatures { max_meter band_types capabilities max_bands max_color (2) });
