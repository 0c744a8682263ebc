//! Groups (OpenFlow 1.3.5, 7.3.4.2).

use serde::Serialize;

use crate::action::Action;
use crate::address::PortNo;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, open_enum};

open_enum! {
    /// What happens to a group.
    pub enum GroupModCommand: u16 {
        /// Make one.
        Add = 0,
        /// Change one.
        Modify = 1,
        /// Remove one, or all.
        Delete = 2,
        /// Make or change one (OVS).
        AddOrModify = 0x8000,
    }
}

open_enum! {
    /// How a group treats its buckets.
    pub enum GroupType: u8 {
        /// All buckets, each with a copy.
        All = 0,
        /// One bucket of the switch's choice.
        Select = 1,
        /// The one bucket.
        Indirect = 2,
        /// The first live bucket.
        FastFailover = 3,
    }
}

/// One choice of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Bucket {
    /// Share of a select group.
    pub weight: u16,
    /// Port whose state decides whether the bucket is live.
    pub watch_port: PortNo,
    /// Group whose state decides whether the bucket is live.
    pub watch_group: u32,
    /// What to do.
    pub actions: Vec<Action>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            weight: 0,
            watch_port: PortNo::ANY,
            watch_group: super::flow_mod::ANY_GROUP,
            actions: Vec::new(),
        }
    }
}

impl Bucket {
    /// A bucket with these actions.
    pub fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            actions: actions.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Sets the share in a select group.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }
}

impl Wire for Bucket {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "bucket",
                length,
            }));
        };
        let mut body = r.sub(rest)?;
        let weight = body.u16()?;
        let watch_port = PortNo::decode(&mut body)?;
        let watch_group = body.u32()?;
        body.pad(4)?;
        Ok(Self {
            weight,
            watch_port,
            watch_group,
            actions: decode_all(&mut body)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(0);
        w.u16(self.weight);
        self.watch_port.encode(w);
        w.u32(self.watch_group);
        w.zeros(4);
        encode_all(&self.actions, w);
        w.patch_len(start, start, "a bucket");
    }
}

/// Makes, changes or removes a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupModCommand,
    /// How the group treats its buckets.
    pub group_type: GroupType,
    /// Which group.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupMod {
    /// All groups, for deletion.
    pub const ALL: u32 = 0xffff_fffc;

    /// Makes a group.
    pub fn add(group_id: u32, group_type: GroupType) -> Self {
        Self {
            group_id,
            group_type,
            ..Self::default()
        }
    }

    /// Changes a group.
    pub fn modify(group_id: u32, group_type: GroupType) -> Self {
        Self {
            command: GroupModCommand::Modify,
            ..Self::add(group_id, group_type)
        }
    }

    /// Removes a group and the rules that use it; [`GroupMod::ALL`] for all.
    pub fn delete(group_id: u32) -> Self {
        Self {
            command: GroupModCommand::Delete,
            ..Self::add(group_id, GroupType::All)
        }
    }

    /// Adds a bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Self {
        self.buckets.push(bucket);
        self
    }
}

impl Wire for GroupMod {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let command = Wire::decode(r)?;
        let group_type = Wire::decode(r)?;
        r.pad(1)?;
        Ok(Self {
            command,
            group_type,
            group_id: r.u32()?,
            buckets: decode_all(r)?,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        self.command.encode(w);
        self.group_type.encode(w);
        w.zeros(1);
        w.u32(self.group_id);
        encode_all(&self.buckets, w);
    }
}
