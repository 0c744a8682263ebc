//! What runs at the sites besides network and WAN: controller, agents, probes. Each is a process of
//! our own binary, started in the box; configurations and state lie below the lab folder.
//!
//! ```text
//! api.sock                  the controller's API
//! controller.toml           its configuration; controller/ is its state
//! sites/NAME/agent.toml     an agent's configuration; sites/NAME/ is its state
//! router.toml               a LISP router's configuration, where one stands
//! probe.sock                a probe, while one runs
//! log/NAME.log              what each process says
//! ```
//!
//! Here: how they are started, and how to know that they are there. Not here: the order in which
//! a lab comes up ([`crate::cli`]).

mod agents;
mod controller;
mod error;
mod probe;
mod router;
mod waiting;

pub use agents::{Options as AgentOptions, agent, start as start_agents};
pub use controller::{API_SOCKET, CONTROLLER, client, start as start_controller};
pub use error::PartError;
pub use probe::{PROBE, end as end_probe, start as start_probe};
pub(crate) use probe::{PROBE_COMMAND, probe_main};
pub use router::{Plane, ROUTER, start as start_router};
pub(crate) use waiting::{apart, until};
