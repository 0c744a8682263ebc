//! The way of one packet, as the switches themselves tell it.
//!
//! [`crate::order::Order::Trace`] asks one host what its switch would do with a packet that comes in at
//! one place; who asks follows the tunnels from host to host. No packet is sent.

use crate::vm::VmState;
use crate::{ClusterName, HostName, Mac, VmName, flows::FlowMark};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A packet, and where it comes to a host's switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The cluster whose network it is in.
    pub cluster: ClusterName,
    /// Where it comes in.
    pub enters: Enters,
    /// The packet.
    pub packet: Packet,
}

/// Where a packet comes to a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Enters {
    /// At the port of a member.
    Member {
        /// The member.
        vm: VmName,
    },
    /// Out of the cluster's tunnel.
    Tunnel {
        /// Underlay address of the host that sent it.
        from: IpAddr,
    },
    /// Out of VXLAN-GPE, from a router outside.
    Gpe {
        /// The router.
        from: IpAddr,
    },
    /// From the host's LISP gateway.
    Gateway,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Ethernet address of the sender.
    pub from_mac: Mac,
    /// Ethernet address that it is sent to; a question goes to everybody.
    pub to_mac: Mac,
    /// Sender.
    pub from: IpAddr,
    /// Receiver, or who is asked for.
    pub to: IpAddr,
    /// What it is.
    pub what: What,
    /// It belongs to a connection that the switches know, instead of opening one. Only security rules care.
    #[serde(default)]
    pub established: bool,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub enum What {
    /// Who has this address? ARP, or a neighbour solicitation for IPv6.
    Arp,
    /// Echo request; the reply where the connection is known.
    Icmp,
    /// The segment that opens a connection, or one of it.
    Tcp {
        /// Sender's port.
        from_port: u16,
        /// Receiver's port.
        to_port: u16,
    },
    /// A datagram.
    Udp {
        /// Sender's port.
        from_port: u16,
        /// Receiver's port.
        to_port: u16,
    },
}

/// What one host's switch does with a packet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traced {
    /// The rules that it meets, in order.
    pub steps: Vec<Step>,
    /// Where it, or its copies, go; never empty.
    pub ends: Vec<End>,
}

/// A rule that a packet meets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Table.
    pub table: u8,
    /// Priority; none where no rule matched.
    pub priority: Option<u16>,
    /// What the rule matches.
    #[serde(rename = "match")]
    pub matching: String,
    /// Cookie, hexadecimal.
    pub cookie: String,
    /// What the rule is for.
    pub purpose: String,
    /// Whether the rule is as the directory asks; none where no rule matched.
    pub mark: Option<FlowMark>,
    /// What it does, and what the switch says to it.
    pub actions: Vec<String>,
}

/// Where a packet goes from a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// To a member's port.
    Member {
        /// Its cluster.
        cluster: ClusterName,
        /// The member.
        vm: VmName,
        /// What the VM does; none for the host itself, or where its agent has none.
        state: Option<VmState>,
    },
    /// Into a tunnel to another host.
    Tunnel {
        /// The underlay address that it is sent to.
        to: IpAddr,
        /// Sent on by a redirect: the receiver has left this host, or is leaving it.
        redirected: bool,
        /// By VXLAN-GPE, as it came.
        #[serde(default)]
        gpe: bool,
    },
    /// By VXLAN-GPE to a router outside.
    Outside {
        /// The router.
        router: IpAddr,
    },
    /// To the host's LISP gateway, which sends it to a router outside.
    Gateway,
    /// Back to the sender as the answer to its question.
    Answered,
    /// Into the queue of a switchover that is being taken back.
    Held {
        /// The member that it is for.
        vm: VmName,
    },
    /// To a port that is nobody's of ours.
    Port {
        /// Its OpenFlow number.
        number: u32,
    },
    /// Nowhere.
    Dropped {
        /// Why.
        because: String,
    },
}

/// What a packet's way is asked for with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The sender: `CLUSTER/MEMBER`, or an address.
    pub from: String,
    /// The receiver: the same.
    pub to: String,
    /// What is sent.
    #[serde(default)]
    pub proto: Proto,
    /// The receiver's port, of TCP and UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A packet of a known connection instead of one that opens it.
    #[serde(default)]
    pub established: bool,
    /// The way back as well.
    #[serde(default)]
    pub both: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// Echo request.
    #[default]
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// The question for an address: ARP, or neighbour discovery.
    Arp,
}

/// One host on a packet's way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// The host.
    pub host: HostName,
    /// How it comes there.
    pub enters: String,
    /// What carries it there from the hop before, as far as it is known.
    #[serde(default)]
    pub underlay: Option<String>,
    /// What the switch does with it.
    #[serde(flatten)]
    pub traced: Traced,
}

/// A packet's way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// The packet in words.
    pub packet: String,
    /// Host by host.
    pub hops: Vec<Hop>,
    /// Whether it reaches who it is for: the member's port, the answer, or the router outside.
    pub reaches: bool,
    /// Where it ends, in one sentence.
    pub verdict: String,
}

/// There, and back where that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// From the one to the other.
    pub there: Way,
    /// And back.
    #[serde(default)]
    pub back: Option<Way>,
}
