//! The parts of a report. Times are milliseconds; a moment `…at_ms` counts from its migration's
//! begin. What was not measured is null, never 0.

use crate::analysis::Baseline;
use crate::analysis::plot::Point;
use serde::{Deserialize, Serialize};

/// The link between the sites, as the lab shaped it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wan {
    /// Round trip, ms.
    pub rtt_ms: f64,
    /// Rate in each direction, Mbit/s; 0 is unlimited.
    pub rate_mbit: f64,
    /// Jitter of each direction, ms.
    pub jitter_ms: f64,
    /// Packets lost by the link in each direction, percent.
    pub loss_percent: f64,
}

/// The machine a run took place on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// CPUs.
    pub cpus: u64,
    /// Memory, MiB.
    pub memory_mb: u64,
    /// Kernel release.
    pub kernel: String,
    /// `kvm` or `tcg`: how guests ran.
    pub accelerator: String,
    /// QEMU's version.
    pub qemu: String,
    /// Open vSwitch's version.
    pub ovs: String,
    /// Load average of one minute at the end of the run.
    pub load: f64,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Migration {
    /// Identity.
    #[serde(default)]
    pub id: String,
    /// The cluster.
    pub cluster: String,
    /// Source site.
    pub from: String,
    /// Target site.
    pub to: String,
    /// `live`, `warm` or `cold`.
    pub kind: String,
    /// When peers were flipped: `before-stop`, `pre-switchover`, `after-resume`, `redirect`.
    #[serde(default)]
    pub order: String,
    /// How it ended: `arrived`, `aborted`, `failed`.
    #[serde(default)]
    pub state: String,
    /// Begin, ms since the Unix epoch.
    #[serde(default)]
    pub started_unix_ms: u64,
    /// Duration, ms.
    pub total_ms: f64,
    /// Duration that the plan predicted before it began, ms.
    #[serde(default)]
    pub predicted_total_ms: Option<f64>,
    /// Bytes on the wire that the plan predicted.
    #[serde(default)]
    pub predicted_bytes: Option<u64>,
    /// Network downtime that the plan predicted for each VM, ms.
    #[serde(default)]
    pub predicted_gap_ms: Option<f64>,
    /// Timed steps.
    pub phases: Vec<Phase>,
    /// Its VMs.
    pub vms: Vec<Vm>,
}

/// One timed step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Phase {
    /// `prepare`, `pre-copy`, `hold`, `armed`, `switchover`, `verify`, `clean-up`, `abort`.
    pub name: String,
    /// The VM; null for the whole gang.
    pub vm: Option<String>,
    /// Begin, ms after the migration's begin.
    #[serde(default)]
    pub start_ms: f64,
    /// Duration, ms.
    pub ms: f64,
}

/// One VM of a migration. Packets are those that the probe sent during the migration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vm {
    /// The VM.
    pub name: String,
    /// No vCPU ran, ms: STOP at the source to RESUME at the target.
    pub vcpu_downtime_ms: Option<f64>,
    /// Longest interval between two replies at the outside peer, ms, nothing taken off.
    pub network_downtime_ms: Option<f64>,
    /// From the first flip order falling due to the last switch's acknowledgement, ms.
    pub rule_switch_ms: Option<f64>,
    /// UDP packets sent.
    pub udp_sent: u64,
    /// UDP packets never answered.
    pub udp_lost: u64,
    /// UDP packets answered more than once.
    pub udp_duplicated: u64,
    /// TCP sessions held.
    pub tcp_sessions: u64,
    /// TCP sessions broken or silent.
    pub tcp_lost: u64,
    /// Bytes that crossed the WAN for this VM.
    pub bytes_moved: u64,

    /// Of `udp_lost`, packets that never reached the guest.
    #[serde(default)]
    pub udp_lost_requests: u64,
    /// Of `udp_lost`, packets whose reply got lost.
    #[serde(default)]
    pub udp_lost_replies: u64,
    /// Unanswered packets too young to call lost when the figures were taken.
    #[serde(default)]
    pub udp_pending: u64,
    /// Most replies to a single packet.
    #[serde(default)]
    pub udp_max_copies: u32,
    /// UDP replies overtaken by a later packet's reply.
    #[serde(default)]
    pub udp_reordered: u64,
    /// Largest reordering extent, packets (RFC 4737).
    #[serde(default)]
    pub udp_max_displacement: u64,
    /// `network_downtime_ms` less the stream's sending interval.
    #[serde(default)]
    pub network_downtime_minus_interval_ms: Option<f64>,
    /// Of `udp_lost`, packets sent from 200 ms before the stop to 200 ms after the resume.
    #[serde(default)]
    pub switch_udp_lost: Option<u64>,
    /// Longest interval between two replies that touches that span, ms.
    #[serde(default)]
    pub switch_gap_ms: Option<f64>,
    /// When the gap began.
    #[serde(default)]
    pub gap_at_ms: Option<f64>,
    /// The gap never ended.
    #[serde(default)]
    pub gap_open: bool,
    /// Longest pause of the probe itself in sending the packets around the gap, ms.
    #[serde(default)]
    pub probe_pause_ms: Option<f64>,
    /// Longest TCP stall, ms.
    #[serde(default)]
    pub tcp_stall_ms: Option<f64>,
    /// Of `tcp_lost`, sessions that are not broken but silent.
    #[serde(default)]
    pub tcp_silent: u64,
    /// Why TCP sessions broke.
    #[serde(default)]
    pub tcp_reasons: Vec<String>,
    /// The same stream outside all migrations.
    #[serde(default)]
    pub baseline: Baseline,
    /// Network downtime that the planner predicted before the flip, ms.
    #[serde(default)]
    pub predicted_gap_ms: Option<f64>,
    /// Real stop less predicted stop, ms; negative is the dangerous side.
    #[serde(default)]
    pub stop_error_ms: Option<f64>,
    /// When the vCPUs stopped.
    #[serde(default)]
    pub stop_at_ms: Option<f64>,
    /// When they ran again.
    #[serde(default)]
    pub resume_at_ms: Option<f64>,
    /// When the first peer's rule was flipped.
    #[serde(default)]
    pub flip_at_ms: Option<f64>,
    /// Bytes that QEMU sent, before compression.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Of these, pages that travelled as the names of pages that the target had.
    #[serde(default)]
    pub bytes_referenced: u64,
    /// Of these, pages that travelled as their differences from former ones.
    #[serde(default)]
    pub bytes_differences: u64,
    /// Of these, what was compressed.
    #[serde(default)]
    pub bytes_packed: u64,
    /// Of these, what travelled as it is.
    #[serde(default)]
    pub bytes_plain: u64,
    /// Bytes on the wire after the stop.
    #[serde(default)]
    pub last_burst_bytes: u64,
    /// Packets read from the source's queue after the stop and replayed at the target.
    #[serde(default)]
    pub salvaged: u64,
    /// Packets that the target's queue dropped.
    #[serde(default)]
    pub queue_drops: u64,
    /// The guest's own account of its streams to other VMs, when it was asked.
    #[serde(default)]
    pub guest: Option<GuestView>,
    /// The single packets around the switchover.
    #[serde(default)]
    pub plot: Option<Plot>,
}

/// A guest's own account of its streams to the other VMs, all peers together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestView {
    /// UDP datagrams sent.
    pub udp_sent: u64,
    /// Never answered.
    pub udp_lost: u64,
    /// Answered more than once.
    pub udp_duplicated: u64,
    /// Overtaken.
    pub udp_reordered: u64,
    /// Longest gap, ms of the guest's clock, which stands still while its VM is stopped.
    pub longest_gap_ms: f64,
    /// TCP sessions with other VMs.
    pub tcp_sessions: u64,
    /// Of them, lost.
    pub tcp_lost: u64,
    /// Longest TCP stall, ms of the guest's clock.
    pub longest_stall_ms: f64,
}

/// Single packets around a switchover.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plot {
    /// The stream's sending interval, ms.
    pub interval_ms: f64,
    /// `[sent_ms, rtt_ms or null when lost, copies]`; `sent_ms` counts from the migration's begin.
    pub packets: Vec<Point>,
}

/// What the probe saw of one VM from its first packet to its last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VmTotal {
    /// The VM.
    pub name: String,
    /// UDP packets sent.
    pub udp_sent: u64,
    /// UDP packets never answered.
    pub udp_lost: u64,
    /// UDP packets answered more than once.
    pub udp_duplicated: u64,
    /// Most replies to a single packet.
    pub udp_max_copies: u32,
    /// UDP replies overtaken.
    pub udp_reordered: u64,
    /// TCP sessions held.
    pub tcp_sessions: u64,
    /// TCP sessions broken or silent.
    pub tcp_lost: u64,
    /// TCP records sent.
    pub tcp_records: u64,
    /// UDP packets that the probe skipped because it was late.
    pub probe_skipped: u64,
    /// Replies that the probe's own socket dropped.
    pub probe_drops: u64,
}

/// A figure of a bench.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured, in words.
    pub name: String,
    /// Unit of the values: `ms`, `1/s`, `packets`, …
    pub unit: String,
    /// Every measurement.
    pub values: Vec<f64>,
    /// What the median and the worst value must not exceed, or reach.
    #[serde(default)]
    pub target: Option<Target>,
    /// The same measurement of a peer in the same run; the target is then relative to its median.
    #[serde(default)]
    pub peer: Option<Box<Figure>>,
    /// What others reach, or a remark.
    #[serde(default)]
    pub note: String,
}

/// What a figure must show.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Bound on the median.
    pub median: Option<f64>,
    /// Bound on the worst value.
    pub worst: Option<f64>,
    /// Values must reach the bound instead of staying below it.
    pub at_least: bool,
}
