//! What the agent and the process that encrypts say to each other: JSON, a line each, over a unix socket that only
//! their user can open.

use model::Mac;
use model::underlay::{Method, Peer};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What the process is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Where it is reached from outside.
    pub listen: SocketAddr,
    /// The tap that it makes for the switch.
    pub tap: String,
    /// Where all peers seem to be to the switch.
    pub mac: Mac,
    /// The switch's own interface.
    pub inside: Mac,
    /// Largest packet that goes through it, bytes.
    pub mtu: u16,
}

/// The whole of what it shall do. Its `Debug` form keeps the secrets to itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The host's secret keys, base64; the one that sessions are begun with first.
    pub secrets: Vec<String>,
    /// The other hosts.
    pub peers: Vec<Peer>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Wanted");
        shown.field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// From the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Be this.
    Set(Wanted),
    /// How is it?
    Status,
    /// Tell what is refused, from now on.
    Follow,
}

/// From the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// It is.
    Done,
    /// It is not, and why.
    Failed(String),
    /// How it is.
    Status(Seen),
    /// Something was refused.
    Refused {
        /// Who has sent it, if the network tells the truth.
        from: SocketAddr,
        /// Why.
        why: String,
    },
    /// A host has turned up elsewhere.
    Roamed {
        /// One of its public keys, base64.
        key: String,
        /// Where it is.
        to: SocketAddr,
    },
}

/// What it sees of its peers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Each of them.
    pub peers: Vec<SeenPeer>,
    /// Packets that were dropped, by reason.
    pub drops: std::collections::BTreeMap<String, u64>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenPeer {
    /// Its public key, base64.
    pub key: String,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// Our own public key of the session, base64.
    pub identity: Option<String>,
    /// Age of the session's keys, s.
    pub age_s: Option<u64>,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// Who of them is whose business: IPsec's are not.
pub(super) fn is_ours(peer: &Peer) -> bool {
    peer.method != Method::Ipsec
}
