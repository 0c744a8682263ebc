//! Events: what a person or a program that watches is told, in order.

use crate::{ClusterName, HostName, MigrationId, VmName, migration::Progress};
use serde::{Deserialize, Serialize};

/// One event, numbered without gaps so that a watcher can go on from where it stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number in this controller's life, from 1.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// An agent dialled in.
    HostUp {
        /// The agent's host.
        host: HostName,
    },
    /// An agent's connection ended; its data plane goes on.
    HostDown {
        /// The agent's host.
        host: HostName,
    },
    /// A cluster's description or the place of a member changed.
    ClusterChanged {
        /// The cluster.
        cluster: ClusterName,
    },
    /// A migration entered a phase.
    Phase {
        /// The migration.
        migration: MigrationId,
        /// The VM, or none when all are meant.
        vm: Option<VmName>,
        /// Phase name, as in the report.
        phase: String,
        /// One plain sentence: what it does or why it waits.
        message: String,
    },
    /// Numbers of a VM on its way.
    Progress {
        /// The migration.
        migration: MigrationId,
        /// The VM.
        vm: VmName,
        /// The numbers.
        progress: Progress,
    },
    /// A migration ended.
    Ended {
        /// The migration.
        migration: MigrationId,
        /// True when every VM arrived.
        arrived: bool,
        /// One plain sentence.
        message: String,
    },
    /// A name was published in the DNS, taken away, or cannot be.
    Dns {
        /// The name, or the zone where all of it is meant.
        name: String,
        /// True when the DNS says what it should.
        published: bool,
        /// What it leads to, or why not, in one sentence.
        message: String,
    },
}
