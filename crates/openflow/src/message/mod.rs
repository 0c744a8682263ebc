//! Messages: the header, and one module for each family of bodies.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+-------------------------------+
//! |    version    |     type      |            length             |
//! +---------------+---------------+-------------------------------+
//! |                              xid                              |
//! +---------------------------------------------------------------+
//! ```

mod async_config;
mod body;
mod bundle;
mod codec;
mod error_msg;
mod experimenter;
mod features;
mod flow_mod;
mod flow_removed;
mod group;
mod hello;
mod meter;
mod packet;
mod port;
mod queue;
mod role;

pub use async_config::{AsyncConfig, AsyncProperty};
pub use body::Body;
pub use bundle::{BundleAdd, BundleControl, BundleControlKind, BundleFlags};
pub use codec::frame_len;
pub use error_msg::{ErrorMessage, error_name};
pub use experimenter::{
    Experimenter, NiciraMessage, PacketIn2, PacketInProperty, PacketInPropertyKind, TlvMap,
    TlvTableMod, TlvTableModCommand, TlvTableReply,
};
pub use features::{Capabilities, ConfigFlags, Features, SwitchConfig, TableMod};
pub use flow_mod::{FlowMod, FlowModCommand, FlowModFlags};
pub use flow_removed::{FlowRemoved, FlowRemovedReason};
pub use group::{Bucket, GroupMod, GroupModCommand, GroupType};
pub use hello::{Hello, HelloElement};
pub use meter::{MeterBand, MeterFlags, MeterMod, MeterModCommand};
pub use packet::{PacketIn, PacketInReason, PacketOut};
pub use port::{Port, PortConfig, PortFeatures, PortMod, PortState, PortStatus, PortStatusReason};
pub use queue::{PacketQueue, QueueGetConfigReply, QueueProperty};
pub use role::{ControllerRole, Role};

use serde::Serialize;

use crate::wire::ReservedBytes;

/// Protocol versions as they stand in headers.
pub mod version {
    /// OpenFlow 1.3, what this crate speaks.
    pub const OF13: u8 = 4;
    /// OpenFlow 1.4, decoded for bundles.
    pub const OF14: u8 = 5;
}

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// A message: header and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Protocol version of the header.
    pub version: u8,
    /// Transaction id: replies and errors carry their request's.
    pub xid: u32,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
    /// Reserved bytes that were not zero when the message was decoded. Encoding puts them back;
    /// clear this when you change the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<ReservedBytes>,
}

impl Message {
    /// An OpenFlow 1.3 message.
    pub fn new(xid: u32, body: impl Into<Body>) -> Self {
        Self {
            version: version::OF13,
            xid,
            body: body.into(),
            reserved: Vec::new(),
        }
    }
}
