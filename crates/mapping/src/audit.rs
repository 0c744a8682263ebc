//! What happened, for the log: every rejected datagram has a line, and so has every change.

use std::net::SocketAddr;

use lisp::auth::AuthError;
use lisp::subscription::WishError;
use lisp::{DecodeError, Eid};

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// A datagram was dropped, or a part of what it asked for refused.
    Rejected {
        /// Who sent it, as far as one can believe it.
        from: SocketAddr,
        /// Why.
        reason: Rejection,
    },
    /// A mapping is new or has other locators.
    Changed {
        /// Of which prefix.
        eid: Eid,
    },
    /// The last registration of a prefix was withdrawn or ran out.
    Gone {
        /// Of which prefix.
        eid: Eid,
    },
    /// A subscriber never acknowledged a notification.
    Unacknowledged {
        /// Of which prefix.
        eid: Eid,
        /// The subscriber's xTR-ID.
        xtr_id: u128,
    },
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It cannot be decoded.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It is not authenticated.
    #[error(transparent)]
    Unauthenticated(#[from] AuthError),
    /// It has the key id of no key of the site.
    #[error("key {key_id} is none of the site's; add it, or let the sender use another")]
    UnknownKey {
        /// The key id.
        key_id: u8,
    },
    /// It registers what no site may register.
    #[error("no site may register {eid}; add the prefix to a site")]
    NoSite {
        /// The prefix.
        eid: Eid,
    },
    /// It registers a part of a prefix that only counts as a whole.
    #[error(
        "{eid} is a part of a prefix that the site may only register whole; allow more-specifics"
    )]
    MoreSpecific {
        /// The prefix.
        eid: Eid,
    },
    /// It registers for several sites at once.
    #[error("{eid} belongs to another site than the records before; register each site by itself")]
    SeveralSites {
        /// The prefix.
        eid: Eid,
    },
    /// It registers what whoever runs this server holds itself.
    #[error("{eid} is held here; only a change of the directory or of the static mapping moves it")]
    Held {
        /// The prefix.
        eid: Eid,
    },
    /// It registers with an older version than what another xTR has registered.
    #[error(
        "{eid} is registered elsewhere with version {held}, and {version} is older: the sender is fenced"
    )]
    OldVersion {
        /// The prefix.
        eid: Eid,
        /// The version of the registration that was dropped.
        version: u16,
        /// The version that counts.
        held: u16,
    },
    /// It is larger than what is read.
    #[error("{length} bytes in a datagram; send several messages")]
    Oversized {
        /// Its bytes.
        length: usize,
    },
    /// Its sender sends too much.
    #[error("more datagrams than one sender may send; more of them are dropped without a line")]
    TooFast,
    /// It registers something that is no prefix.
    #[error("a record for what is no IPv4, IPv6 or MAC prefix; register prefixes")]
    NoPrefix,
    /// Its nonce is not new.
    #[error("nonce {nonce:#x} is older than the last one: a replay, or an ETR that began again")]
    Replayed {
        /// The nonce.
        nonce: u64,
    },
    /// Its nonce is 0 again: RFC 6830 has it so, and then nothing tells a replay from a registration.
    #[error(
        "nonce 0 again, as routers of RFC 6830's time send it; allow the site a constant nonce"
    )]
    ConstantNonce,
    /// Something is as large as it may become.
    #[error("no more {what} are taken; raise the limit")]
    Limit {
        /// What.
        what: &'static str,
    },
    /// The subscription is not one.
    #[error(transparent)]
    Subscription(#[from] WishError),
    /// Nobody with this Site-ID shares a secret with us, so notifications could not be signed.
    #[error("site {site_id} is not known, so its notifications could not be signed; add the site")]
    UnknownSite {
        /// The Site-ID.
        site_id: u64,
    },
    /// It is a message that a Map-Server has no use for.
    #[error("a {what} is of no use to a Map-Server; the sender has the wrong address")]
    Useless {
        /// What it is.
        what: &'static str,
    },
}

impl Rejection {
    /// Names of all reasons, in the order of [`Rejection::index`].
    pub const NAMES: [&'static str; 16] = [
        "malformed",
        "unauthenticated",
        "unknown_key",
        "no_site",
        "more_specific",
        "several_sites",
        "held",
        "old_version",
        "oversized",
        "too_fast",
        "no_prefix",
        "replayed",
        "limit",
        "subscription",
        "useless",
        "constant_nonce",
    ];

    /// Place of this reason in [`Rejection::NAMES`].
    pub fn index(&self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::Unauthenticated(_) => 1,
            Self::UnknownKey { .. } => 2,
            Self::NoSite { .. } => 3,
            Self::MoreSpecific { .. } => 4,
            Self::SeveralSites { .. } => 5,
            Self::Held { .. } => 6,
            Self::OldVersion { .. } => 7,
            Self::Oversized { .. } => 8,
            Self::TooFast => 9,
            Self::NoPrefix => 10,
            Self::Replayed { .. } => 11,
            Self::Limit { .. } => 12,
            Self::Subscription(_) | Self::UnknownSite { .. } => 13,
            Self::Useless { .. } => 14,
            Self::ConstantNonce => 15,
        }
    }
}

/// How many datagrams were dropped, or parts of them refused, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionCounts([u64; Rejection::NAMES.len()]);

impl RejectionCounts {
    pub(crate) fn count(&mut self, reason: &Rejection) {
        if let Some(count) = self.0.get_mut(reason.index()) {
            *count += 1;
        }
    }

    /// Every reason with its count, also those that never happened.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Rejection::NAMES.into_iter().zip(self.0.iter().copied())
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
