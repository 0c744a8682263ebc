//! What is known of a peer while the device runs.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::link::Link;
use crate::status::{PeerStatus, Traffic};
use crate::wanted::{Peer, Transport};

/// Packets that wait for a session, of one peer.
const WAITING: usize = 256;
/// How long we wait for an answer to the preferred pair of keys before we try the others too.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct PeerState {
    pub(super) wanted: Peer,
    /// Where it is now.
    pub(super) endpoint: Option<SocketAddr>,
    /// One for each pair of keys, preferred first.
    pub(super) links: Vec<Link>,
    waiting: VecDeque<Vec<u8>>,
    /// Since when we look for a session.
    hunting: Option<Instant>,
    pub(super) handshake: Option<Instant>,
    pub(super) sent_at: Option<Instant>,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    /// An address that was found to be its own: the next packet is from there too, mostly.
    pub(super) source: Option<IpAddr>,
}

impl PeerState {
    pub(super) fn new(wanted: Peer) -> Self {
        Self {
            endpoint: wanted.endpoint,
            wanted,
            links: Vec::new(),
            waiting: VecDeque::new(),
            hunting: None,
            handshake: None,
            sent_at: None,
            sent: Traffic::default(),
            received: Traffic::default(),
            source: None,
        }
    }

    /// Takes what is wanted now. Where the peer is stays as it is, unless it is wanted to be elsewhere.
    pub(super) fn change(&mut self, wanted: Peer) {
        if wanted.endpoint != self.wanted.endpoint || !wanted.roam {
            self.endpoint = wanted.endpoint.or(self.endpoint);
        }
        self.wanted = wanted;
        self.source = None;
    }

    pub(super) fn is_plain(&self) -> bool {
        self.wanted.transport == Transport::Plain
    }

    /// The link to send with: the most preferred one that has a session.
    pub(super) fn best(&mut self) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.is_ready())
    }

    pub(super) fn has_session(&self) -> bool {
        self.links.iter().any(Link::is_ready)
    }

    /// Keeps a packet until there is a session. False if too many wait: then the oldest was dropped.
    pub(super) fn wait(&mut self, packet: Vec<u8>) -> bool {
        let full = self.waiting.len() >= WAITING;
        if full {
            self.waiting.pop_front();
        }
        self.waiting.push_back(packet);
        !full
    }

    /// What has waited.
    pub(super) fn waited(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.waiting)
    }

    /// Begins handshakes where there is no session: with the preferred keys first, with all of them when that is
    /// not answered, since the other side may not know the new ones yet.
    pub(super) fn hunt(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.endpoint.is_none() || self.is_plain() {
            return Vec::new();
        }
        let since = *self.hunting.get_or_insert(now);
        let all = now.saturating_duration_since(since) >= PATIENCE;
        let count = if all { self.links.len() } else { 1 };
        let links = self.links.iter_mut().take(count);
        links.filter_map(|link| link.begin(now)).collect()
    }

    /// Begins a handshake with the preferred keys while another pair's session is in use.
    pub(super) fn prefer(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.endpoint?;
        let (first, rest) = self.links.split_first_mut()?;
        let other = rest.iter().any(Link::is_ready);
        (other && !first.is_ready()).then(|| first.begin(now))?
    }

    /// What time brings.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut made: Vec<Vec<u8>> = Vec::new();
        for link in &mut self.links {
            made.extend(link.tick(now));
        }
        if self.has_session() {
            self.hunting = None;
            made.extend(self.prefer(now));
        } else if !self.waiting.is_empty() || self.keeps_alive() {
            made.extend(self.hunt(now));
        } else {
            self.hunting = None;
        }
        made
    }

    fn keeps_alive(&self) -> bool {
        self.wanted.keepalive.is_some_and(|seconds| seconds > 0)
    }

    /// Whether it is time to send something for the sake of a NAT.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let Some(period) = self.wanted.keepalive.filter(|seconds| *seconds > 0) else {
            return false;
        };
        let period = Duration::from_secs(period.into());
        self.sent_at
            .is_none_or(|at| now.saturating_duration_since(at) >= period)
    }

    pub(super) fn status(&self, now: Instant) -> Option<PeerStatus> {
        let link = self.links.iter().find(|link| link.is_ready());
        Some(PeerStatus {
            key: *self.wanted.keys.first()?,
            session: link.map(|link| link.key),
            identity: link.map(|link| link.identity),
            endpoint: self.endpoint,
            handshake: self.handshake.map(|at| now.saturating_duration_since(at)),
            received: self.received,
            sent: self.sent,
        })
    }
}
