//! Which asynchronous messages a controller gets (OpenFlow 1.3.5, 7.3.10).

use serde::Serialize;

use crate::wire::layout;

/// Two masks of reasons for each kind: as master or equal, and as slave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AsyncProperty {
    /// Bit n: reason n is sent to a master or equal.
    pub master: u32,
    /// Bit n: reason n is sent to a slave.
    pub slave: u32,
}

layout!(AsyncProperty { master slave });

/// Body of get-async reply and set-async.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AsyncConfig {
    /// Packet-in.
    pub packet_in: AsyncProperty,
    /// Port-status.
    pub port_status: AsyncProperty,
    /// Flow-removed.
    pub flow_removed: AsyncProperty,
}

layout!(AsyncConfig { packet_in port_status flow_removed });
