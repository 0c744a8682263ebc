//! What the switch is and how it is set (OpenFlow 1.3.5, 7.3.1 to 7.3.3).

use serde::Serialize;

use crate::wire::{flags, layout};

flags! {
    /// What the switch can do.
    pub struct Capabilities: u32 {
        /// Statistics of rules.
        FLOW_STATS = 1,
        /// Statistics of tables.
        TABLE_STATS = 2,
        /// Statistics of ports.
        PORT_STATS = 4,
        /// Statistics of groups.
        GROUP_STATS = 8,
        /// Can put IP fragments together.
        IP_REASM = 0x20,
        /// Statistics of queues.
        QUEUE_STATS = 0x40,
        /// Blocks ports by spanning tree.
        PORT_BLOCKED = 0x100,
    }
}

/// Body of a features reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Datapath id: 16 bits of choice and the switch's Ethernet address.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub datapath_id: u64,
    /// Packets that can wait for the controller.
    pub n_buffers: u32,
    /// Number of tables.
    pub n_tables: u8,
    /// 0 for the main connection.
    pub auxiliary_id: u8,
    /// What the switch can do.
    pub capabilities: Capabilities,
    /// Reserved word of the specification.
    pub reserved: u32,
}

layout!(Features { datapath_id n_buffers n_tables auxiliary_id (2) capabilities reserved });

flags! {
    /// How fragments are treated.
    pub struct ConfigFlags: u16 {
        /// Drop fragments.
        FRAG_DROP = 1,
        /// Put fragments together.
        FRAG_REASM = 2,
    }
}

/// Body of get-config reply and set-config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwitchConfig {
    /// How fragments are treated.
    pub flags: ConfigFlags,
    /// Bytes of a packet that table misses send to the controller.
    pub miss_send_len: u16,
}

layout!(SwitchConfig { flags miss_send_len });

/// Body of a table-mod. Version 1.3 defines no effect for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableMod {
    /// Table, 255 for all.
    pub table_id: u8,
    /// Bits, all of them deprecated.
    pub config: u32,
}

layout!(TableMod { table_id (3) config });
