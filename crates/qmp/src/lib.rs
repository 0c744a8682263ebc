//! A client of the QEMU machine protocol (QMP), the JSON protocol on QEMU's `-qmp` socket.
//!
//! | module | job |
//! |---|---|
//! | [`protocol`] | bytes in; greeting, replies and events out; no I/O |
//! | [`client`] | [`Qmp`]: the same over a unix socket with Tokio, with file descriptors |
//! | [`machine`] | version, run state, stop, cont, quit |
//! | [`migration`] | live migration: capabilities, parameters, start, progress |
//! | [`error`] | what can go wrong |
//!
//! ```no_run
//! # async fn f() -> Result<(), qmp::QmpError> {
//! let vm = qmp::Qmp::connect("/run/vm1.qmp").await?;
//! let mut events = vm.events();
//! vm.execute("stop", serde_json::Value::Null).await?;
//! assert_eq!(events.recv().await.unwrap().name, "STOP");
//! # Ok(()) }
//! ```
//!
//! Not here: starting QEMU, and what a machine or a migration is for. Source of all names and fields: the
//! "QEMU QMP Reference Manual" and the "QEMU Machine Protocol Specification".

pub mod client;
pub mod error;
mod line;
pub mod machine;
pub mod migration;
mod outbox;
pub mod protocol;

pub use client::Qmp;
pub use error::{CommandError, ErrorClass, QmpError};
pub use machine::{RunState, Status};
pub use migration::{MigrationInfo, MigrationStatus, RamInfo};
pub use protocol::{Event, Greeting, Version};
