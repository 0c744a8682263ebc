//! A rule is gone (OpenFlow 1.3.5, 7.4.2).

use serde::Serialize;

use crate::flow_match::Match;
use crate::wire::{layout, open_enum};

open_enum! {
    /// Why a rule went.
    pub enum FlowRemovedReason: u8 {
        /// No packets for too long.
        IdleTimeout = 0,
        /// Its time was over.
        HardTimeout = 1,
        /// A controller deleted it.
        Delete = 2,
        /// Its group was deleted.
        GroupDelete = 3,
        /// Its meter was deleted (1.4).
        MeterDelete = 4,
        /// Evicted (1.4).
        Eviction = 5,
    }
}

/// A rule with `SEND_FLOW_REM` is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowRemoved {
    /// Its cookie.
    #[serde(serialize_with = "crate::wire::hex64")]
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why it went.
    pub reason: FlowRemovedReason,
    /// Its table.
    pub table_id: u8,
    /// Seconds that it lived.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// Packets that it matched.
    pub packet_count: u64,
    /// Bytes in them.
    pub byte_count: u64,
    /// Its match.
    #[serde(rename = "match")]
    pub matching: Match,
}

layout!(FlowRemoved {
    cookie priority reason table_id duration_sec duration_nsec idle_timeout hard_timeout
    packet_count byte_count matching
});
