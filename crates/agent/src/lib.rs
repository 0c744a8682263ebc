//! The host agent: one a host, dials the controller, owns the host's Open vSwitch, its QEMU
//! processes and the local half of a migration.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | what the agent is told when it starts |
//! | [`clock`] | the controller's clock, as seen from here |
//! | [`session`] | the connection to the controller: join, dial, reconnect, frames |
//! | [`desk`] | each order to the part that carries it out |
//! | [`gateway`] | endpoints outside, through LISP |
//! | [`underlay`] | what tunnels run in: keys, peers, the process that encrypts |
//! | [`flips`] | changes of rules, now or at their moment |
//! | `flows` | the flow view: rules, traces and counters |
//! | [`disks`] | images, and their way to another host |
//! | [`vms`] | QEMU processes: start, adopt after a restart, end |
//! | [`kept`] | VMs that libvirt keeps: linked, made at a target, given back |
//! | [`domains`] | libvirt, or none where the agent was built without (feature `libvirt`) |
//! | [`relay`] | QEMU's stream between agents: TLS, compression, the switchover's messages |
//! | [`outgoing`] | the source half of a migration |
//! | [`incoming`] | the target half |
//! | [`delays`] | one-way delays between hosts |
//! | [`survey`] | what a plan must know of this host |
//! | [`selftest`] | can this QEMU be held, and does it stop when released? |
//!
//! Rules and ports are in crate `ovs`; what to do when is in crate `migration`.

mod abandoned;
mod alive;
pub mod clock;
pub mod config;
pub mod delays;
pub mod desk;
pub mod disks;
#[cfg_attr(not(feature = "libvirt"), path = "domains_absent.rs")]
pub mod domains;
pub mod flips;
mod flows;
pub mod gateway;
pub mod incoming;
pub mod kept;
mod orders;
pub mod outgoing;
mod precedence;
pub mod relay;
pub mod selftest;
pub mod session;
pub mod stall;
pub mod survey;
mod telling;
pub mod underlay;
mod vm;
pub mod vms;

pub use config::AgentConfig;

use std::sync::Arc;

/// Runs the agent until it is told to end (SIGTERM, SIGINT). Its data plane and its VMs stay.
///
/// # Errors
/// When the host cannot be set up; a controller that is away is not an error.
pub async fn run(config: AgentConfig) -> Result<(), AgentError> {
    let credentials = session::join(&config).await?;
    let config = Arc::new(config);
    let desk = desk::Desk::open(config.clone(), &credentials).await?;
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(AgentError::Io)?;
    tokio::select! {
        result = session::serve(config, credentials, desk) => result,
        _ = end.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// What goes wrong on a host.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Identity.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// The host's switch.
    #[error(transparent)]
    Ovs(#[from] ovs::Error),
    /// QEMU's machine protocol.
    #[error(transparent)]
    Qmp(#[from] qmp::QmpError),
    /// A socket or file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The controller says that the host's tunnels shall run in something else.
    #[error("what this host's tunnels run in has changed; start the agent again")]
    Anew,
    /// Something that a person can mend; one sentence with the way out.
    #[error("{0}")]
    Plain(String),
}

impl AgentError {
    /// An error of one sentence.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }
}
