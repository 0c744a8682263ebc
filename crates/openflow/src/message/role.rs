//! Roles of controllers (OpenFlow 1.3.5, 7.3.9).

use serde::Serialize;

use crate::wire::{layout, open_enum};

open_enum! {
    /// What a controller may do.
    pub enum Role: u32 {
        /// Ask, do not change.
        Nochange = 0,
        /// Everything; all controllers begin so.
        Equal = 1,
        /// Everything; the others become slaves.
        Master = 2,
        /// Read only.
        Slave = 3,
    }
}

/// Body of role request and reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ControllerRole {
    /// The role.
    pub role: Role,
    /// Grows with every election: the switch refuses an older master.
    pub generation_id: u64,
}

layout!(ControllerRole { role (4) generation_id });
