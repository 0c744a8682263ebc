//! A client of OVSDB, the database of Open vSwitch (RFC 7047 and the extensions in `ovsdb-server(7)`).
//!
//! | module | job | I/O |
//! |---|---|---|
//! | [`value`], [`row`] | atoms, sets, maps in the notation of RFC 7047 5.1; rows with typed columns | none |
//! | [`op`] | operations of a transaction and their results | none |
//! | [`schema`] | tables, columns and their types | none |
//! | [`split`], [`protocol`], [`probe`] | framing, request and reply, inactivity probe | none |
//! | [`snapshot`] | copy of monitored tables, kept current by updates | none |
//! | [`client`], [`remote`] | [`Client`]: unix, TCP or TLS with Tokio, reconnects by itself | here |
//! | [`monitor`] | [`Monitor`]: a snapshot and its changes, over reconnects | here |
//! | [`vswitch`] | [`Vswitch`]: change Open vSwitch and wait until it has acted | here |
//!
//! ```no_run
//! # async fn f() -> Result<(), ovsdb::Error> {
//! use ovsdb::{Condition, Update, Vswitch};
//! let vswitch = Vswitch::connect("unix:/run/openvswitch/db.sock".parse()?).await?;
//! vswitch
//!     .transact_and_wait([Update::table("Interface")
//!         .when(Condition::eq("name", "enc0"))
//!         .set("options", [("remote_ip", "10.0.0.2")])])
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! Not here: what the tables of Open vSwitch mean. Locks (RFC 7047 4.1.8) are not wrapped;
//! [`Client::request`] reaches them.

pub mod client;
mod connection;
pub mod error;
pub mod monitor;
pub mod op;
pub mod probe;
pub mod protocol;
pub mod remote;
pub mod row;
pub mod schema;
pub mod snapshot;
pub mod split;
pub mod value;
pub mod vswitch;

pub use client::{Client, ConnectionState, Options};
pub use error::{Error, OpError, OpErrorKind, RpcError};
pub use monitor::{Monitor, MonitorEvent, MonitorSpec};
pub use op::{Comment, Condition, Delete, Insert, Mutate, Op, OpResult, Select, Update, Wait};
pub use remote::Remote;
pub use row::Row;
pub use schema::Schema;
pub use snapshot::{Change, Snapshot};
pub use uuid::Uuid;
pub use value::{Atom, Value};
pub use vswitch::Vswitch;
