//! Schemas of plans, migrations and events.

use super::plan::{Needs, Predicted};
use utoipa::ToSchema;

/// How the data of a VM travels.
#[derive(ToSchema)]
#[schema(as = MigrationKind)]
#[schema(rename_all = "lowercase")]
pub enum Kind {
    /// Memory and device state while the guest runs.
    Live,
}

/// When the peers' rules are flipped.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum FlipOrder {
    /// Before the stop, each peer ahead of it by its own delay: the orchestrated switchover.
    BeforeStop,
    /// At QEMU's `pre-switchover`; loses packets, for comparison.
    PreSwitchover,
    /// When the target has resumed; loses packets, for comparison.
    AfterResume,
    /// At the stop, carried by the source's redirect.
    Redirect,
}

/// What may be chosen for one migration.
#[derive(ToSchema)]
#[schema(as = MigrationOptions)]
pub struct Options {
    /// When the peers' rules are flipped.
    #[schema(required = false)]
    pub order: FlipOrder,
    /// Longest network downtime that is accepted, ms.
    #[schema(required = false, default = 1000.0)]
    pub max_gap_ms: f64,
    /// Whether guests that dirty faster than the WAN carries may be slowed.
    #[schema(required = false, default = false)]
    pub allow_slowdown: bool,
    /// Everything up to the stop, then back.
    #[schema(required = false, default = false)]
    pub rehearse: bool,
    /// Most that the whole gang may send, Mbit/s; 0 takes what is free when it begins.
    #[schema(required = false, default = 0.0)]
    pub bandwidth_mbit: f64,
    /// Longest time from the first byte until every VM is ready to switch, seconds.
    #[schema(required = false, default = 180.0)]
    pub converge_s: f64,
    /// From the stop of one VM to that of the next, ms; 0 stops all at one moment, none lets no VM
    /// wait for another.
    #[schema(required = false, minimum = 0.0)]
    pub stagger_ms: Option<f64>,
    /// Which VMs stop together; none takes groups where the cluster has an order, else each for itself.
    #[schema(required = false)]
    pub switch: Option<Switch>,
    /// Of migrations that wait for room, the one with the highest goes first.
    #[schema(required = false, default = 0)]
    pub priority: i32,
    /// It may begin and switch over inside of this only: two moments, or two times of every day (UTC).
    #[schema(required = false, example = "22:00/04:00")]
    pub window: Option<String>,
    /// Whether memory goes as references and differences; off, it goes as it is.
    #[schema(required = false, default = true)]
    pub deltas: bool,
}

/// Which VMs of a gang stop together.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Switch {
    /// All at one moment, or each group of a cluster with an order at one.
    Together,
    /// Each for itself.
    OneByOne,
}

/// What one way to switch over is predicted to cost.
#[derive(ToSchema)]
pub struct SwitchForecast {
    /// The way.
    pub switch: Switch,
    /// Network downtime of the VM that has the longest, ms.
    pub gap_ms: f64,
    /// From the first stop of the gang until the last resume, ms.
    pub window_ms: f64,
    /// Whether it is the way that was chosen.
    pub chosen: bool,
    /// Who stops together, in their order.
    pub groups: Vec<Vec<String>>,
}

/// Where a migration stands; `arrived`, `aborted` and `failed` are final.
#[derive(ToSchema)]
#[schema(as = MigrationState)]
#[schema(rename_all = "snake_case")]
pub enum State {
    /// It waits for room, for a window, or for a host.
    Queued,
    /// Targets are made ready.
    Preparing,
    /// Memory flows while the guests run.
    PreCopy,
    /// Every VM iterates and waits for the slowest.
    Hold,
    /// The stop is scheduled.
    Armed,
    /// Stopped at the source, not yet answered for at the target.
    Switchover,
    /// Targets run; a probe must be answered.
    Verify,
    /// Source copies are being removed.
    CleanUp,
    /// Every VM runs at the target.
    Arrived,
    /// Everything goes back to the source.
    Aborting,
    /// Every VM runs at the source as before.
    Aborted,
    /// Ended with something that a person must look at.
    Failed,
}

/// Numbers of one VM on its way.
#[derive(ToSchema)]
#[schema(as = MigrationProgress)]
pub struct Progress {
    /// Bytes that QEMU has handed over.
    pub sent_bytes: u64,
    /// Bytes that crossed the WAN for them.
    pub wire_bytes: u64,
    /// Bytes that remain in this pass.
    pub remaining_bytes: u64,
    /// Guest memory in total.
    pub total_bytes: u64,
    /// Wire rate of the last second, bytes a second.
    pub rate: f64,
    /// Passes over the guest's memory.
    pub passes: u64,
    /// Pages a second that the guest dirties.
    pub dirty_pages_rate: u64,
    /// Predicted time until the VM is ready to switch, ms; 0 when it is.
    pub ready_in_ms: f64,
    /// Bytes of the disks that were mirrored.
    pub disk_bytes: u64,
    /// Bytes of the disks that there are to mirror.
    pub disk_total_bytes: u64,
}

/// One timed step of a migration.
#[derive(ToSchema)]
#[schema(as = MigrationPhase)]
pub struct Phase {
    /// Name.
    #[schema(example = "pre-copy")]
    pub name: String,
    /// The VM, or null when the whole gang is meant.
    pub vm: Option<String>,
    /// Begin, ms after the migration's begin.
    pub start_ms: f64,
    /// Duration, ms.
    pub ms: f64,
}

/// Where QEMU's bytes went, by the way they travelled.
#[derive(ToSchema)]
#[schema(as = MigrationWays)]
pub struct Ways {
    /// Pages that the target had: only their names travelled.
    pub referenced: u64,
    /// Pages that were there before: only what changed travelled.
    pub differences: u64,
    /// Compressed.
    pub packed: u64,
    /// As they are.
    pub plain: u64,
}

/// What was measured on the inside of one VM's switchover.
#[derive(ToSchema)]
#[schema(as = MigrationFigures)]
pub struct Figures {
    /// No vCPU of the VM ran, ms.
    pub vcpu_downtime_ms: Option<f64>,
    /// From the first peer's flip falling due until every switch acknowledged, ms.
    pub rule_switch_ms: Option<f64>,
    /// Real stop less predicted stop, ms.
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
    pub ways: Ways,
    /// Bytes that were written to the mirrors of the disks.
    pub disk_bytes: u64,
    /// Bytes that crossed the WAN for them.
    pub disk_wire_bytes: u64,
    /// Packets salvaged from the source's queue.
    pub salvaged: u64,
    /// Packets that the target's queue dropped.
    pub queue_drops: u64,
    /// The stop, Unix ns on the controller's clock.
    pub stopped_unix_ns: Option<i64>,
    /// The resume, Unix ns on the controller's clock.
    pub resumed_unix_ns: Option<i64>,
}

/// One VM of a migration.
#[derive(ToSchema)]
pub struct VmMove {
    /// The VM.
    #[schema(example = "shop-1")]
    pub vm: String,
    /// The host where it ran.
    #[schema(example = "north-1")]
    pub from: String,
    /// The host where it goes.
    #[schema(example = "south-1")]
    pub to: String,
    /// What is kept for it at the target until the migration ends.
    #[schema(required = false)]
    pub needs: Needs,
    /// What the plan said of it; its total is until it is ready to switch.
    pub predicted: Option<Predicted>,
    /// Latest numbers.
    pub progress: Progress,
    /// What was measured.
    pub figures: Figures,
}

/// One migration of one cluster.
#[derive(ToSchema)]
pub struct Migration {
    /// Identity.
    #[schema(example = "m-0007")]
    pub id: String,
    /// The cluster.
    #[schema(example = "shop")]
    pub cluster: String,
    /// Source site.
    #[schema(example = "north")]
    pub from: String,
    /// Target site.
    #[schema(example = "south")]
    pub to: String,
    /// Kind.
    pub kind: Kind,
    /// What was chosen.
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
    /// What the plan said of it, before it began.
    pub predicted: Option<Predicted>,
    /// The user has paused it.
    pub paused: bool,
    /// What it was given when it began, Mbit/s; 0 when it has not.
    pub given_mbit: f64,
}

/// What happened.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EventKind {
    /// An agent dialled in; with `host`.
    HostUp,
    /// An agent's connection ended; with `host`.
    HostDown,
    /// A cluster changed; with `cluster`.
    ClusterChanged,
    /// A migration entered a phase; with `migration`, `vm`, `phase`, `message`.
    Phase,
    /// Numbers of a VM on its way; with `migration`, `vm`, `progress`.
    Progress,
    /// A migration ended; with `migration`, `arrived`, `message`.
    Ended,
    /// A name was published, or was not; with `name`, `published`, `message`.
    Dns,
}

/// One event. Which of the optional members are there depends on `event`.
#[derive(ToSchema)]
pub struct Event {
    /// Number in this controller's life, from 1, without gaps.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What happened.
    pub event: EventKind,
    /// The agent's host.
    pub host: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The migration.
    pub migration: Option<String>,
    /// The VM, or null when all are meant.
    pub vm: Option<String>,
    /// Phase name.
    pub phase: Option<String>,
    /// One plain sentence.
    pub message: Option<String>,
    /// The numbers.
    pub progress: Option<Progress>,
    /// True when every VM arrived.
    pub arrived: Option<bool>,
    /// The name in the DNS, or the zone where all of it is meant.
    pub name: Option<String>,
    /// True when the DNS says what it should.
    pub published: Option<bool>,
}
