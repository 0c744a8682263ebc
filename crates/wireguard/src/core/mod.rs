//! A device without I/O: packets in, packets and decisions out. Time comes from outside, but for the library's own
//! timers and randomness.
//!
//! | module | what |
//! |---|---|
//! | `link` | one pair of keys: handshakes and sessions |
//! | `peer` | the pairs of one peer: which is sent with, what waits |
//! | `open` | what comes from outside |
//! | `seal` | what goes there |

mod link;
mod open;
mod peer;
mod seal;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ip_network_table::IpNetworkTable;

use crate::event::{Bucket, Event};
use crate::key::{PublicKey, SecretKey};
use crate::status::{Drops, Reason, Status};
use crate::wanted::{Contradiction, Wanted};

use link::{Identity, Link, LinkId};
use peer::PeerState;

/// Bytes that WireGuard puts around a packet.
pub const OVERHEAD: usize = 32;
/// Room that a message needs beyond the packet: padding to 16 bytes too, and never less than a handshake.
pub const ROOM: usize = 192;
/// Handshakes a second and key of ours, above which whoever begins has to show that it is where it says.
const HANDSHAKES: u64 = 250;
/// Refusals that are told: at once, and how long until the next one is.
const REFUSALS: u32 = 20;
const REFUSAL: Duration = Duration::from_millis(200);
/// Traffic class of handshakes, as the kernel's WireGuard marks them (AF41).
const URGENT: u8 = 0x88;

/// A datagram that the device itself wants to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// To whom.
    pub to: SocketAddr,
    /// Traffic class.
    pub class: u8,
    /// What.
    pub bytes: Vec<u8>,
}

/// A peer's place among the others, until the next [`Core::set`].
pub type PeerNumber = usize;

/// The device.
pub struct Core {
    mtu: usize,
    identities: Vec<Identity>,
    peers: Vec<PeerState>,
    links: HashMap<LinkId, (PeerNumber, usize)>,
    keys: HashMap<PublicKey, PeerNumber>,
    plain: HashMap<SocketAddr, PeerNumber>,
    routes: IpNetworkTable<PeerNumber>,
    next_link: LinkId,
    /// Where a packet is put together before it is encrypted.
    scratch: Vec<u8>,
    outgoing: Vec<Datagram>,
    events: Vec<Event>,
    refusals: Bucket,
    strays: Bucket,
    drops: Drops,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Without keys and peers. Packets of at most `mtu` bytes go through it. The seed makes indices of sessions that
    /// nobody can guess.
    pub fn new(mtu: u16, seed: u32, now: Instant) -> Self {
        Self {
            mtu: mtu.into(),
            identities: Vec::new(),
            peers: Vec::new(),
            links: HashMap::new(),
            keys: HashMap::new(),
            plain: HashMap::new(),
            routes: IpNetworkTable::new(),
            next_link: seed,
            scratch: Vec::new(),
            outgoing: Vec::new(),
            events: Vec::new(),
            refusals: Bucket::new(REFUSALS, REFUSAL, now),
            strays: Bucket::new(REFUSALS, REFUSAL, now),
            drops: Drops::default(),
        }
    }

    /// Makes the device what is wanted. What does not differ stays: sessions, places, counters.
    ///
    /// # Errors
    /// It contradicts itself; then nothing has changed.
    pub fn set(&mut self, wanted: Wanted, now: Instant) -> Result<(), Contradiction> {
        wanted.check()?;
        self.identify(wanted.identities);
        let mut former: Vec<Option<PeerState>> = self.peers.drain(..).map(Some).collect();
        for wanted in wanted.peers {
            // Who shares a key is the same peer.
            let number = wanted.keys.iter().find_map(|key| self.keys.get(key));
            let known = number.and_then(|number| former.get_mut(*number)?.take());
            let mut peer = match known {
                Some(mut peer) => {
                    peer.change(wanted);
                    peer
                }
                None => PeerState::new(wanted),
            };
            self.link(&mut peer);
            self.peers.push(peer);
        }
        self.index();
        for number in 0..self.peers.len() {
            self.begin(number, now);
        }
        Ok(())
    }

    fn identify(&mut self, wanted: Vec<SecretKey>) {
        let mut former = std::mem::take(&mut self.identities);
        for secret in wanted {
            let public = secret.public();
            let known = former.iter().position(|identity| identity.public == public);
            let identity = match known {
                Some(at) => former.swap_remove(at),
                None => Identity::new(secret, HANDSHAKES),
            };
            self.identities.push(identity);
        }
    }

    /// Gives a peer a link for each pair of keys, in the order of preference, and keeps those that it has.
    fn link(&mut self, peer: &mut PeerState) {
        let mut former = std::mem::take(&mut peer.links);
        if peer.is_plain() {
            return;
        }
        for identity in &self.identities {
            for key in &peer.wanted.keys {
                let same = |link: &Link| link.identity == identity.public && link.key == *key;
                let link = match former.iter().position(same) {
                    Some(at) => former.swap_remove(at),
                    None => {
                        // No number comes back before all others were there, so that nobody takes a removed peer's
                        // packets for another's.
                        self.next_link = self.next_link.wrapping_add(1) & 0x00ff_ffff;
                        Link::new(self.next_link, identity, *key)
                    }
                };
                peer.links.push(link);
            }
        }
    }

    fn index(&mut self) {
        self.links.clear();
        self.keys.clear();
        self.plain.clear();
        self.routes = IpNetworkTable::new();
        for (number, peer) in self.peers.iter().enumerate() {
            for key in &peer.wanted.keys {
                self.keys.insert(*key, number);
            }
            for prefix in &peer.wanted.allowed {
                self.routes.insert(prefix.network(), number);
            }
            for (place, link) in peer.links.iter().enumerate() {
                self.links.insert(link.id, (number, place));
            }
            if let (true, Some(endpoint)) = (peer.is_plain(), peer.endpoint) {
                self.plain.insert(endpoint, number);
            }
        }
    }

    /// Begins with a peer that shall be reachable, or whose preferred keys have changed.
    fn begin(&mut self, number: PeerNumber, now: Instant) {
        let Some(peer) = self.peers.get_mut(number) else {
            return;
        };
        let messages = if peer.has_session() {
            peer.prefer(now).into_iter().collect()
        } else if peer.is_silent(now) {
            peer.hunt(now)
        } else {
            Vec::new()
        };
        self.say(number, messages, now);
    }

    /// Call it about ten times a second.
    pub fn tick(&mut self, now: Instant) {
        for identity in &self.identities {
            identity.strict.reset_count();
            identity.lenient.reset_count();
        }
        for number in 0..self.peers.len() {
            let Some(peer) = self.peers.get_mut(number) else {
                continue;
            };
            let messages = peer.tick(now);
            let silent = peer.is_silent(now) && peer.has_session();
            self.say(number, messages, now);
            if silent {
                self.keep_alive(number, now);
            }
        }
    }

    /// Whether an address is some peer's.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        self.route(address).is_some()
    }

    /// Whose an address is.
    pub fn route(&self, address: IpAddr) -> Option<PeerNumber> {
        self.routes
            .longest_match(address)
            .map(|(_, number)| *number)
    }

    /// Takes what the device itself wants to be sent.
    pub fn take_outgoing(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes what the device wants to tell.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Counts packets that were dropped outside of the core.
    pub fn dropped(&mut self, reason: Reason, count: u64) {
        self.drops.add(reason, count);
    }

    /// How the device is.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            peers: self
                .peers
                .iter()
                .filter_map(|peer| peer.status(now))
                .collect(),
            drops: self.drops.clone(),
        }
    }

    fn refuse(&mut self, from: SocketAddr, why: Reason, now: Instant) {
        self.drops.add(why, 1);
        if self.refusals.take(now) {
            self.events.push(Event::Refused { from, why });
        }
    }
}
