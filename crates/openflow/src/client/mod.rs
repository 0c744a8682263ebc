//! A tokio adapter: one connection to one switch, shared by cheap handles.
//!
//! ```no_run
//! # async fn f() -> Result<(), openflow::client::ClientError> {
//! use openflow::{Action, FlowMod, Match, PortNo};
//! use openflow::client::Client;
//!
//! let switch = Client::connect_unix("/run/openvswitch/br0.mgmt").await?;
//! switch
//!     .send_batch([
//!         FlowMod::delete(),
//!         FlowMod::add().matching(Match::new().in_port(1)).apply([Action::output(2)]),
//!     ])
//!     .await?;
//! for rule in switch.dump_flows(Default::default()).await? {
//!     println!("{}", rule.priority);
//! }
//! # Ok(()) }
//! ```
//!
//! A request is written by the task that makes it, without a detour over another task; one task
//! per connection reads, keeps the connection alive and writes what the socket did not take at
//! once. When the last handle is dropped the socket is closed.

mod calls;
mod connect;
mod driver;
mod error;
mod events;
mod shared;
mod stream;

pub use connect::Options;
pub use error::ClientError;
pub use events::{Events, SwitchEvent};

use std::sync::Arc;

use shared::{Closer, Shared};

/// A handle of a connection to a switch.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// Ends the connection with the last handle.
    _closer: Arc<Closer>,
}
