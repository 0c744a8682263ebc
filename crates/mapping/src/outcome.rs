//! What a call wants to be done. One value serves many calls: what it has room for is kept.

use std::net::SocketAddr;
use std::ops::Range;

use lisp::Message;

use crate::audit::Audit;

/// What a call wants to be done.
#[derive(Debug, Default)]
pub struct Outcome {
    bytes: Vec<u8>,
    sent: Vec<(SocketAddr, Range<usize>)>,
    /// Lines for the log.
    pub audit: Vec<Audit>,
}

impl Outcome {
    /// Datagrams to be sent.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &[u8])> {
        self.sent
            .iter()
            .map(|(to, place)| (*to, self.bytes.get(place.clone()).unwrap_or_default()))
    }

    /// Empties it for the next call.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent.clear();
        self.audit.clear();
    }

    pub(crate) fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.parts(to, &[datagram]);
    }

    /// A datagram of several pieces.
    pub(crate) fn parts(&mut self, to: SocketAddr, pieces: &[&[u8]]) {
        let start = self.bytes.len();
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        self.sent.push((to, start..self.bytes.len()));
    }

    /// Encodes a message that we made ourselves. One that is too long for its fields is not sent: a
    /// merged mapping with long addresses could be.
    pub(crate) fn message(&mut self, to: SocketAddr, message: &Message) {
        let start = self.bytes.len();
        if message.encode(&mut self.bytes).is_ok() {
            self.sent.push((to, start..self.bytes.len()));
        }
    }
}
