//! Changing rules (OpenFlow 1.3.5, 7.3.4.1).

use serde::Serialize;

use super::version;
use crate::action::Action;
use crate::address::PortNo;
use crate::error::DecodeError;
use crate::flow_match::Match;
use crate::instruction::Instruction;
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all, flags, open_enum};

open_enum! {
    /// What happens to the rules.
    pub enum FlowModCommand: u8 {
        /// Add a rule; one with the same match and priority is replaced.
        Add = 0,
        /// Change the instructions of all rules that the match covers.
        Modify = 1,
        /// Change the instructions of the rule with exactly this match and priority.
        ModifyStrict = 2,
        /// Delete all rules that the match covers.
        Delete = 3,
        /// Delete the rule with exactly this match and priority.
        DeleteStrict = 4,
    }
}

flags! {
    /// How the rule behaves.
    pub struct FlowModFlags: u16 {
        /// Send a flow-removed when it goes.
        SEND_FLOW_REM = 1,
        /// Refuse it when it overlaps another of the same priority.
        CHECK_OVERLAP = 2,
        /// Start its counters anew.
        RESET_COUNTS = 4,
        /// Do not count packets.
        NO_PKT_COUNTS = 8,
        /// Do not count bytes.
        NO_BYT_COUNTS = 16,
    }
}

/// No packet is buffered for this message.
pub(crate) const NO_BUFFER: u32 = 0xffff_ffff;
/// Every table, for deletion.
pub(crate) const ALL_TABLES: u8 = 0xff;
/// Any group.
pub(crate) const ANY_GROUP: u32 = 0xffff_ffff;

/// Adds, changes or deletes rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FlowMod {
    /// The rule's mark; chosen by the controller.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// Bits of the cookie that restrict modification and deletion; 0 for no restriction.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie_mask: u64,
    /// Table; 255 for all when deleting.
    pub table_id: u8,
    /// What to do.
    pub command: FlowModCommand,
    /// Seconds without packets after which the rule goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which the rule goes; 0 for never.
    pub hard_timeout: u16,
    /// Higher wins.
    pub priority: u16,
    /// Packet that the rule is applied to at once, or `0xffffffff`.
    pub buffer_id: u32,
    /// Restricts deletion to rules that send to this port.
    pub out_port: PortNo,
    /// Restricts deletion to rules that use this group.
    pub out_group: u32,
    /// How the rule behaves.
    pub flags: FlowModFlags,
    /// Order of eviction. OpenFlow 1.4 only; 1.3 has no place for it and it is not sent there.
    #[serde(skip_serializing_if = "is_zero")]
    pub importance: u16,
    /// Which packets.
    #[serde(rename = "match")]
    pub matching: Match,
    /// What to do with them.
    pub instructions: Vec<Instruction>,
}

fn is_zero(v: &u16) -> bool {
    *v == 0
}

impl Default for FlowMod {
    fn default() -> Self {
        Self {
            cookie: 0,
            cookie_mask: 0,
            table_id: 0,
            command: FlowModCommand::Add,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: 0x8000,
            buffer_id: NO_BUFFER,
            out_port: PortNo::ANY,
            out_group: ANY_GROUP,
            flags: FlowModFlags::default(),
            importance: 0,
            matching: Match::default(),
            instructions: Vec::new(),
        }
    }
}

impl FlowMod {
    fn with_command(command: FlowModCommand) -> Self {
        Self {
            command,
            ..Self::default()
        }
    }

    /// Adds a rule or replaces the one with the same match and priority. Table 0, priority 32768.
    pub fn add() -> Self {
        Self::with_command(FlowModCommand::Add)
    }

    /// Changes the instructions of the rules that the match covers.
    pub fn modify() -> Self {
        Self::with_command(FlowModCommand::Modify)
    }

    /// Changes the instructions of the one rule with this match and priority.
    pub fn modify_strict() -> Self {
        Self::with_command(FlowModCommand::ModifyStrict)
    }

    /// Deletes the rules that the match covers, in all tables unless [`FlowMod::table`] is set.
    pub fn delete() -> Self {
        Self {
            table_id: ALL_TABLES,
            ..Self::with_command(FlowModCommand::Delete)
        }
    }

    /// Deletes the one rule with this match and priority. Table 0 unless set.
    pub fn delete_strict() -> Self {
        Self::with_command(FlowModCommand::DeleteStrict)
    }

    /// Sets the table.
    #[must_use]
    pub fn table(mut self, table: u8) -> Self {
        self.table_id = table;
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: u16) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Restricts modification or deletion to rules whose cookie is like `cookie` under `mask`.
    #[must_use]
    pub fn only_cookie(mut self, cookie: u64, mask: u64) -> Self {
        self.cookie = cookie;
        self.cookie_mask = mask;
        self
    }

    /// Sets the seconds without packets after which the rule goes.
    #[must_use]
    pub fn idle_timeout(mut self, seconds: u16) -> Self {
        self.idle_timeout = seconds;
        self
    }

    /// Sets the seconds after which the rule goes.
    #[must_use]
    pub fn hard_timeout(mut self, seconds: u16) -> Self {
        self.hard_timeout = seconds;
        self
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: FlowModFlags) -> Self {
        self.flags = self.flags | flags;
        self
    }

    /// Sets the match.
    #[must_use]
    pub fn matching(mut self, matching: Match) -> Self {
        self.matching = matching;
        self
    }

    /// Adds an instruction.
    #[must_use]
    pub fn instruction(mut self, instruction: Instruction) -> Self {
        self.instructions.push(instruction);
        self
    }

    /// Does these actions at once. A rule without actions and without `goto` drops.
    #[must_use]
    pub fn apply(self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.instruction(Instruction::ApplyActions(actions.into_iter().collect()))
    }

    /// Adds these actions to the action set.
    #[must_use]
    pub fn write(self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.instruction(Instruction::WriteActions(actions.into_iter().collect()))
    }

    /// Changes bits of the metadata.
    #[must_use]
    pub fn write_metadata(self, metadata: u64, mask: u64) -> Self {
        self.instruction(Instruction::WriteMetadata { metadata, mask })
    }

    /// Continues in a later table.
    #[must_use]
    pub fn goto(self, table: u8) -> Self {
        self.instruction(Instruction::GotoTable(table))
    }
}

impl Wire for FlowMod {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut m = Self {
            cookie: r.u64()?,
            cookie_mask: r.u64()?,
            table_id: r.u8()?,
            command: Wire::decode(r)?,
            idle_timeout: r.u16()?,
            hard_timeout: r.u16()?,
            priority: r.u16()?,
            buffer_id: r.u32()?,
            out_port: Wire::decode(r)?,
            out_group: r.u32()?,
            flags: Wire::decode(r)?,
            ..Self::default()
        };
        if r.version() == version::OF13 {
            r.pad(2)?;
        } else {
            m.importance = r.u16()?;
        }
        m.matching = Wire::decode(r)?;
        m.instructions = decode_all(r)?;
        Ok(m)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.cookie);
        w.u64(self.cookie_mask);
        w.u8(self.table_id);
        self.command.encode(w);
        w.u16(self.idle_timeout);
        w.u16(self.hard_timeout);
        w.u16(self.priority);
        w.u32(self.buffer_id);
        self.out_port.encode(w);
        w.u32(self.out_group);
        self.flags.encode(w);
        w.u16(if w.version() == version::OF13 {
            0
        } else {
            self.importance
        });
        self.matching.encode(w);
        encode_all(&self.instructions, w);
    }
}
