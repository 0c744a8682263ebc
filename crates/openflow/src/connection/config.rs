//! What can be chosen about a connection.

use std::time::Duration;

use crate::message::version;

/// Settings of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Versions to offer, ascending. The codec knows 1.3 (4) and of 1.4 (5) what bundles need.
    pub versions: Vec<u8>,
    /// Silence after which the peer is asked whether it lives.
    pub echo_interval: Duration,
    /// Silence after which it is taken for dead. Longer than `echo_interval`.
    pub dead_after: Duration,
    /// Bytes of an answer in many parts that are put together.
    pub max_reply_bytes: usize,
}

impl Default for Config {
    /// OpenFlow 1.3; asked after 5 s, dead after 15 s; answers up to 256 MiB.
    fn default() -> Self {
        Self {
            versions: vec![version::OF13],
            echo_interval: Duration::from_secs(5),
            dead_after: Duration::from_secs(15),
            max_reply_bytes: 256 << 20,
        }
    }
}
