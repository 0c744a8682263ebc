//! The migration of a gang, without I/O.
//!
//! | module | job |
//! |---|---|
//! | [`return_path`] | QEMU's return path as bytes: hold the switchover acknowledgement back |
//! | [`hold`] | keep a VM iterating cheaply until its passes stop shrinking |
//! | [`gap`] | the network downtime, predicted before anything is flipped |
//! | [`schedule`] | when to stop, and when each peer flips, from measured delays |
//! | [`admission`] | when a migration may go: limits, windows, and the queue |
//! | [`groups`], [`switch`] | who stops before whom, and when |
//! | [`gang`] | the state machine: `next(event) → commands` |
//! | [`script`] | what one of its commands takes where hosts may be away |
//! | [`plan`] | prechecks and predictions that change nothing |
//!
//! Sockets, clocks and processes live in `agent` and `controller`, which feed these.

pub mod admission;
pub mod gang;
pub mod gap;
pub mod groups;
pub mod hold;
pub mod plan;
pub mod replica;
pub mod return_path;
pub mod salvage;
pub mod schedule;
pub mod script;
pub mod switch;
pub mod window;
