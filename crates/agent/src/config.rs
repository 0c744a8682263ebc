//! What the agent is told when it starts, as TOML.

use model::{HostName, SiteName};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Configuration of one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentConfig {
    /// The host's name; it goes into the certificate.
    pub host: HostName,
    /// The site that the host belongs to.
    pub site: SiteName,
    /// The controller's port for agents.
    pub controller: SocketAddr,
    /// File with the join token; read only until the host has joined.
    pub token_file: Option<PathBuf>,
    /// Certificates, sockets, VM descriptions. Short: unix sockets live below.
    pub state: PathBuf,
    /// Address on the management network, for relays and delay measurements.
    pub management: IpAddr,
    /// Port of the relay listener.
    #[serde(default = "relay_port")]
    pub relay_port: u16,
    /// UDP port of the delay responder.
    #[serde(default = "delay_port")]
    pub delay_port: u16,
    /// The QEMU program.
    #[serde(default = "qemu")]
    pub qemu: PathBuf,
    /// libvirt on this host, for example `qemu:///system`; none where it is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt: Option<String>,
    /// Nice value of the VMs, 0 to 19: on a host with few CPUs the switch and the agent, through which
    /// every VM talks, should not have to wait for a VM that computes.
    #[serde(default)]
    pub vm_nice: u8,
    /// What the uplinks carry towards the WAN, Mbit/s; 0 when unknown.
    #[serde(default)]
    pub uplink_mbit: f64,
    /// Memory that VMs may take on this host in all, MiB; 0 leaves them all of it.
    #[serde(default)]
    pub vm_memory_mib: u64,
    /// Added to the host's wall clock when it is told, s: to try what a wrong clock does.
    #[serde(default)]
    pub wall_offset_s: f64,
    /// What is kept of each host that sends VMs here while it does, so that pages can be told by others, MiB.
    #[serde(default = "page_store_mib")]
    pub page_store_mib: u32,
    /// Whether endpoints of other LISP sites are reached from this host: UDP ports 4341 and 4342 of its underlay
    /// address.
    #[serde(default)]
    pub lisp: bool,
    /// UDP port of WireGuard on the host's underlay address.
    #[serde(default = "wireguard_port")]
    pub wireguard_port: u16,
    /// Whether the host has IPsec (strongSwan) beside WireGuard. Packets of members are smaller then: where the kernel
    /// has no ESP, strongSwan takes 1,400 bytes at most.
    #[serde(default)]
    pub ipsec: bool,
    /// Whether the host may turn up at other outer addresses by itself, as behind a NAT. Others then answer to wherever
    /// it was heard last; otherwise only to the address that it has told.
    #[serde(default)]
    pub roams: bool,
    /// The host's Open vSwitch.
    pub ovs: ovs::HostConfig,
}

fn relay_port() -> u16 {
    6640
}

fn delay_port() -> u16 {
    6641
}

fn page_store_mib() -> u32 {
    512
}

fn wireguard_port() -> u16 {
    51820
}

fn qemu() -> PathBuf {
    PathBuf::from("qemu-system-x86_64")
}
