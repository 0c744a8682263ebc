//! What an agent finds on its host when it is asked, for one plan.
//!
//! Unlike [`crate::news::Abilities`], which an agent tells once when it dials in, all of this is
//! looked up anew: free memory, the clock, what a CPU model means here, what is in a VM's way. What an
//! agent could not find out is absent, never a default.

use crate::vm::Accel;
use crate::{ClusterName, HostName, Mac, Member, Nanos, VmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Survey {
    /// VMs that would come here, or leave.
    pub vms: Vec<Asked>,
    /// Other hosts to reach through the data network.
    pub peers: Vec<Peer>,
    /// Size of an IP packet that must get through to them whole, bytes.
    pub packet: u16,
    /// How long the guests' dirty pages are counted, s; 0 leaves them alone.
    pub watch_s: u32,
    /// A path to measure.
    pub path: Option<PathAsked>,
}

/// A VM that would come, or leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub member: Member,
}

/// Another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub host: HostName,
    /// UDP responder on its underlay address.
    pub responder: SocketAddr,
}

/// A path whose rate is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathAsked {
    /// Whose relay: the name in its certificate.
    pub host: HostName,
    /// The relay.
    pub relay: SocketAddr,
    /// Send no faster than this, bytes a second; 0 is as fast as it goes.
    pub most_rate: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What the machine types asked for are on this host.
    pub machines: Vec<Machine>,
    /// What the CPU models asked for are on this host.
    pub cpus: Vec<CpuModel>,
    /// Why QEMU could not be asked, when it could not.
    pub qemu_note: String,
    /// Memory.
    pub memory: Memory,
    /// Where disk images are kept.
    pub images: Option<Space>,
    /// Runnable threads, mean of the last minute.
    pub load: f64,
    /// The host's wall clock beside the controller's.
    pub clock: Option<WallClock>,
    /// End of the host's certificate, s since the Unix epoch.
    pub certificate_ends_s: Option<i64>,
    /// End of the authority's certificate, as this host has it, s since the Unix epoch.
    pub authority_ends_s: Option<i64>,
    /// Files that the VMs asked for need.
    pub files: Vec<FileFound>,
    /// Files that are where images of the VMs asked for are on this host, or would be.
    pub disks: Vec<DiskFound>,
    /// What stands in the way of the VMs asked for.
    pub ports: Vec<PortTaken>,
    /// VMs whose processes live here.
    pub vms: Vec<VmFound>,
    /// VMs that are being sent or received here now.
    pub moving: u32,
    /// The hosts asked for, through the data network.
    pub tunnels: Vec<Tunnel>,
    /// The path asked for.
    pub path: Option<PathFound>,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// As the VM asks for it, for example `q35`.
    pub asked: String,
    /// What it is here, for example `pc-q35-10.0`; none when this QEMU has no such type.
    pub is: Option<String>,
    /// All that this QEMU has, to name a type that both ends know.
    pub known: BTreeSet<String>,
}

/// A CPU model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// As the VM asks for it, for example `qemu64`.
    pub asked: String,
    /// With this accelerator.
    pub accel: Accel,
    /// Features that a guest would see; none when this QEMU has no such model, or the host cannot
    /// carry it.
    pub features: Option<BTreeSet<String>>,
}

/// Memory of a host, MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// That could be used now.
    pub free_mib: u64,
    /// That VMs may take in all, as configured; 0 when nothing but the host's memory limits them.
    pub limit_mib: u64,
}

/// Room on a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that could be written.
    pub free: u64,
}

/// A wall clock and the controller's, read at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WallClock {
    /// The controller's moment, as this host reckons it.
    pub moment: Nanos,
    /// The host's wall clock, ns since the Unix epoch.
    pub wall_unix_ns: i64,
    /// The moment may be wrong by this, ms.
    pub uncertainty_ms: f64,
}

/// A file that a VM needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFound {
    /// Where.
    pub path: PathBuf,
    /// SHA-256 in hexadecimal; none when it is not there or cannot be read.
    pub digest: Option<String>,
}

/// A file that is where a disk's image is, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFound {
    /// The cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// The disk.
    pub disk: String,
    /// The file.
    pub path: PathBuf,
    /// Its number, which every host sees alike on storage that they share.
    pub inode: u64,
}

/// Something that is where a VM's port would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortTaken {
    /// The VM that would come.
    pub vm: VmName,
    /// What is in its way.
    pub by: TakenBy,
}

/// What is in a VM's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBy {
    /// An interface of the name that its port would have, and that is not ours.
    Interface(String),
    /// Another member of its cluster with its Ethernet address.
    Address(VmName, Mac),
    /// A process of its own, left here.
    Process,
}

/// A VM's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmFound {
    /// The cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// Memory that it was promised, MiB.
    pub memory_mib: u64,
    /// Memory that its process has, MiB.
    pub resident_mib: u64,
    /// What the guest does with its memory, for the VMs asked for.
    pub seen: Option<GuestMemory>,
}

/// What a guest does with its memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestMemory {
    /// The machine type that it runs with.
    pub machine: Option<String>,
    /// Bytes that are not zero, from a sample of its pages.
    pub used: Option<u64>,
    /// What that shrinks to when it is packed, as a share, from the same sample.
    pub packs: Option<f64>,
    /// Bytes that it dirties in a second, from a sample of its pages (QEMU's `calc-dirty-rate`).
    pub dirty_rate: Option<f64>,
    /// How much of a page it changes when it changes one, as a share, from the same sample.
    pub differs: Option<f64>,
    /// Which share of the pages that are not zero another one of the VMs asked for has on this host as well,
    /// from the same sample.
    pub shared: Option<f64>,
    /// Bytes that the images of its own take on this host, as far as they are written.
    pub disk_bytes: Option<u64>,
}

/// Another host through the data network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The host.
    pub host: HostName,
    /// From this address of ours.
    pub from: IpAddr,
    /// Half of the shortest round trip, ms; none when nothing came back.
    pub one_way_ms: Option<f64>,
    /// Whether a packet of the size asked for got through whole; none where our own interface takes no such
    /// packet from us, though it may from the switch.
    pub packet_passes: Option<bool>,
}

/// A path that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathFound {
    /// It carried this.
    Carries {
        /// Bytes a second.
        rate: f64,
        /// No more was tried than the path carried: it may carry more.
        at_least: bool,
        /// Bytes that were sent.
        bytes: u64,
        /// It took this long, ms.
        ms: f64,
    },
    /// It was not measured; why.
    Left(String),
}
