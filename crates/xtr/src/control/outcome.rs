//! What a call of the core wants to be done.

use std::net::{IpAddr, SocketAddr};

use lisp::{Eid, Message};

use super::core::Saved;
use crate::data::table::{Presence, Route};
use offload::vnet::Vnet;

/// What a call wants to be done, in this order; what is to be saved before anything is sent.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Tables to be changed.
    pub changes: Vec<Change>,
    /// Datagrams to be sent from the control port.
    pub send: Vec<(SocketAddr, Vec<u8>)>,
    /// Packets that have waited and can go now.
    pub resume: Vec<Waiting>,
    /// What an operator may want to know.
    pub events: Vec<Event>,
    /// What must outlive a restart, if it has changed.
    pub save: Option<Saved>,
}

/// A change of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Where packets to a prefix go.
    Route(Eid, Option<Route>),
    /// Whether a prefix is ours.
    Own(Eid, Option<Presence>),
}

/// A packet without a mapping, as it was read from the TUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its instance.
    pub instance: u32,
    /// What stood before it.
    pub vnet: Vnet,
    /// All of it.
    pub packet: Vec<u8>,
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Map-Server has confirmed a registration.
    Registered {
        /// What.
        eid: Eid,
        /// Where.
        server: IpAddr,
    },
    /// A locator answers again, or no more.
    Locator {
        /// Which.
        address: IpAddr,
        /// Whether it answers.
        up: bool,
    },
    /// Nobody answers for a destination.
    Unresolved {
        /// Which.
        eid: Eid,
    },
    /// A datagram was dropped.
    Rejected {
        /// Who sent it, as far as one can believe it.
        from: SocketAddr,
        /// Why.
        reason: Rejection,
    },
}

/// Why a control message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// It cannot be decoded.
    Malformed,
    /// It answers nothing that was asked.
    Unasked,
    /// It is not authenticated as it should be.
    Unauthenticated,
    /// Its nonce is older than the last one.
    Replayed,
    /// It is of no use to a tunnel router.
    Useless,
    /// More came than is answered.
    TooMany,
}

impl Rejection {
    /// Name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unasked => "unasked",
            Self::Unauthenticated => "unauthenticated",
            Self::Replayed => "replayed",
            Self::Useless => "useless",
            Self::TooMany => "too_many",
        }
    }
}

impl Outcome {
    /// Adds a message; one that is too long for its fields is not sent.
    pub(crate) fn message(&mut self, to: SocketAddr, message: &Message) {
        if let Ok(bytes) = message.to_bytes() {
            self.send.push((to, bytes));
        }
    }
}
