//! One side of an OpenFlow connection, without I/O.
//!
//! Bytes go in with [`Connection::receive`], bytes to send come out of
//! [`Connection::output`], what happened comes out of [`Connection::poll_event`]. Time is an
//! argument. The socket is somebody else's: [`crate::client`] is the tokio adapter.
//!
//! What is done here: negotiation of the version, answers to echo requests and own ones when the
//! peer is silent, transaction ids, replies and errors to the request that caused them, answers
//! in many parts, batches with a barrier, bundles.

mod config;
mod event;
mod frames;
mod incoming;
mod keepalive;
mod outgoing;
mod tracker;

pub use config::Config;
pub use event::{CloseReason, Event, Failure, Refusal};

use std::collections::VecDeque;
use std::time::Instant;

use crate::error::EncodeError;
use crate::message::{Body, Hello, Message};
use frames::Frames;
use keepalive::Keepalive;
use tracker::Tracker;

/// Negotiation and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Our hello is out, the peer's is not in.
    Greeting,
    /// Versions agree.
    Ready(u8),
    /// Over.
    Closed,
}

/// The state of a connection. See the module's description.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    state: State,
    frames: Frames,
    keepalive: Keepalive,
    tracker: Tracker,
    output: Vec<u8>,
    events: VecDeque<Event>,
}

impl Connection {
    /// Begins a connection: a hello is in the output.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut connection = Self {
            state: State::Greeting,
            frames: Frames::default(),
            keepalive: Keepalive::new(config.echo_interval, config.dead_after, now),
            tracker: Tracker::new(config.max_reply_bytes),
            output: Vec::new(),
            events: VecDeque::new(),
            config,
        };
        let hello = Hello::offering(&connection.config.versions);
        let xid = connection.tracker.next_xid();
        connection.put(xid, hello.into());
        connection
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send. The caller removes what it has sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// The version both sides speak, once that is known.
    pub fn version(&self) -> Option<u8> {
        match self.state {
            State::Ready(version) => Some(version),
            State::Greeting | State::Closed => None,
        }
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// When [`Connection::handle_timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        (!self.is_closed()).then(|| self.keepalive.next(self.version().is_some()))
    }

    /// Sends an echo request when the peer is silent, and gives up when it stays so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        match self.keepalive.check(now, self.version().is_some()) {
            keepalive::Verdict::Fine => {}
            keepalive::Verdict::Probe => {
                let xid = self.tracker.next_xid();
                self.tracker.probe(xid);
                self.put(xid, Body::EchoRequest(Vec::new().into()));
            }
            keepalive::Verdict::Dead => self.close(CloseReason::Silent),
        }
    }

    /// Tells the connection that its socket has ended; pending requests fail.
    pub fn peer_closed(&mut self) {
        self.close(CloseReason::PeerClosed);
    }

    fn close(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        for id in self.tracker.take_all() {
            self.events.push_back(Event::Failed {
                id,
                failure: Failure::Closed(reason.clone()),
            });
        }
        self.events.push_back(Event::Closed(reason));
    }

    /// Encodes our own small messages, which always fit.
    fn put(&mut self, xid: u32, body: Body) {
        let _ = self.encode(xid, body);
    }

    fn encode(&mut self, xid: u32, body: Body) -> Result<(), EncodeError> {
        let highest = self.config.versions.iter().copied().max();
        let version = self
            .version()
            .or(highest)
            .unwrap_or(crate::message::version::OF13);
        Message {
            version,
            xid,
            body,
            reserved: Vec::new(),
        }
        .encode(&mut self.output)
    }
}
