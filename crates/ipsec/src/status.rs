//! How it is with a peer.

use crate::config::Peer;
use crate::messages::Association;
use std::net::SocketAddr;
use std::time::Duration;

/// Whether a peer is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No association.
    Down,
    /// On its way.
    Connecting,
    /// Packets pass.
    Up,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who it is.
    pub id: String,
    /// Whether it is connected.
    pub state: State,
    /// Where it is now.
    pub endpoint: Option<SocketAddr>,
    /// Bytes from it, since its association's keys were made.
    pub bytes_in: u64,
    /// Bytes to it, since its association's keys were made.
    pub bytes_out: u64,
    /// How long ago it was authenticated.
    pub age: Option<Duration>,
}

/// The state of a peer with these associations.
pub(crate) fn of(peer: &Peer, associations: &[Association]) -> PeerStatus {
    let best = associations
        .iter()
        .find(|one| one.carries())
        .or(associations.first());
    let state = if associations.iter().any(Association::carries) {
        State::Up
    } else if associations.iter().any(Association::begins) {
        State::Connecting
    } else {
        State::Down
    };
    let children = || associations.iter().flat_map(|one| one.child_sas.values());
    PeerStatus {
        id: peer.id.clone(),
        state,
        endpoint: best.and_then(|one| {
            let port = one.remote_port.unwrap_or(500);
            let host = one.remote_host.as_ref()?.parse().ok()?;
            Some(SocketAddr::new(host, port))
        }),
        bytes_in: children().map(|child| child.bytes_in).sum(),
        bytes_out: children().map(|child| child.bytes_out).sum(),
        age: best
            .and_then(|one| one.established)
            .map(Duration::from_secs),
    }
}
