//! Where a migration stands, as anybody sees it through the API.

use model::migration::{Migration, State};

/// A stage of a live move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Targets are being made.
    Prepare,
    /// Disks are being mirrored.
    Mirror,
    /// Memory is on its way.
    PreCopy,
    /// All wait for the slowest.
    Hold,
    /// The stop is scheduled.
    Armed,
    /// The first has stopped.
    Switchover,
    /// All have; they are asked whether they live.
    Verify,
    /// Sources are given up.
    CleanUp,
}

impl Stage {
    /// In order.
    pub const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Mirror,
        Self::PreCopy,
        Self::Hold,
        Self::Armed,
        Self::Switchover,
        Self::Verify,
        Self::CleanUp,
    ];

    /// Whether a migration stands there.
    pub fn is_now(self, seen: &Migration) -> bool {
        let some = |of: fn(&model::migration::Progress) -> u64| {
            seen.vms.iter().any(|vm| of(&vm.progress) > 0)
        };
        let (disks, memory) = (some(|it| it.disk_total_bytes), some(|it| it.sent_bytes));
        match self {
            Self::Prepare => seen.state == State::Preparing,
            Self::Mirror => seen.state == State::PreCopy && disks && !memory,
            Self::PreCopy => seen.state == State::PreCopy && memory,
            Self::Hold => seen.state == State::Hold,
            Self::Armed => seen.state == State::Armed,
            Self::Switchover => seen.state == State::Switchover,
            Self::Verify => seen.state == State::Verify,
            Self::CleanUp => seen.state == State::CleanUp,
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Mirror => "mirror",
            Self::PreCopy => "pre-copy",
            Self::Hold => "hold",
            Self::Armed => "armed",
            Self::Switchover => "switchover",
            Self::Verify => "verify",
            Self::CleanUp => "clean-up",
        })
    }
}
