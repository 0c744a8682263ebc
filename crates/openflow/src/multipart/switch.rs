//! The switch, its tables and its ports (OpenFlow 1.3.5, 7.3.5.1, 7.3.5.4 and 7.3.5.6).

use serde::Serialize;

use crate::address::PortNo;
use crate::wire::{FixedText, layout};

/// Who made the switch, and what people call it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwitchDesc {
    /// Maker.
    pub mfr_desc: FixedText<256>,
    /// Hardware.
    pub hw_desc: FixedText<256>,
    /// Software.
    pub sw_desc: FixedText<256>,
    /// Serial number.
    pub serial_num: FixedText<32>,
    /// Name of the datapath.
    pub dp_desc: FixedText<256>,
}

layout!(SwitchDesc { mfr_desc hw_desc sw_desc serial_num dp_desc });

/// Counters of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableStats {
    /// Table.
    pub table_id: u8,
    /// Rules.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that hit a rule.
    pub matched_count: u64,
}

layout!(TableStats { table_id (3) active_count lookup_count matched_count });

/// Counters of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortStats {
    /// Port.
    pub port_no: PortNo,
    /// Packets in.
    pub rx_packets: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Dropped on the way in.
    pub rx_dropped: u64,
    /// Dropped on the way out.
    pub tx_dropped: u64,
    /// Errors on the way in.
    pub rx_errors: u64,
    /// Errors on the way out.
    pub tx_errors: u64,
    /// Framing errors.
    pub rx_frame_err: u64,
    /// Overruns.
    pub rx_over_err: u64,
    /// Checksum errors.
    pub rx_crc_err: u64,
    /// Collisions.
    pub collisions: u64,
    /// Seconds that the port lives.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
}

layout!(PortStats {
    port_no (4) rx_packets tx_packets rx_bytes tx_bytes rx_dropped tx_dropped rx_errors tx_errors
    rx_frame_err rx_over_err rx_crc_err collisions duration_sec duration_nsec
});
