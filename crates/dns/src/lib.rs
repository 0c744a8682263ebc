//! Dynamic DNS: names that follow what moves.
//!
//! | module | job |
//! |---|---|
//! | [`publish`] | what a zone should say, what it was last told, what is sent next |
//! | [`project`] | rows of the directory as names |
//! | [`config`] | zones, servers and secrets as they are described |
//! | [`rfc2136`] | updates as messages (RFC 2136), signed (RFC 8945) |
//! | [`dyndns2`] | the protocol that no-ip and others speak, as text |
//! | [`edge`] | sockets, files and TLS: the only part that does anything |

pub mod config;
mod content;
pub mod dyndns2;
pub mod edge;
mod name;
pub mod project;
pub mod publish;
pub mod rfc2136;
mod wait;

pub use content::{Content, MARKER_LABEL, Marker};
pub use name::{DnsName, InvalidDnsName};
pub use publish::Publisher;
pub use wait::Waits;
