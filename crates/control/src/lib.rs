//! The directory and its projections. Pure: values in, values out.
//!
//! The directory is the only truth about where an endpoint is: endpoint → (locator, epoch). What
//! forwards is a projection of it. A tour:
//!
//! - [`directory`] is the truth itself: link, commit, unlink, what each host has to know of it,
//!   and which addresses are taken by whom. The controller owns one and keeps it in the store.
//! - [`projection`] turns one host's view of the directory into the OpenFlow rules of that host's
//!   integration bridge. The agent installs them; what they mean is in `docs/dataplane.md`.
//! - [`explain`] says what each of these rules is for, in words.
//! - [`carry`] makes connections under way pass a member's security rules at its new host.
//! - [`underlay`]: who takes part in what the tunnels run in.
//!
//! Sockets, processes, ports and time are the business of `ovs`, `agent` and `controller`.

pub mod carry;
pub mod directory;
pub mod explain;
pub mod projection;
pub mod underlay;

pub use directory::{Directory, DirectoryError};
pub use projection::{Arrivals, HostView, Key, RuleSet};
