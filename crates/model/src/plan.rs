//! Plans: whether a migration may begin, and what it would take.

use crate::migration::Switch;
use crate::{ClusterName, HostName, SiteName, VmName};
use serde::{Deserialize, Serialize};

/// A plan: what a migration would do and whether anything stands in its way. Changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The gang.
    pub cluster: ClusterName,
    /// Source site.
    pub from: SiteName,
    /// Target site.
    pub to: SiteName,
    /// Checks, each with its result.
    pub checks: Vec<Check>,
    /// Its VMs.
    #[serde(default)]
    pub vms: Vec<Forecast>,
    /// Predicted parts of its duration, in their order.
    #[serde(default)]
    pub phases: Vec<Part>,
    /// Predicted bytes on the wire.
    pub bytes: u64,
    /// Predicted duration, ms.
    pub total_ms: f64,
    /// Predicted network downtime of each VM, ms.
    pub gap_ms: f64,
    /// Predicted time from the first VM's stop to the last one's, ms.
    #[serde(default)]
    pub spread_ms: f64,
    /// The rate that it reckons with, bytes a second.
    #[serde(default)]
    pub rate: f64,
    /// Where that rate comes from, in words.
    #[serde(default)]
    pub rate_from: String,
    /// What each way to switch over would cost.
    #[serde(default)]
    pub switches: Vec<SwitchForecast>,
}

/// What one way to switch over is predicted to cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub groups: Vec<Vec<VmName>>,
}

impl Plan {
    /// The first check that stands in the way.
    pub fn obstacle(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|check| check.result == CheckResult::Obstacle)
    }

    /// Why the migration may not begin, in one sentence with the way out; none when it may.
    pub fn refusal(&self) -> Option<String> {
        let check = self.obstacle()?;
        let (found, remedy) = (check.found.trim_end_matches('.'), &check.remedy);
        let what = format!("{} of '{}': {found}", check.name, check.subject);
        Some(match remedy.is_empty() {
            true => what,
            false => format!("{what}; {remedy}"),
        })
    }

    /// What it says of the whole, to be put beside what came of it.
    pub fn predicted(&self) -> Predicted {
        Predicted {
            bytes: self.bytes,
            total_ms: self.total_ms,
            gap_ms: self.gap_ms,
        }
    }
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// As it should be.
    Ok,
    /// The migration may begin, but somebody should know.
    Warning,
    /// The migration may not begin.
    Obstacle,
}

/// One precheck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Of what: a VM, a host, a site or the cluster.
    pub subject: String,
    /// What came out.
    pub result: CheckResult,
    /// What was found.
    pub found: String,
    /// The way out; empty where none is needed.
    pub remedy: String,
}

impl Check {
    /// One that came out well.
    pub fn ok(name: &str, subject: impl ToString, found: impl Into<String>) -> Self {
        Self::of(CheckResult::Ok, name, subject, found, "")
    }

    /// One that somebody should know of.
    pub fn warning(
        name: &str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(CheckResult::Warning, name, subject, found, remedy)
    }

    /// One that stands in the way.
    pub fn obstacle(
        name: &str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(CheckResult::Obstacle, name, subject, found, remedy)
    }

    fn of(
        result: CheckResult,
        name: &str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            subject: subject.to_string(),
            result,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a migration is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Predicted {
    /// Bytes on the wire.
    pub bytes: u64,
    /// From its begin to its end; of a VM, until it is ready to switch, ms.
    pub total_ms: f64,
    /// Network downtime, ms.
    pub gap_ms: f64,
}

/// A part of a predicted duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The phase's name, as in [`crate::migration::Phase`].
    pub name: String,
    /// Its length, ms.
    pub ms: f64,
}

/// What is foreseen of one VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The VM.
    pub vm: VmName,
    /// Where it runs.
    pub from: HostName,
    /// Where it would go.
    pub to: HostName,
    /// What it would need there.
    pub needs: Needs,
    /// Bytes of its memory that are not zero; measured, or half of its memory.
    pub used_bytes: u64,
    /// Bytes that it dirties in a second; none when that was not measured.
    pub dirty_rate: Option<f64>,
    /// Bytes of its memory on the wire.
    pub bytes: u64,
    /// Bytes of its disks on the wire.
    pub disk_bytes: u64,
    /// Until it is ready to switch, ms.
    pub ready_ms: f64,
    /// Network downtime, ms.
    pub gap_ms: f64,
    /// Whether its memory is copied faster than it changes, and what is done if not.
    pub convergence: Convergence,
}

/// Whether pre-copy comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convergence {
    /// By itself.
    Yes,
    /// With the guest slowed down, as the user allows.
    Slowed,
    /// Not, and nothing is allowed that would help.
    No,
}

/// What a VM needs at its target, and what is kept for it there from before anything moves until the
/// migration has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Needs {
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Room for its disk images, bytes.
    pub disk_bytes: u64,
}
