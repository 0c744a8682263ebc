//! Counters of queues (OpenFlow 1.3.5, 7.3.5.8).

use serde::Serialize;

use crate::address::PortNo;
use crate::wire::layout;

/// Which queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QueueStatsRequest {
    /// Port, or `any`.
    pub port_no: PortNo,
    /// Queue, `0xffffffff` for all.
    pub queue_id: u32,
}

impl Default for QueueStatsRequest {
    /// All queues of all ports.
    fn default() -> Self {
        Self {
            port_no: PortNo::ANY,
            queue_id: 0xffff_ffff,
        }
    }
}

layout!(QueueStatsRequest { port_no queue_id });

/// Counters of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Port.
    pub port_no: PortNo,
    /// Queue.
    pub queue_id: u32,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Dropped.
    pub tx_errors: u64,
    /// Seconds that the queue lives.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
}

layout!(QueueStats { port_no queue_id tx_bytes tx_packets tx_errors duration_sec duration_nsec });
