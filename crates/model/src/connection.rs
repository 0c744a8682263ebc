//! Connections that a switch has seen pass a member's security rules.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What tells a connection from every other one of the same member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// IP protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// Whether the member opened it; else the other side did.
    pub by_member: bool,
    /// The member's address.
    pub member: IpAddr,
    /// The member's port; of ICMP the identifier, 0 where there are neither.
    pub member_port: u16,
    /// The other side's address.
    pub remote: IpAddr,
    /// The other side's port; of ICMP the identifier, 0 where there are neither.
    pub remote_port: u16,
}

/// A connection, as it stands in a switch's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// Which one.
    pub flow: Flow,
    /// When it is forgotten if it stays silent, s from now.
    pub expires_s: u32,
    /// Whether both sides have spoken and neither has closed it. Only TCP says so.
    pub established: bool,
}

impl Flow {
    /// The port that it was opened to.
    pub fn opened_to(&self) -> u16 {
        match self.by_member {
            true => self.remote_port,
            false => self.member_port,
        }
    }
}
