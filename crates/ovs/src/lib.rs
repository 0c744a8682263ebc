//! One host's Open vSwitch: bridges, bond, ports, tunnels, and flows converged with the directory.

pub mod config;
pub mod daemons;
mod database;
pub mod error;
pub mod frames;
mod held;
mod keep;
pub mod names;
pub mod neighbours;
pub mod netlink;
pub mod netns;
pub mod probe;
pub mod tap;
mod underlay;
pub mod unixctl;
