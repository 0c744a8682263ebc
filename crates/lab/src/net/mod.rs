//! The topology: each site a network namespace with three uplinks to the WAN's.
//!
//! ```text
//!   north                       wan                        south
//!   ┌──────────────┐   veth   ┌───────────┐   veth   ┌──────────────┐
//!   │ icbr0 ─ eth0 ├──────────┤ north-0   │          │              │
//!   │  (OVS)  eth1 ├──────────┤ north-1   │   ...    │     ...      │
//!   │        mgmt0 ├──────────┤ north-m   │          │              │
//!   └──────────────┘          └───────────┘          └──────────────┘
//! ```
//!
//! `plan` is the truth about names and addresses, `batch` the text that makes it, `apply` the
//! doing. The bridge `icbr0` and its bond are the agent's work, not ours; who forwards between the
//! uplinks is [`crate::wan`].

mod apply;
mod batch;
mod plan;

pub use apply::up;
pub(crate) use apply::{INSIDE_COMMAND, inside_main};
pub use plan::{
    Attachment, DEFAULT_MTU, DEFAULT_SITES, Mac, Network, Plan, PlanError, SitePlan, Uplink, WAN,
};
