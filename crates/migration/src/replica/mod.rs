//! A disk on its way: every write of the source's mirror, once and in order, at the target.
//!
//! QEMU mirrors a disk to an NBD server of the source's own agent, which takes a write at once. From
//! there the writes travel as numbered [`Record`]s: the [`Outbox`] keeps what the target has not
//! applied yet, so that a connection that breaks is taken up where it broke; the [`Inbox`] passes
//! each on once, and never two that overlap at the same time. The mirror therefore never waits for
//! the WAN, and at the switchover its end is local: the last record, [`Body::End`], travels beside
//! the last pages of memory, and the target runs the VM when it has applied everything up to it.
//!
//! No I/O here; `agent::disks` carries it.

mod inbox;
mod outbox;
mod record;

pub use inbox::{Inbox, Verdict};
pub use outbox::Outbox;
pub use record::{Body, Record, Records};

/// What a stream of records can be wrong about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// A record of unknown kind.
    #[error(
        "the peer sent a disk record of unknown kind {0}; both agents must have the same version"
    )]
    Unknown(u8),
    /// A record that is too long.
    #[error("the peer sent a disk record of {0} bytes; at most {max} are taken", max = record::MAX_DATA)]
    TooLong(u32),
    /// A record that does not follow the last one.
    #[error("disk record {found} came where {wanted} belongs")]
    Gap {
        /// The next number.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// The target says that it has what was never sent.
    #[error("the target claims disk record {claimed}, and {sent} is the last one that was made")]
    Claim {
        /// What it says.
        claimed: u64,
        /// The last one.
        sent: u64,
    },
    /// The target no longer has what it had confirmed.
    #[error(
        "the target has disk records up to {has} only, and {kept} is the first that is still kept"
    )]
    Lost {
        /// What it has.
        has: u64,
        /// The first that is kept here.
        kept: u64,
    },
}
