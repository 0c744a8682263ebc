//! A LISP Map-Server and Map-Resolver (RFC 9301, RFC 9437) without I/O: datagrams and time in,
//! datagrams and audit lines out.
//!
//! Sites with keys and allowed prefixes register mappings, which are answered for (proxy reply) or
//! whose ETR is passed the question. What is not there is denied with the largest prefix that has
//! nothing in it. Subscribers are notified of each change until they acknowledge it; who has only
//! asked is solicited to ask again.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | sites, keys, limits |
//! | [`table`] | prefixes and the longest match |
//! | [`server`] | the server: [`MapServer`] |
//! | [`audit`] | what was dropped and why, and what changed |
//!
//! Time is a [`Duration`](std::time::Duration) since any fixed moment. What is not here yet: persistence, the bridge to the
//! directory, rate limits by sender, REST.

pub mod audit;
pub mod config;
mod mapping;
mod publish;
mod register;
mod request;
pub mod server;
pub mod table;

pub use audit::{Audit, Rejection};
pub use config::{Config, Key, Site};
pub use server::{MapServer, Outcome};
pub use table::PrefixTable;
