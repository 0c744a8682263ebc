//! What a device says of itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::key::PublicKey;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Name for people and programs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// To an address that no peer has.
    NoPeer = "no_peer",
    /// To a peer of which nobody knows where it is, or which is of another family than our socket.
    NoEndpoint = "no_endpoint",
    /// To a peer without a session, and too many wait for it already.
    Waiting = "waiting_too_many",
    /// From inside: not IP, contradicts itself, or for another MAC address.
    NotForUs = "not_for_us",
    /// From inside: too large, its sender was told.
    TooBig = "too_big",
    /// From outside: no message of WireGuard, nor anything else that is known.
    Malformed = "malformed",
    /// From outside: a packet of a session that is not there (any more).
    UnknownSession = "unknown_session",
    /// From outside: not made with the session's key, or changed on the way.
    Forged = "forged",
    /// From outside: was here before, or is too old to tell.
    Replayed = "replayed",
    /// From outside: good, but what is in it is no IP packet.
    NotIp = "not_ip",
    /// From outside: good, but from an address that is not the peer's.
    ForeignSource = "foreign_source",
    /// From outside: met congestion, of which its ends cannot be told (RFC 6040).
    Congested = "congested",
    /// A handshake for a key that is none of ours.
    UnknownIdentity = "handshake_for_unknown_identity",
    /// A handshake of a key that is no peer's.
    UnknownKey = "handshake_of_unknown_key",
    /// A handshake that is not newer than one before: maybe played back.
    OldHandshake = "handshake_old",
    /// A handshake that is wrong, or an answer to one that was not asked for.
    BadHandshake = "handshake_bad",
    /// A handshake that was answered with a cookie, since there are too many.
    Cookie = "handshake_too_many",
    /// The kernel did not take a datagram.
    Underlay = "underlay_refused",
    /// The kernel did not take a packet on the inside.
    Inside = "inside_refused",
}

/// How many packets were dropped for which reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; Reason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

impl Drops {
    pub(crate) fn add(&mut self, reason: Reason, by: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += by;
        }
    }

    /// How many for one reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// By name, those that happened.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let all = Reason::ALL
            .iter()
            .map(|reason| (reason.name(), self.get(*reason)));
        all.filter(|(_, count)| *count > 0).collect()
    }
}

/// What a peer has sent or been sent: datagrams, with all that WireGuard puts around a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its preferred key.
    pub key: PublicKey,
    /// The key of the session that is sent with; nothing without one.
    pub session: Option<PublicKey>,
    /// Our own key of that session.
    pub identity: Option<PublicKey>,
    /// Where it is now.
    pub endpoint: Option<SocketAddr>,
    /// How long ago the last handshake was complete.
    pub handshake: Option<Duration>,
    /// From it.
    pub received: Traffic,
    /// To it.
    pub sent: Traffic,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its peers, in the order in which they are wanted.
    pub peers: Vec<PeerStatus>,
    /// What it has dropped.
    pub drops: Drops,
}
