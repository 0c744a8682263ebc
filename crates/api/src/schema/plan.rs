//! Schemas of plans.

use super::SwitchForecast;
use utoipa::ToSchema;

/// What came out of a check.
#[derive(ToSchema)]
#[schema(as = PlanCheckResult)]
#[schema(rename_all = "lowercase")]
pub enum CheckResult {
    /// As it should be.
    Ok,
    /// The migration may begin, but somebody should know.
    Warning,
    /// The migration may not begin.
    Obstacle,
}

/// One precheck.
#[derive(ToSchema)]
#[schema(as = PlanCheck)]
pub struct Check {
    /// What was checked.
    #[schema(example = "clock")]
    pub name: String,
    /// Of what: a VM, a host, a site or the cluster.
    #[schema(example = "south-1")]
    pub subject: String,
    /// What came out.
    pub result: CheckResult,
    /// What was found.
    pub found: String,
    /// The way out; empty where none is needed.
    pub remedy: String,
}

/// What a VM needs at its target.
#[derive(ToSchema)]
#[schema(as = VmNeeds)]
pub struct Needs {
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Room for its disk images, bytes.
    pub disk_bytes: u64,
}

/// What a migration is expected to take.
#[derive(ToSchema)]
pub struct Predicted {
    /// Bytes on the wire.
    pub bytes: u64,
    /// From its begin to its end, ms.
    pub total_ms: f64,
    /// Network downtime, ms.
    pub gap_ms: f64,
}

/// A part of a predicted duration.
#[derive(ToSchema)]
#[schema(as = PlanPart)]
pub struct Part {
    /// The phase's name.
    #[schema(example = "pre-copy")]
    pub name: String,
    /// Its length, ms.
    pub ms: f64,
}

/// Whether pre-copy comes to an end.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Convergence {
    /// By itself.
    Yes,
    /// With the guest slowed down, as was allowed.
    Slowed,
    /// Not, and nothing is allowed that would help.
    No,
}

/// What is foreseen of one VM.
#[derive(ToSchema)]
#[schema(as = VmForecast)]
pub struct Forecast {
    /// The VM.
    #[schema(example = "shop-1")]
    pub vm: String,
    /// The host where it runs.
    #[schema(example = "north-1")]
    pub from: String,
    /// The host where it would go.
    #[schema(example = "south-1")]
    pub to: String,
    /// What it would need there.
    pub needs: Needs,
    /// Bytes of its memory that are not zero.
    pub used_bytes: u64,
    /// Bytes that it dirties in a second; null when that was not measured.
    pub dirty_rate: Option<f64>,
    /// Bytes of its memory on the wire.
    pub bytes: u64,
    /// Bytes of its disks on the wire.
    pub disk_bytes: u64,
    /// Until it is ready to switch, ms.
    pub ready_ms: f64,
    /// Network downtime, ms.
    pub gap_ms: f64,
    /// Whether its memory is copied faster than it changes.
    pub convergence: Convergence,
}

/// What a migration would do, and whether anything stands in its way.
#[derive(ToSchema)]
pub struct Plan {
    /// The cluster.
    #[schema(example = "shop")]
    pub cluster: String,
    /// Source site.
    #[schema(example = "north")]
    pub from: String,
    /// Target site.
    #[schema(example = "south")]
    pub to: String,
    /// Checks, each with its result.
    pub checks: Vec<Check>,
    /// Its VMs.
    #[schema(required = false)]
    pub vms: Vec<Forecast>,
    /// Predicted parts of its duration, in their order.
    #[schema(required = false)]
    pub phases: Vec<Part>,
    /// Predicted bytes on the wire.
    pub bytes: u64,
    /// Predicted duration, ms.
    pub total_ms: f64,
    /// Predicted network downtime of each VM, ms.
    pub gap_ms: f64,
    /// Predicted time from the first VM's stop to the last one's, ms.
    #[schema(required = false)]
    pub spread_ms: f64,
    /// The rate that it reckons with, bytes a second.
    #[schema(required = false)]
    pub rate: f64,
    /// Where that rate comes from, in words.
    #[schema(required = false)]
    pub rate_from: String,
    /// What each way to switch over would cost.
    #[schema(required = false)]
    pub switches: Vec<SwitchForecast>,
}
