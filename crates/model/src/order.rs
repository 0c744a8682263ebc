//! What the controller tells an agent to do.
//!
//! Frames in both directions are JSON behind a 32-bit big-endian length, inside mutual TLS. The
//! controller's are [`Down`]. Orders carry an id; the agent answers each exactly once with
//! [`crate::news::Up::Answer`].

use crate::cluster::Cidr;
use crate::migration::FlipOrder;
use crate::{ClusterName, Entry, Epoch, Locator, Member, MigrationId, Nanos, Net, Slice, VmName};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Version of the protocol between controller and agents; both ends must speak the same.
pub const PROTOCOL: u32 = 3;

/// Largest frame, bytes.
pub const MAX_FRAME: usize = 16 << 20;

/// A frame from the controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// First frame after the agent's hello.
    Welcome {
        /// The controller's protocol version.
        protocol: u32,
        /// The host's address in the secure underlay, with the underlay's prefix; none where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<Cidr>,
    },
    /// Answer to the agent's clock question.
    Clock {
        /// The agent's moment, as sent.
        asked: i64,
        /// The controller's moment of answering.
        now: Nanos,
    },
    /// Something to do.
    Order {
        /// Chosen by the controller, unique on the connection.
        id: u64,
        /// What to do.
        order: Box<Order>,
    },
}

/// Something to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Take this as the whole truth about the host's networks.
    Replace {
        /// The truth.
        slice: Slice,
    },
    /// Take these rows where their epoch is newer, now or at a moment.
    Apply {
        /// Networks that are new or changed.
        nets: Vec<Net>,
        /// Rows that are new or changed.
        entries: Vec<Entry>,
        /// Rows that are gone.
        removed: Vec<Gone>,
        /// When; the answer comes at once when the moment lies ahead ([`crate::news::Answer::Scheduled`]),
        /// the acknowledgement then follows as [`crate::news::News::Flipped`].
        at: Option<Nanos>,
        /// The migration that this belongs to.
        migration: Option<MigrationId>,
    },
    /// Make a member's port: vint0 with its addresses for a host, a waiting tap for a VM.
    Link {
        /// Its network.
        net: Net,
        /// The member.
        member: Member,
    },
    /// Remove a member's port.
    Unlink {
        /// The cluster.
        cluster: ClusterName,
        /// The member.
        vm: VmName,
    },
    /// Start a VM on a port that was linked.
    StartVm {
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        member: Member,
    },
    /// End a VM's process and remove its port.
    StopVm {
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
    /// Make ready to receive a VM: port with a long queue and no rule that leads to it, QEMU
    /// incoming, relay listening. Answered by [`crate::news::Answer::Prepared`].
    PrepareTarget {
        /// The migration.
        migration: MigrationId,
        /// The VM's network.
        net: Net,
        /// The VM.
        member: Member,
        /// Who will send it: the name in the source agent's certificate.
        source: crate::HostName,
        /// What libvirt must know of it, where it is a domain of libvirt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        domain: Option<Box<crate::libvirt::Description>>,
    },
    /// What domains does libvirt have here? Answered by [`crate::news::Answer::Domains`].
    FindDomains,
    /// What must a target know of this VM, a domain of libvirt? Answered by [`crate::news::Answer::Domain`].
    DescribeDomain {
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
    /// Begin to send a VM: pre-copy at full rate, then hold.
    Migrate {
        /// The migration.
        migration: MigrationId,
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
        /// The target agent's relay.
        relay: SocketAddr,
        /// The name in the target agent's certificate.
        target: crate::HostName,
        /// The VM's place when it has moved.
        locator: Locator,
        /// How to send.
        how: Sending,
    },
    /// Send a VM that is not armed at a trickle, or as fast as it may be again; after the latter it says
    /// anew when it is on hold and level.
    Pace {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// At a trickle.
        slow: bool,
    },
    /// Schedule the stop of a VM on hold. It does not stop before [`Order::Release`]. Answered by [`crate::news::Answer::Armed`].
    Arm {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// When its vCPUs shall stop.
        stop_at: Nanos,
        /// From when before the stop QEMU iterates without a limit, ms: long enough to send what
        /// the hold left, so that only the pages of the last few milliseconds remain.
        sprint_ms: f64,
    },
    /// Let an armed VM stop at its moment: all peers hold their orders. Without it the VM does
    /// not stop.
    Release {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// Go on past QEMU's `pre-switchover` (only [`FlipOrder::PreSwitchover`]).
    Continue {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// At the source, before an abort flips anything back: keep what arrives for the VM in a
    /// queue of the agent's.
    Gate {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// At the target: send what waited in the port's queue back through the relay, after waiting
    /// this long for stragglers.
    ReturnQueue {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// Wait, ms.
        wait_ms: f64,
    },
    /// At the source: replay what came back, then the gate's queue, open the gate, cancel last.
    AbortSource {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
    },
    /// At the target: the migration ended without this VM; remove its process and port.
    DiscardTarget {
        /// The migration.
        migration: MigrationId,
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
    /// At the target: does the guest answer on its port? Answered by `Done` or refused.
    Verify {
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
        /// Longest wait, ms.
        wait_ms: f64,
    },
    /// At the source, after the commit: end the stopped process, remove its port.
    FinishSource {
        /// The migration.
        migration: MigrationId,
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
    /// At the target, after the commit: the VM is here for good.
    FinishTarget {
        /// The migration.
        migration: MigrationId,
        /// The cluster.
        cluster: ClusterName,
        /// The VM.
        vm: VmName,
    },
    /// Measure one-way delays to these hosts (half the shortest round trip).
    /// Answered by [`crate::news::Answer::Delays`].
    MeasureDelays {
        /// The hosts' delay responders.
        hosts: Vec<(crate::HostName, SocketAddr)>,
    },
    /// What VMs are here? Answered by [`crate::news::Answer::Vms`].
    ListVms,
    /// Take this as the whole truth about the secure underlay.
    Underlay {
        /// The truth.
        peers: Box<crate::underlay::Peers>,
    },
    /// A step of a key's rotation. Answered by [`crate::news::Answer::Keys`].
    TurnKey {
        /// The step.
        step: crate::underlay::KeyStep,
    },
    /// How does it stand with the other hosts? Answered by [`crate::news::Answer::Sessions`].
    ListSessions,
    /// Look at the host, for a plan. Changes nothing. Answered by [`crate::news::Answer::Facts`].
    Survey {
        /// What to look at.
        survey: Box<crate::facts::Survey>,
    },
    /// What rules does the switch have? Answered by [`crate::news::Answer::Flows`].
    ReadFlows {
        /// Which ones.
        asked: Box<crate::flows::FlowsAsked>,
    },
    /// What would the switch do with this packet? Sends none. Answered by [`crate::news::Answer::Traced`].
    Trace {
        /// The packet, and where it comes in.
        probe: Box<crate::trace::Probe>,
    },
    /// What do ports and tunnels carry? Answered by [`crate::news::Answer::Links`].
    ReadLinks {
        /// Read twice, this far apart, for rates, ms; once when 0. At most [`crate::flows::LONGEST_MS`].
        over_ms: u32,
    },
}

/// A row that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The cluster.
    pub cluster: ClusterName,
    /// The member.
    pub vm: VmName,
    /// Rows up to this epoch are meant.
    pub epoch: Epoch,
}

/// How a VM is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sending {
    /// When the peers are flipped.
    pub order: FlipOrder,
    /// Wire rate of this VM in bulk, bytes a second.
    pub bulk_rate: u64,
    /// Rate of this VM on hold, bytes a second before compression.
    pub hold_rate: u64,
    /// Whether the guest may be slowed to converge.
    pub allow_slowdown: bool,
    /// Whether pages go as references and differences where the target has what they refer to.
    #[serde(default = "yes")]
    pub deltas: bool,
}

fn yes() -> bool {
    true
}
