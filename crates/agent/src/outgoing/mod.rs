//! The source half of one VM's migration.
//!
//! ```mermaid
//! sequenceDiagram
//!     participant C as controller
//!     participant S as source agent
//!     participant Q as source QEMU
//!     participant T as target agent
//!     C->>S: Migrate
//!     S->>Q: migrate (socket pair)
//!     Q->>T: pages, through the relay
//!     T-->>S: return path; its switchover acknowledgement stays here
//!     S->>C: Held
//!     C->>S: Arm(stop_at), then Release when every peer holds its flip
//!     S->>Q: no limits (sprint)
//!     S->>Q: acknowledgement, at stop_at
//!     Q->>S: STOP
//!     S->>T: Stopped, then what was left in the tap
//!     T-->>S: Running
//!     S->>C: Stopped, Sent
//! ```
//!
//! In exactly one place: the target runs the VM only after [`Frame::Stopped`]. Once that is sent, the
//! source must not resume unless the target says [`Frame::Discarded`], and QEMU would resume by itself
//! if its socket closed. So QEMU itself holds a duplicate of our end (`getfd`): whatever happens to this
//! agent, QEMU sees no end of file and waits, stopped, until someone who knows decides.
//!
//! [`pump`] moves bytes; [`driver`] decides.

mod driver;
mod packing;
mod pump;

use crate::desk::Host;
use crate::relay::catalogues::Catalogues;
use crate::vms::Vm;
use crate::{AgentError, clock::Clock};
use model::news::{Answer, News};
use model::order::Sending;
use model::{ClusterName, HostName, Locator, MigrationId, Nanos, VmName};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

#[allow(unused_imports)]
use crate::relay::Frame;

/// How a command went.
pub type Reply = oneshot::Sender<Result<Answer, String>>;

/// What the controller wants of a VM that is being sent.
pub enum Command {
    /// Stop at this moment, if released by then.
    Arm {
        /// When.
        stop_at: Nanos,
        /// Unlimited iterations before it, ms.
        sprint_ms: f64,
        /// Answered at once.
        reply: Reply,
    },
    /// A trickle, or as fast as may be again.
    Pace {
        /// A trickle.
        slow: bool,
        /// Answered when QEMU has the rate.
        reply: Reply,
    },
    /// The stop may come.
    Release(Reply),
    /// Go on past `pre-switchover`.
    Continue(Reply),
    /// Queue what arrives for the VM.
    Gate(Reply),
    /// Go back: replay, open, cancel.
    Abort(Reply),
    /// The VM lives elsewhere: end its process here.
    Finish(Reply),
}

/// What is sent, whither and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The migration.
    pub migration: MigrationId,
    /// The cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// The target agent's relay.
    pub relay: SocketAddr,
    /// The name in its certificate.
    pub target: HostName,
    /// The VM's place when it has moved.
    pub locator: Locator,
    /// How to send.
    pub how: Sending,
    /// Whether this QEMU can be held (self-test).
    pub held: bool,
}

/// What the driver needs of the agent.
#[derive(Clone)]
pub struct Surroundings {
    /// The host's switch.
    pub host: Host,
    /// The controller's clock.
    pub clock: Arc<Clock>,
    /// Where news goes.
    pub news: mpsc::UnboundedSender<News>,
    /// TLS towards other agents.
    pub tls: Arc<rustls::ClientConfig>,
    /// What targets have of the pages that this host sends.
    pub catalogues: Catalogues,
}

/// Begins to send a VM; gives the channel for commands.
///
/// # Errors
/// When the target cannot be reached or QEMU refuses; the VM runs on as before.
pub async fn begin(
    job: Job,
    vm: Arc<Vm>,
    around: Surroundings,
) -> Result<mpsc::Sender<Command>, AgentError> {
    let (commands, inbox) = mpsc::channel(16);
    let driver = driver::Driver::begin(job, vm, around).await?;
    tokio::spawn(driver.run(inbox));
    Ok(commands)
}
