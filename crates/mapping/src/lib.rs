//! A LISP Map-Server and Map-Resolver (RFC 9301, RFC 9437) without I/O: datagrams and time in,
//! datagrams and audit lines out.
//!
//! Sites with keys and allowed prefixes register mappings, which are answered for (proxy reply) or
//! whose ETR is passed the question. What is not there is denied with the largest prefix that has
//! nothing in it. Subscribers are notified of each change until they acknowledge it; who has only
//! asked is solicited to ask again.
//!
//! Whoever runs the server may hold mappings of its own, which no registration can take.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | sites, their keys, limits |
//! | [`table`] | prefixes and the longest match |
//! | [`server`] | the server: [`MapServer`] |
//! | [`hold`] | mappings that are held, sites that come and go, what survives a restart |
//! | [`audit`] | what was dropped and why, and what changed |
//!
//! Time is a [`Duration`](std::time::Duration) since any fixed moment. Sockets, the clock, the store and the bridge to the
//! directory are `controller::lisp`.

pub mod audit;
pub mod config;
pub mod hold;
mod mapping;
mod outcome;
mod pace;
mod publish;
mod register;
mod request;
pub mod server;
pub mod table;
mod xtrs;

pub use audit::{Audit, Rejection, RejectionCounts};
pub use config::{Config, Key, Pace, Site};
pub use hold::{HoldError, Saved, SiteError, Unsaved};
pub use outcome::Outcome;
pub use server::MapServer;
pub use table::PrefixTable;
pub use xtrs::Who;
