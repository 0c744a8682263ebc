//! What an agent tells the controller.

use crate::migration::{Progress, Ways};
use crate::{ClusterName, Entry, HostName, MigrationId, Nanos, SiteName, VmName, vm::VmState};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A frame from an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    /// First frame.
    Hello(Box<Hello>),
    /// What is your clock?
    Clock {
        /// The agent's moment, returned as it is.
        asked: i64,
    },
    /// How an order went.
    Answer {
        /// The order's id.
        id: u64,
        /// How it went; the error is one plain sentence with the way out.
        result: Result<Answer, String>,
    },
    /// Something happened.
    News {
        /// Which run of the agent tells it: another one begins to count anew.
        life: u64,
        /// Grows by one. What was on its way when a connection ended is told again on the next; the number
        /// says whether it had come.
        number: u64,
        /// What happened.
        news: Box<News>,
    },
}

/// Who dials in, and what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's protocol version.
    pub protocol: u32,
    /// The host; must be the name in the certificate.
    pub host: HostName,
    /// The site that the host belongs to.
    pub site: SiteName,
    /// Underlay address of its tunnels.
    pub underlay: IpAddr,
    /// Address that peers' relays dial.
    pub relay_ip: IpAddr,
    /// Port of the relay there; 0 when an older agent does not tell.
    #[serde(default)]
    pub relay_port: u16,
    /// UDP address that answers delay measurements.
    pub delay_responder: SocketAddr,
    /// Its part of the secure underlay; none where its tunnels run in the open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secured: Option<crate::underlay::Part>,
    /// What the host can do.
    pub abilities: Abilities,
    /// Rows that the host's switch holds, with their epochs, so that a controller that lost its
    /// last moments catches up.
    pub entries: Vec<Entry>,
    /// VMs that run or wait here.
    pub vms: Vec<VmHere>,
}

/// What a host can do, as its agent found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Abilities {
    /// QEMU version, for example `10.0.2`.
    pub qemu: String,
    /// `kvm` where a guest really boots under it, else `tcg`.
    pub accel: String,
    /// Whether the self-test found that this QEMU can be held and stops when it is released.
    pub prediction: bool,
    /// Why not, when not.
    pub prediction_note: String,
    /// Free memory, MiB.
    pub free_mib: u64,
    /// CPUs.
    pub cpus: u32,
    /// MTU of the uplinks, bytes.
    pub uplink_mtu: u16,
    /// What the uplinks to the WAN carry, Mbit/s, as configured; 0 when unknown.
    pub uplink_mbit: f64,
}

/// A VM on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmHere {
    /// The cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// What it does.
    pub state: VmState,
}

/// A good answer to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Done, acknowledged by the switch where one is concerned.
    Done,
    /// Will be done at its moment.
    Scheduled,
    /// The target is ready.
    Prepared {
        /// Where the source's relay dials.
        relay: SocketAddr,
    },
    /// The stop is scheduled.
    Armed {
        /// When the vCPUs will stop, if released.
        stop_at: Nanos,
        /// Bytes on the wire that are expected after the stop.
        burst_bytes: u64,
    },
    /// One-way delays, ms; a host that did not answer is missing.
    Delays {
        /// Host and delay.
        one_way_ms: Vec<(HostName, f64)>,
        /// Longest that an ordinary thread of this host waited for a CPU in the last ten seconds, ms.
        #[serde(default)]
        stall_ms: f64,
    },
    /// The VMs here.
    Vms {
        /// The VMs.
        vms: Vec<VmHere>,
    },
    /// What was found on the host.
    Facts {
        /// All of it.
        facts: Box<crate::facts::Facts>,
    },
    /// The domains that libvirt has here.
    Domains {
        /// The domains.
        domains: Vec<crate::libvirt::Found>,
    },
    /// What a target must know of a domain.
    Domain {
        /// All of it.
        domain: Box<crate::libvirt::Description>,
    },
    /// The host's keys, public, base64; the one that it begins sessions with first.
    Keys {
        /// The keys.
        keys: Vec<String>,
    },
    /// How it stands between this host and the others of the secure underlay.
    Sessions {
        /// With each of them.
        sessions: Vec<crate::underlay::Session>,
    },
    /// What waited was sent back or replayed.
    Queue {
        /// Packets.
        packets: u64,
    },
    /// Rules of the switch, or a part of them.
    Flows {
        /// The part.
        part: Box<crate::flows::FlowsPart>,
    },
    /// What the switch would do with a packet.
    Traced {
        /// All of it.
        traced: Box<crate::trace::Traced>,
    },
    /// What ports and tunnels carry.
    Links {
        /// All of it.
        links: Box<crate::links::Links>,
    },
}

/// Something that happened on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// A scheduled change of rules was made.
    Flipped {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// When it was due.
        due: Nanos,
        /// When the switch had acknowledged it.
        acked: Nanos,
    },
    /// Numbers of a VM on its way.
    Progress {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// The numbers.
        progress: Progress,
    },
    /// A VM is on hold and no longer shrinks: ready to switch.
    Held {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Bytes on the wire that the last burst is expected to have.
        burst_bytes: u64,
        /// Pages that were dirty after the last passes.
        pages: u64,
    },
    /// The mirrors of a VM's disks are whole but for what the guest writes; its memory follows.
    Mirrored {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// A VM will not converge.
    WontConverge {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Bytes a second that it dirties.
        dirty_rate: f64,
        /// Bytes a second that it was given.
        send_rate: f64,
    },
    /// A VM stands at QEMU's `pre-switchover`.
    PreSwitchover {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// A VM's vCPUs stopped at the source.
    Stopped {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// When.
        at: Nanos,
        /// When it was predicted, if it was.
        predicted: Option<Nanos>,
        /// Packets taken from the source's queue and sent to the target.
        salvaged: u64,
    },
    /// A VM's vCPUs run at the target.
    Resumed {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// When.
        at: Nanos,
        /// Packets that the port's queue has dropped.
        queue_drops: u64,
    },
    /// The source's QEMU has sent everything.
    Sent {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Bytes that QEMU sent.
        sent_bytes: u64,
        /// Bytes that crossed the WAN.
        wire_bytes: u64,
        /// Of these, after the stop.
        last_burst_bytes: u64,
        /// What QEMU's bytes went as.
        #[serde(default)]
        ways: Ways,
        /// Bytes that were written to the mirrors of its disks.
        #[serde(default)]
        disk_bytes: u64,
        /// Bytes that crossed the WAN for them.
        #[serde(default)]
        disk_wire_bytes: u64,
    },
    /// An armed VM did not stop.
    DidNotStop {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// A VM's migration failed on this host; the sentence says why. The source's VM runs on.
    Failed {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Why.
        reason: String,
        /// True when the target may have started the VM: nobody may start it elsewhere until the
        /// target has been asked.
        in_doubt: bool,
    },
    /// A VM's stream broke before its stop, or was left by an agent that was restarted: it runs at the
    /// source, and may be sent anew.
    Interrupted {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Why.
        reason: String,
    },
    /// A VM's process ended by itself.
    VmGone {
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
}
