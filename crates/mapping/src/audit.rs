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
    /// It registers something that is no prefix.
    #[error("a record for what is no IPv4, IPv6 or MAC prefix; register prefixes")]
    NoPrefix,
    /// Its nonce is not new.
    #[error("nonce {nonce:#x} is older than the last one: a replay, or an ETR that began again")]
    Replayed {
        /// The nonce.
        nonce: u64,
    },
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
