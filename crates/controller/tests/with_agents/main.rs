//! The controller against agents that speak the real protocol over real TLS and keep their rows,
//! ports and VMs in memory.

mod agent;
mod bed;
mod clusters;
mod converging;
mod dns;
mod flowview;
mod joining;
#[path = "../../../dns/tests/servers/knot.rs"]
mod knot;
mod latency;
mod linking;
mod lisp;
mod orders;
mod outside;
mod placing;
mod queueing;
mod random;
mod restarting;
mod secured;
mod securing;
