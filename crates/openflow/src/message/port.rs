//! Ports (OpenFlow 1.3.5, 7.2.1, 7.3.4.3 and 7.4.3).

use serde::Serialize;

use crate::address::{MacAddr, PortNo};
use crate::wire::{FixedText, flags, layout, open_enum};

flags! {
    /// How a port is set.
    pub struct PortConfig: u32 {
        /// Administratively down.
        PORT_DOWN = 1,
        /// Drops what comes in.
        NO_RECV = 4,
        /// Drops what should go out.
        NO_FWD = 0x20,
        /// Sends no packet-in.
        NO_PACKET_IN = 0x40,
    }
}

flags! {
    /// How a port is.
    pub struct PortState: u32 {
        /// No physical link.
        LINK_DOWN = 1,
        /// Blocked outside of OpenFlow.
        BLOCKED = 2,
        /// Live for fast failover.
        LIVE = 4,
    }
}

flags! {
    /// Rates, media and negotiation.
    pub struct PortFeatures: u32 {
        /// 10 Mb half-duplex.
        RATE_10MB_HD = 1,
        /// 10 Mb full-duplex.
        RATE_10MB_FD = 2,
        /// 100 Mb half-duplex.
        RATE_100MB_HD = 4,
        /// 100 Mb full-duplex.
        RATE_100MB_FD = 8,
        /// 1 Gb half-duplex.
        RATE_1GB_HD = 0x10,
        /// 1 Gb full-duplex.
        RATE_1GB_FD = 0x20,
        /// 10 Gb full-duplex.
        RATE_10GB_FD = 0x40,
        /// 40 Gb full-duplex.
        RATE_40GB_FD = 0x80,
        /// 100 Gb full-duplex.
        RATE_100GB_FD = 0x100,
        /// 1 Tb full-duplex.
        RATE_1TB_FD = 0x200,
        /// Another rate.
        RATE_OTHER = 0x400,
        /// Copper.
        COPPER = 0x800,
        /// Fibre.
        FIBER = 0x1000,
        /// Negotiates by itself.
        AUTONEG = 0x2000,
        /// Pauses.
        PAUSE = 0x4000,
        /// Pauses in one direction.
        PAUSE_ASYM = 0x8000,
    }
}

/// A port of the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Number.
    pub port_no: PortNo,
    /// Ethernet address.
    pub hw_addr: MacAddr,
    /// Name, up to 15 bytes.
    pub name: FixedText<16>,
    /// How it is set.
    pub config: PortConfig,
    /// How it is.
    pub state: PortState,
    /// In use.
    pub curr: PortFeatures,
    /// Announced to the other end.
    pub advertised: PortFeatures,
    /// Possible.
    pub supported: PortFeatures,
    /// Announced by the other end.
    pub peer: PortFeatures,
    /// Current rate in kbit/s.
    pub curr_speed: u32,
    /// Highest rate in kbit/s.
    pub max_speed: u32,
}

layout!(Port {
    port_no (4) hw_addr (2) name config state curr advertised supported peer curr_speed max_speed
});

open_enum! {
    /// What happened to a port.
    pub enum PortStatusReason: u8 {
        /// It came.
        Add = 0,
        /// It went.
        Delete = 1,
        /// Something about it changed.
        Modify = 2,
    }
}

/// A port came, went or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortStatusReason,
    /// The port as it is now, or was.
    pub port: Port,
}

layout!(PortStatus { reason (7) port });

/// Changes a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortMod {
    /// Which.
    pub port_no: PortNo,
    /// Its Ethernet address, to be sure.
    pub hw_addr: MacAddr,
    /// New values of the bits in `mask`.
    pub config: PortConfig,
    /// Bits that change.
    pub mask: PortConfig,
    /// What to announce, none for no change.
    pub advertise: PortFeatures,
}

layout!(PortMod { port_no (4) hw_addr (2) config mask advertise (4) });
