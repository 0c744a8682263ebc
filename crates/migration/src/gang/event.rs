//! What a gang hears, and what it wants done.

use model::VmName;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A target is ready.
    Prepared(VmName),
    /// A source sends.
    Sending(VmName),
    /// A VM is on hold and level.
    Held {
        /// The VM.
        vm: VmName,
        /// Expected bytes on the wire after the stop.
        burst_bytes: u64,
    },
    /// A VM dirties memory faster than it can be sent.
    WontConverge {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
    },
    /// Every source is armed and every peer holds its flip.
    Scheduled,
    /// [`Command::Arm`] came to its end without that; some peers may hold flips. One sentence.
    NotScheduled(String),
    /// A VM's vCPUs stopped at the source.
    Stopped(VmName),
    /// A VM stands at QEMU's `pre-switchover`.
    AtPreSwitchover(VmName),
    /// Peers of a VM were flipped on [`Command::Flip`].
    Flipped(VmName),
    /// A VM's vCPUs run at the target.
    Resumed(VmName),
    /// An armed VM did not stop.
    DidNotStop(VmName),
    /// A VM answered at the target.
    Verified(VmName),
    /// A VM runs at the target and does not answer there.
    Mute {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
    },
    /// A command for a VM did not succeed, or the VM failed by itself.
    Failed {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
        /// The target may have started it.
        in_doubt: bool,
    },
    /// A command for a VM that was not released did not succeed, or its stream broke, for a reason that
    /// may pass.
    Hitch {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
    },
    /// The time of a [`Command::Wait`] is over.
    Again(VmName),
    /// What an attempt left of a VM is put away at both ends.
    Cleared(VmName),
    /// That could not be done.
    NotCleared(VmName),
    /// The user wants it to go no further.
    Pause,
    /// The user wants it to go on.
    Resume,
    /// A VM is sent as fast as it may be again, after a pause.
    Paced(VmName),
    /// The window in which it may switch over is about to close; one sentence.
    Closed(String),
    /// The target was asked for a VM in doubt.
    Resolved {
        /// The VM.
        vm: VmName,
        /// Whether it runs there; if not, it has been discarded there.
        runs_at_target: bool,
    },
    /// The user wants it back.
    Cancel,
    /// It takes longer than the user accepts to become ready.
    TimedOut,
    /// Nothing was heard for long, though VMs should have stopped: news may have been lost.
    Overdue,
    /// A VM's source was given up and its target is a normal VM.
    Finished(VmName),
    /// A VM is as it was before.
    TakenBack(VmName),
    /// A VM was to be taken back, and its process at the source has ended by itself.
    Gone(VmName),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make the target ready.
    Prepare(VmName),
    /// Begin to send.
    Send(VmName),
    /// Predict the gap; if it is acceptable, arm these VMs for one moment and schedule their peers'
    /// flips. Answered by [`Event::Scheduled`] or [`Event::NotScheduled`]; nothing is taken back before.
    Arm(Vec<VmName>),
    /// Let a VM stop.
    Release(VmName),
    /// Flip a VM's peers now.
    Flip(VmName),
    /// Let QEMU go on past `pre-switchover`.
    Continue(VmName),
    /// Ask the guest at the target.
    Verify(VmName),
    /// Ask the target whether a VM in doubt runs; discard it there if not.
    Ask(VmName),
    /// Put everything of a VM back: gate, flip back if it was flipped, replay, cancel, discard.
    TakeBack {
        /// The VM.
        vm: VmName,
        /// Whether peers may have been flipped, or the VM released.
        flipped: bool,
        /// Whether anything was sent.
        sending: bool,
    },
    /// Give up the source, keep the target.
    Finish(VmName),
    /// Send a VM at a trickle, or as fast as it may be again; the latter is answered by
    /// [`Event::Paced`] and tried until it succeeds or another one follows.
    Pace {
        /// The VM.
        vm: VmName,
        /// At a trickle.
        slow: bool,
    },
    /// Answer with [`Event::Again`] after this.
    Wait {
        /// The VM.
        vm: VmName,
        /// How long, ms.
        ms: u64,
    },
    /// Put away what an attempt left of a VM at both ends.
    Clear {
        /// The VM.
        vm: VmName,
        /// Whether its source may have begun to send.
        sending: bool,
    },
}
