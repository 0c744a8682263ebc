//! Groups: counters, descriptions, features (OpenFlow 1.3.5, 7.3.5.9 to 7.3.5.11).

use serde::Serialize;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::message::{Bucket, GroupType};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, layout};

/// Counters of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketCounter {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
}

layout!(BucketCounter { packet_count byte_count });

/// Counters of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupStats {
    /// Group.
    pub group_id: u32,
    /// Rules and groups that use it.
    pub ref_count: u32,
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Seconds that it lives.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// Its buckets.
    pub buckets: Vec<BucketCounter>,
}

impl Wire for GroupStats {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "group statistics",
                length,
            }));
        };
        let mut r = r.sub(rest)?;
        r.pad(2)?;
        let group_id = r.u32()?;
        let ref_count = r.u32()?;
        r.pad(4)?;
        Ok(Self {
            group_id,
            ref_count,
            packet_count: r.u64()?,
            byte_count: r.u64()?,
            duration_sec: r.u32()?,
            duration_nsec: r.u32()?,
            buckets: decode_all(&mut r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.zeros(4);
        w.u32(self.group_id);
        w.u32(self.ref_count);
        w.zeros(4);
        w.u64(self.packet_count);
        w.u64(self.byte_count);
        w.u32(self.duration_sec);
        w.u32(self.duration_nsec);
        encode_all(&self.buckets, w);
        w.patch_len(start, start, "group statistics");
    }
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupDesc {
    /// How it treats its buckets.
    pub group_type: GroupType,
    /// Its number.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

impl Wire for GroupDesc {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "group description",
                length,
            }));
        };
        let mut r = r.sub(rest)?;
        let group_type = Wire::decode(&mut r)?;
        r.pad(1)?;
        Ok(Self {
            group_type,
            group_id: r.u32()?,
            buckets: decode_all(&mut r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(0);
        self.group_type.encode(w);
        w.zeros(1);
        w.u32(self.group_id);
        encode_all(&self.buckets, w);
        w.patch_len(start, start, "a group description");
    }
}

/// What groups can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupFeatures {
    /// Bit n: groups of type n exist.
    pub types: u32,
    /// Bits: 0 weights, 1 liveness, 2 chaining, 3 checks for loops.
    pub capabilities: u32,
    /// Most groups of type `all`.
    pub max_all: u32,
    /// Most groups of type `select`.
    pub max_select: u32,
    /// Most groups of type `indirect`.
    pub max_indirect: u32,
    /// Most groups of type `fast_failover`.
    pub max_fast_failover: u32,
    /// Bit n: groups of type `all` can do actions of type n.
    pub actions_all: u32,
    /// The same for `select`.
    pub actions_select: u32,
    /// The same for `indirect`.
    pub actions_indirect: u32,
    /// The same for `fast_failover`.
    pub actions_fast_failover: u32,
}

layout!(GroupFeatures {
    types capabilities max_all max_select max_indirect max_fast_failover
    actions_all actions_select actions_indirect actions_fast_failover
});
