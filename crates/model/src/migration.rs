//! Migrations: what a user asks for, how they stand, and the figures they leave.

use crate::plan::Needs;
pub use crate::plan::{Check, Plan, Predicted, SwitchForecast};
use crate::window::Window;
use crate::{ClusterName, HostName, MigrationId, SiteName, VmName};
use serde::{Deserialize, Serialize};

/// How the data of a VM travels and when its endpoint commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Memory and device state while the guest runs; commits at the orchestrated switchover.
    #[default]
    Live,
}

/// When the peers' rules are flipped. Everything but [`FlipOrder::BeforeStop`] exists to be
/// measured against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlipOrder {
    /// Before the stop, each peer ahead of it by its own delay. The orchestrated switchover.
    #[default]
    BeforeStop,
    /// When QEMU stands at `pre-switchover`, its vCPUs stopped; without the nets.
    PreSwitchover,
    /// When the target has resumed; without the nets.
    AfterResume,
    /// At the stop itself, carried by the source's redirect and the salvage of its queue: what is
    /// used where the self-test found that this QEMU cannot be held.
    Redirect,
}

/// Which VMs of a gang stop together. VMs that others come after ([`crate::Member::after`]) stop before
/// those in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// All at one moment, or each group of a cluster with an order at one: short for the gang as a whole.
    Together,
    /// Each for itself: short for each VM.
    OneByOne,
}

/// What a user may choose for one migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// When the peers are flipped.
    pub order: FlipOrder,
    /// Longest network downtime that is accepted, ms; a longer predicted one holds on, then aborts.
    pub max_gap_ms: f64,
    /// Whether guests that dirty faster than the WAN carries may be slowed (QEMU auto-converge).
    pub allow_slowdown: bool,
    /// Everything up to the stop, then back: peers are flipped, nothing stops, what waited at the
    /// target is replayed at the source. Shows that a move and its abort would work.
    pub rehearse: bool,
    /// Most that the whole gang may send, Mbit/s; 0 takes what is free of what the uplinks are known to
    /// carry when it begins.
    pub bandwidth_mbit: f64,
    /// Longest time from the first byte until every VM is ready to switch, seconds.
    pub converge_s: f64,
    /// From the stop of one VM to that of the next, ms; 0 stops the gang at one moment, `None` takes
    /// so long that no VM waits for another one's link or CPU.
    pub stagger_ms: Option<f64>,
    /// Which VMs stop together; `None` takes groups where the cluster has an order, else each for itself.
    pub switch: Option<Switch>,
    /// Of migrations that wait for room, the one with the highest goes first.
    pub priority: i32,
    /// It may begin and switch over inside of this only, besides the sites' own windows.
    pub window: Option<Window>,
    /// Whether memory goes as references to pages that the target has, and as differences from former
    /// ones. Off, it goes as it is; to be measured against.
    pub deltas: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            order: FlipOrder::BeforeStop,
            max_gap_ms: 1000.0,
            allow_slowdown: false,
            rehearse: false,
            bandwidth_mbit: 0.0,
            converge_s: 180.0,
            stagger_ms: None,
            switch: None,
            priority: 0,
            window: None,
            deltas: true,
        }
    }
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for room, for a window, or for a host; nothing has begun.
    Queued,
    /// Targets are made ready; nothing of the running cluster is touched.
    Preparing,
    /// Memory flows while the guests run.
    PreCopy,
    /// Every VM iterates and waits for the slowest.
    Hold,
    /// The stop is scheduled and peers hold their orders.
    Armed,
    /// Stopped at the source, not yet answered for at the target.
    Switchover,
    /// Targets run; a probe must be answered before the source is given up.
    Verify,
    /// Source copies are being removed.
    CleanUp,
    /// Every VM runs at the target.
    Arrived,
    /// Everything goes back to the source.
    Aborting,
    /// Every VM runs at the source as before.
    Aborted,
    /// Ended with something that a person must look at; the message says what.
    Failed,
}

impl State {
    /// True when nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Arrived | Self::Aborted | Self::Failed)
    }
}

/// Numbers of one VM on its way, for people who watch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that QEMU has handed over.
    pub sent_bytes: u64,
    /// Bytes that crossed the WAN for them (compressed, without TLS framing).
    pub wire_bytes: u64,
    /// Bytes that QEMU says remain in this pass.
    pub remaining_bytes: u64,
    /// Guest memory in total.
    pub total_bytes: u64,
    /// Wire rate of the last second, bytes a second.
    pub rate: f64,
    /// Passes over the guest's memory.
    pub passes: u64,
    /// Pages a second that the guest dirties, as QEMU last measured it.
    pub dirty_pages_rate: u64,
    /// Predicted time until the VM is ready to switch, ms; 0 when it is.
    pub ready_in_ms: f64,
    /// Bytes of the disks that were mirrored.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Bytes of the disks that there are to mirror, as far as is known; grows while the guest writes.
    #[serde(default)]
    pub disk_total_bytes: u64,
}

/// One timed step of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Name: `prepare`, `pre-copy`, `hold`, `armed`, `switchover`, `verify`, `clean-up`, `abort`.
    pub name: String,
    /// The VM, or none when the whole gang is meant.
    pub vm: Option<VmName>,
    /// Begin, ms after the migration's begin.
    pub start_ms: f64,
    /// Duration, ms.
    pub ms: f64,
}

/// Where QEMU's bytes went, by the way they travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ways {
    /// Pages that the target had from this VM or another one of the gang: only their names travelled.
    pub referenced: u64,
    /// Pages that were there before: only what changed travelled.
    pub differences: u64,
    /// Compressed.
    pub packed: u64,
    /// As they are.
    pub plain: u64,
}

/// What was measured on the inside of one VM's switchover.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// No vCPU of the VM ran, ms (QEMU's STOP at the source to RESUME at the target).
    pub vcpu_downtime_ms: Option<f64>,
    /// From the first peer's flip order falling due until every affected switch acknowledged, ms.
    pub rule_switch_ms: Option<f64>,
    /// Real stop less predicted stop, ms; negative is the dangerous side.
    pub stop_error_ms: Option<f64>,
    /// Network downtime that was predicted before anything was flipped, ms.
    pub predicted_gap_ms: Option<f64>,
    /// Bytes that QEMU sent.
    pub sent_bytes: u64,
    /// Bytes that crossed the WAN for them.
    pub wire_bytes: u64,
    /// Bytes on the wire after the stop.
    pub last_burst_bytes: u64,
    /// What QEMU's bytes went as.
    #[serde(default)]
    pub ways: Ways,
    /// Bytes that were written to the mirrors of the disks.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Bytes that crossed the WAN for them.
    #[serde(default)]
    pub disk_wire_bytes: u64,
    /// Packets read from the source's queue after the stop and replayed at the target.
    pub salvaged: u64,
    /// Packets that the target's queue dropped for want of room.
    pub queue_drops: u64,
    /// The stop, Unix ns on the controller's clock.
    pub stopped_unix_ns: Option<i64>,
    /// The resume, Unix ns on the controller's clock.
    pub resumed_unix_ns: Option<i64>,
}

/// One VM of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmMove {
    /// The VM.
    pub vm: VmName,
    /// Where it ran.
    pub from: HostName,
    /// Where it goes.
    pub to: HostName,
    /// What is kept for it at the target until the migration ends.
    #[serde(default)]
    pub needs: Needs,
    /// What the plan said of it.
    #[serde(default)]
    pub predicted: Option<Predicted>,
    /// Latest numbers.
    pub progress: Progress,
    /// What was measured.
    pub figures: Figures,
}

/// One migration of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    /// Identity.
    pub id: MigrationId,
    /// The gang.
    pub cluster: ClusterName,
    /// Source site.
    pub from: SiteName,
    /// Target site.
    pub to: SiteName,
    /// Kind.
    pub kind: Kind,
    /// What the user chose.
    pub options: Options,
    /// Where it stands.
    pub state: State,
    /// One plain sentence: what it does, why it waits, or how it ended.
    pub message: String,
    /// Its VMs.
    pub vms: Vec<VmMove>,
    /// Steps that have ended, in order of their end.
    pub phases: Vec<Phase>,
    /// Begin, ms since the Unix epoch.
    pub started_unix_ms: u64,
    /// Duration until now or until its end, ms.
    pub total_ms: f64,
    /// What the plan said of it, before it began; the downtime is the longest of its VMs.
    #[serde(default)]
    pub predicted: Option<Predicted>,
    /// The user has paused it: it goes no further until it is resumed.
    #[serde(default)]
    pub paused: bool,
    /// What it was given when it began, Mbit/s; 0 when it has not, or nothing is known of its uplinks.
    #[serde(default)]
    pub given_mbit: f64,
}
