//! The services behind the API, in one process.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | what the controller is told when it starts |
//! | [`serve`] | puts all of it together and runs it |
//! | [`agents`] | the agents' port: TLS, joining, hello, one conversation a host |
//! | [`hosts`] | who is connected, and orders to them |
//! | [`directory`] | the directory, kept in the store |
//! | [`registry`] | clusters, members and hosts; link, update, unlink; who is told what |
//! | [`events`] | what happened, numbered |
//! | [`engine`] | migrations |
//! | `flowview` | what switches hold, do and carry, over all hosts |
//! | [`dns`] | names in the DNS, a projection of the directory |
//! | [`lisp`] | the LISP Map-Server, a projection of the directory |
//! | [`underlay`] | what tunnels run in: who takes part, keys |
//! | [`service`] | the API's questions, answered by all of these |
//!
//! Where an endpoint is, is decided here and nowhere else; what follows from it for a switch is
//! `control`'s, what is done on a host the agent's.

pub mod agents;
pub mod clock;
pub mod config;
pub mod directory;
pub mod dns;
pub mod engine;
mod error;
pub mod events;
mod flowview;
pub mod hosts;
pub mod lisp;
mod problems;
pub mod registry;
pub mod serve;
pub mod service;
pub mod underlay;

pub use config::ControllerConfig;
pub use error::ControllerError;
pub use events::Events;
pub use hosts::{Hosts, OrderError};
pub use registry::Registry;
pub use serve::{Controller, run};

/// Locks that cannot be left in a bad state by a panic are as good as fresh ones.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
