//! One host's Open vSwitch: bridges, bond, ports, tunnels, and rules converged with the directory.
//!
//! Two bridges per host (userspace datapath): [`names::UNDERLAY`] carries the tunnels over a bond
//! of the uplinks, [`names::INTEGRATION`] joins members and tunnels by rules alone. A tour:
//!
//! - [`Daemons`] starts ovsdb-server and ovs-vswitchd, or finds them running.
//! - [`Host`] is one host's hand: set-up and repair, members' ports, the host's part of the
//!   directory and the rules that follow from it (computed by `control::projection`), gates.
//! - [`conntrack`] reads the switch's table of connections; [`Host::connections`] and [`Host::carry`] take
//!   them along when their member moves.
//! - [`flows`] reads the rules back and says what each is for; [`mod@trace`] asks the switch what it would do with a
//!   packet; [`links`] counts what ports and tunnels carry.
//! - [`TapIo`] watches, fills and asks a VM's port below the switch.
//! - [`config`] checks what a host is told, and the MTU that is left for members.
//! - Below: [`netns`], [`netlink`], [`tap`], [`frames`], [`probe`], [`unixctl`], [`neighbours`].
//! - [`mod@bench`] measures a host against itself; `examples/link_update.rs` prints it.
//!
//! What is not here: where an endpoint should be (controller), and when (agent).

pub mod bench;
pub mod config;

mod bridged;
mod carried;
pub mod conntrack;
mod converge;
pub mod daemons;
mod database;
pub mod descriptor;
pub mod error;
pub mod flows;
pub mod frames;
pub mod gate;
pub mod gateway;
mod held;
pub mod host;
mod keep;
pub mod link;
pub mod links;
pub mod names;
pub mod neighbours;
pub mod netlink;
pub mod netns;
pub mod ports;
pub mod probe;
mod secured;
mod switch;
pub mod tap;
pub mod tapio;
pub mod trace;
mod underlay;
pub mod unixctl;

pub use config::{BondMode, Gateway, HostConfig, Secured};
pub use control::projection::{Arrivals, Key};
pub use daemons::Daemons;
pub use error::Error;
pub use frames::Capture;
pub use gate::Gate;
pub use gateway::LispGateway;
pub use held::Applied;
pub use host::{Host, Prepared};
pub use link::LinkedPort;
pub use netns::Netns;
pub use ports::{Port, PortKind};
pub use tapio::{PortStats, TapIo};
