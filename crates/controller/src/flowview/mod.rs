//! The flow view: what the hosts' switches really hold, do and carry, put together over all hosts.
//!
//! | module | job |
//! |---|---|
//! | `flows` | one host's rules, asked for part by part |
//! | `trace` | a packet's way, followed from host to host |
//! | `resolve` | whom a question means |
//! | `verdict` | where a way ends, in one sentence |
//! | `links` | what ports and tunnels of all hosts carry |
//!
//! Nothing here changes anything.

mod flows;
mod links;
mod resolve;
mod trace;
mod verdict;

pub(crate) use flows::flows;
pub(crate) use links::links;
pub(crate) use trace::trace;
