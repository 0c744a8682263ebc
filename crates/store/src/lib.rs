//! The store: where the controller's state lives.
//!
//! A flat map from keys to values with one revision number that grows by one with every
//! transaction that changes something. A tour:
//!
//! - [`Store`] is the trait: [`Store::get`], [`Store::list`], [`Store::txn`], [`Store::watch`].
//!   [`StoreExt`] adds the JSON helpers that nearly every caller uses.
//! - [`Txn`] is a set of conditions and changes: all of it happens or nothing.
//! - [`Watch`] tells every change below a prefix, in order and without a gap, from a revision on.
//! - [`Sqlite`] is the embedded engine and the default.
//! - [`conformance`] is the suite that every engine has to pass.
//!
//! The semantics are etcd's where both have the thing, so that an etcd engine fits behind the same
//! trait when there is more than one controller. Two methods join the trait with it and have no
//! place here yet, because a single process needs neither: `lease(ttl)`, whose keys vanish with
//! their holder, and `campaign(name, lease)`, which elects one holder. Callers that write under a
//! condition ([`Compare`]) today stay correct then.
//!
//! The trait is async because a remote engine waits. [`Sqlite`] never does: each call works for
//! some tens of microseconds on the calling thread and is safe to use on an async runtime without
//! `spawn_blocking`.

mod api;
pub mod conformance;
mod error;
mod json;
mod sqlite;
mod watch;

pub use api::{Compare, KeyValue, Listing, MAX_KEY, MAX_VALUE, Op, Revision, Store, Txn};
pub use error::StoreError;
pub use json::{Row, StoreExt};
pub use sqlite::{Durability, Sqlite};
pub use watch::{Batch, Change, Watch};
