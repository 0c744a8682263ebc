//! Rules and their counters (OpenFlow 1.3.5, 7.3.5.2 and 7.3.5.3).

use serde::Serialize;

use crate::address::PortNo;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::flow_match::Match;
use crate::instruction::Instruction;
use crate::message::{FlowMod, FlowModFlags, version};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, layout};

/// Which rules are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowStatsRequest {
    /// Table, 255 for all.
    pub table_id: u8,
    /// Rules that send to this port, `any` for no restriction.
    pub out_port: PortNo,
    /// Rules that use this group, `0xffffffff` for no restriction.
    pub out_group: u32,
    /// Rules with this cookie under the mask.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// Bits of the cookie that count.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie_mask: u64,
    /// Rules that this match covers.
    #[serde(rename = "match")]
    pub matching: Match,
}

impl Default for FlowStatsRequest {
    /// All rules of all tables.
    fn default() -> Self {
        Self {
            table_id: 0xff,
            out_port: PortNo::ANY,
            out_group: 0xffff_ffff,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::default(),
        }
    }
}

impl FlowStatsRequest {
    /// The rules of one table.
    pub fn table(table_id: u8) -> Self {
        Self {
            table_id,
            ..Self::default()
        }
    }

    /// Restricts the request to cookies that are like `cookie` under `mask`.
    #[must_use]
    pub fn cookie(mut self, cookie: u64, mask: u64) -> Self {
        self.cookie = cookie;
        self.cookie_mask = mask;
        self
    }
}

layout!(FlowStatsRequest { table_id (3) out_port out_group (4) cookie cookie_mask matching });

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowStats {
    /// Table.
    pub table_id: u8,
    /// Seconds that it lives.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// Priority.
    pub priority: u16,
    /// Idle timeout in seconds.
    pub idle_timeout: u16,
    /// Hard timeout in seconds.
    pub hard_timeout: u16,
    /// Flags.
    pub flags: FlowModFlags,
    /// Order of eviction (OpenFlow 1.4 only).
    pub importance: u16,
    /// Cookie.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// Packets so far.
    pub packet_count: u64,
    /// Bytes in them.
    pub byte_count: u64,
    /// Which packets.
    #[serde(rename = "match")]
    pub matching: Match,
    /// What happens to them.
    pub instructions: Vec<Instruction>,
}

impl FlowStats {
    /// Whether this is the rule that an `add` or `modify_strict` wants: table, priority, cookie,
    /// timeouts, match and instructions are the same. The order of match fields does not count,
    /// since switches report them in their own.
    ///
    /// OVS reports what the builders of [`crate::Action`] make as it was sent, but a masked load
    /// with holes in its mask comes back in pieces, instructions are sorted, and an empty list of
    /// actions is left out.
    pub fn is_like(&self, wanted: &FlowMod) -> bool {
        (
            self.table_id,
            self.priority,
            self.cookie,
            self.idle_timeout,
            self.hard_timeout,
        ) == (
            wanted.table_id,
            wanted.priority,
            wanted.cookie,
            wanted.idle_timeout,
            wanted.hard_timeout,
        ) && self.instructions == wanted.instructions
            && self.matching.is_like(&wanted.matching)
    }

    /// A flow-mod that adds this rule.
    pub fn to_flow_mod(&self) -> FlowMod {
        FlowMod {
            cookie: self.cookie,
            table_id: self.table_id,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            priority: self.priority,
            flags: self.flags,
            importance: self.importance,
            matching: self.matching.clone(),
            instructions: self.instructions.clone(),
            ..FlowMod::default()
        }
    }
}

impl Wire for FlowStats {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.fork();
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(at.error(DecodeErrorKind::Length {
                what: "flow statistics",
                length,
            }));
        };
        let mut r = r.sub(rest)?;
        let table_id = r.u8()?;
        r.pad(1)?;
        let mut stats = Self {
            table_id,
            duration_sec: r.u32()?,
            duration_nsec: r.u32()?,
            priority: r.u16()?,
            idle_timeout: r.u16()?,
            hard_timeout: r.u16()?,
            flags: Wire::decode(&mut r)?,
            ..Self::default()
        };
        if r.version() == version::OF13 {
            r.pad(4)?;
        } else {
            stats.importance = r.u16()?;
            r.pad(2)?;
        }
        stats.cookie = r.u64()?;
        stats.packet_count = r.u64()?;
        stats.byte_count = r.u64()?;
        stats.matching = Wire::decode(&mut r)?;
        stats.instructions = decode_all(&mut r)?;
        Ok(stats)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let start = w.position();
        w.u16(0);
        w.u8(self.table_id);
        w.zeros(1);
        w.u32(self.duration_sec);
        w.u32(self.duration_nsec);
        w.u16(self.priority);
        w.u16(self.idle_timeout);
        w.u16(self.hard_timeout);
        self.flags.encode(w);
        w.u16(if w.version() == version::OF13 {
            0
        } else {
            self.importance
        });
        w.zeros(2);
        w.u64(self.cookie);
        w.u64(self.packet_count);
        w.u64(self.byte_count);
        self.matching.encode(w);
        encode_all(&self.instructions, w);
        w.patch_len(start, start, "flow statistics");
    }
}

/// Sums over rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AggregateStats {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Rules.
    pub flow_count: u32,
}

layout!(AggregateStats { packet_count byte_count flow_count (4) });
