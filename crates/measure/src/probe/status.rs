//! How a running probe stands, for people who watch.

use serde::{Deserialize, Serialize};

/// How a running probe stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Time since it began to send, ms.
    pub running_ms: i64,
    /// One entry for each VM.
    pub targets: Vec<TargetStatus>,
}

/// How the exchange with one VM stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The VM.
    pub name: String,
    /// UDP packets sent.
    pub sent: u64,
    /// UDP replies received, copies included.
    pub replies: u64,
    /// Time since the last UDP reply, ms; lags by up to the collector's period (10 ms).
    pub silent_ms: f64,
    /// Round trip of the last reply, ms.
    pub rtt_ms: f64,
    /// TCP sessions opened.
    pub tcp_sessions: usize,
    /// Of them, broken.
    pub tcp_lost: usize,
}
