//! libvirt as a keeper of processes and definitions.
//!
//! Domains are found, described and driven here. Migration is not libvirt's: a domain's QEMU is reached
//! through libvirt's own monitor ([`monitor`]), which looks like any other QEMU's socket to crate
//! `qmp`, and is sent and held by those who send and hold our own. libvirt makes the target's process, runs
//! it, ends the source's, and keeps the definition.
//!
//! | module | job |
//! |---|---|
//! | [`host`] | a connection to libvirtd, made again when it was lost; domains started, run, ended, defined |
//! | [`monitor`] | a domain's QEMU as a QMP socket |
//! | [`process`] | which process a domain is |
//! | [`xml`] | what a description says, and the description of the same domain at a target |
//!
//! Every call blocks until libvirtd has answered: call from threads that may.

mod error;
mod events;
pub mod host;
pub mod monitor;
pub mod process;
pub mod xml;

pub use error::{Error, Result};
pub use host::Host;
