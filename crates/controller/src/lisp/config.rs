//! What the Map-Server is told when it starts.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Configuration of the LISP Map-Server and Map-Resolver; without it there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LispConfig {
    /// Where it is asked; UDP. The port of LISP's control messages is 4342.
    pub listen: Vec<SocketAddr>,
    /// The address that solicitations name; that of the first `listen` when it is not given.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How long an endpoint's mapping may be cached, minutes. A change is told at once; this is how
    /// long one lives on that could not be told.
    #[serde(default = "ttl")]
    pub ttl_minutes: u32,
    /// How many datagrams a second one sender may send in the long run.
    #[serde(default = "per_second")]
    pub per_second: u32,
    /// How many at once after a pause.
    #[serde(default = "burst")]
    pub burst: u32,
    /// When a notification that is not acknowledged is sent again, ms; each further wait is twice as
    /// long.
    #[serde(default = "retry")]
    pub retry_ms: u64,
}

fn ttl() -> u32 {
    15
}

fn per_second() -> u32 {
    20_000
}

fn burst() -> u32 {
    20_000
}

fn retry() -> u64 {
    250
}
