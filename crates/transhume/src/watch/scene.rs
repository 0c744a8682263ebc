//! What is known of a migration that is watched. Pure: events and answers in.

use model::VmName;
use model::event::{Event, What};
use model::migration::{Migration, VmMove};

/// What the last thing was that came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// A phase began, or its reason to wait changed.
    Phase {
        /// Time since the migration's begin, ms.
        after_ms: u64,
        /// The VM, or all.
        vm: Option<VmName>,
        /// Phase name.
        phase: String,
        /// One plain sentence.
        message: String,
    },
    /// Numbers of a VM.
    Progress,
    /// It ended.
    Ended,
    /// Nothing happened; the migration was asked for.
    Asked,
}

/// A migration, its latest phase and sentence, and the time by its events.
#[derive(Debug)]
pub(crate) struct Scene {
    /// As it was last asked for, with newer numbers from events.
    pub(crate) migration: Migration,
    /// The gang's phase and why it waits.
    pub(crate) phase: String,
    /// Time since the migration's begin by the latest event, ms.
    pub(crate) after_ms: u64,
}

impl Scene {
    pub(crate) fn new(migration: Migration) -> Self {
        let phase = migration.message.clone();
        Self {
            migration,
            phase,
            after_ms: 0,
        }
    }

    /// Takes an event in; returns what is new.
    pub(crate) fn take(&mut self, event: Event) -> News {
        self.after_ms = event.unix_ms.saturating_sub(self.migration.started_unix_ms);
        match event.what {
            What::Phase {
                vm, phase, message, ..
            } => {
                self.phase = match &vm {
                    None => format!("{phase}: {message}"),
                    Some(vm) => format!("{phase}, {vm}: {message}"),
                };
                News::Phase {
                    after_ms: self.after_ms,
                    vm,
                    phase,
                    message,
                }
            }
            What::Progress { vm, progress, .. } => {
                if let Some(one) = self.migration.vms.iter_mut().find(|one| one.vm == vm) {
                    one.progress = progress;
                }
                News::Progress
            }
            What::Ended { message, .. } => {
                self.phase = message;
                News::Ended
            }
            What::HostUp { .. }
            | What::HostDown { .. }
            | What::Dns { .. }
            | What::ClusterChanged { .. } => News::Asked,
        }
    }

    /// Takes in what the migration says by now.
    pub(crate) fn ask(&mut self, migration: Migration) {
        self.migration = migration;
    }

    /// Bytes on the wire by now, all VMs.
    pub(crate) fn wire_bytes(&self) -> u64 {
        self.migration
            .vms
            .iter()
            .map(|vm| vm.progress.wire_bytes)
            .sum()
    }

    /// Bytes a second by now, all VMs.
    pub(crate) fn rate(&self) -> f64 {
        self.migration.vms.iter().map(|vm| vm.progress.rate).sum()
    }

    /// The VM that all wait for, while one is not ready.
    pub(crate) fn slowest(&self) -> Option<&VmMove> {
        let waiting = self
            .migration
            .vms
            .iter()
            .filter(|vm| vm.progress.ready_in_ms > 0.0);
        waiting.max_by(|a, b| a.progress.ready_in_ms.total_cmp(&b.progress.ready_in_ms))
    }

    /// Longest network downtime that is predicted for a VM, once it is.
    pub(crate) fn predicted_gap_ms(&self) -> Option<f64> {
        let gaps = self
            .migration
            .vms
            .iter()
            .filter_map(|vm| vm.figures.predicted_gap_ms);
        gaps.max_by(f64::total_cmp)
    }
}

/// How far a VM is, 0 to 1: of the pass that runs, or all when it is ready.
pub(crate) fn fraction(vm: &VmMove) -> f64 {
    let now = &vm.progress;
    if now.passes > 0 && now.ready_in_ms <= 0.0 {
        return 1.0;
    }
    if now.total_bytes == 0 {
        return 0.0;
    }
    let left = now.remaining_bytes.min(now.total_bytes) as f64 / now.total_bytes as f64;
    // Before the first numbers, what remains reads 0 although nothing was sent.
    if now.sent_bytes == 0 { 0.0 } else { 1.0 - left }
}
