//! What a connection reports.

use crate::error::{DecodeError, EncodeError};
use crate::message::{Body, ErrorMessage, Message};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The versions agree: requests can be sent.
    Ready {
        /// The version both speak.
        version: u8,
    },
    /// A request is answered; parts are put together.
    Reply {
        /// What [`super::Connection::request`] returned.
        id: u32,
        /// The answer.
        body: Body,
    },
    /// A request will not be answered.
    Failed {
        /// What [`super::Connection::request`], `barrier`, `batch` or `bundle` returned.
        id: u32,
        /// Why.
        failure: Failure,
    },
    /// A barrier has passed, or a bundle is decided.
    Done {
        /// What [`super::Connection::barrier`], `batch` or `bundle` returned.
        id: u32,
        /// What was refused; empty if everything was done. A bundle with refusals was discarded.
        refusals: Vec<Refusal>,
    },
    /// The peer says something on its own: packet-in, port-status, flow-removed and others.
    Async(Message),
    /// An error that belongs to no pending request: of messages sent without barrier, or of none.
    Error {
        /// The transaction id in its header.
        xid: u32,
        /// The error.
        error: ErrorMessage,
    },
    /// A message could not be decoded. The connection goes on: the frame around it was sound.
    Malformed {
        /// What is wrong.
        error: DecodeError,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// The connection is over; all pending requests have failed before this.
    Closed(CloseReason),
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {index} of the batch was refused: {error}")]
pub struct Refusal {
    /// Position in the batch, from 0. The position behind the last message means the batch as a
    /// whole: the commit of a bundle. For a plain barrier everything counts that was sent since
    /// the previous one.
    pub index: usize,
    /// Transaction id.
    pub xid: u32,
    /// The switch's words.
    pub error: ErrorMessage,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer refused it.
    #[error("the switch refused: {0}")]
    Refused(ErrorMessage),
    /// The answer is malformed.
    #[error("the switch's answer cannot be read: {0}")]
    Malformed(#[source] DecodeError),
    /// The answer has more bytes than the configuration allows.
    #[error("the switch's answer exceeds {limit} bytes; ask for less or raise max_reply_bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The request does not fit a message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The connection ended first.
    #[error(transparent)]
    Closed(#[from] CloseReason),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The socket ended.
    #[error("the switch closed the connection; see its log for the reason, then connect again")]
    PeerClosed,
    /// Nothing came for too long, not even echo replies.
    #[error("the switch is silent; check that it runs and is reachable, then connect again")]
    Silent,
    /// No common version.
    #[error(
        "the switch speaks no version of ours (its hello says {peer}); \
         allow it OpenFlow13, e.g. ovs-vsctl set bridge BR protocols=OpenFlow13"
    )]
    Incompatible {
        /// Version in the header of its hello.
        peer: u8,
    },
    /// The switch refused our hello.
    #[error("the switch refused our hello: {0}; allow it OpenFlow13")]
    HelloRefused(ErrorMessage),
    /// The length of a frame is impossible, so the rest of the stream has no meaning.
    #[error("the switch's bytes are not OpenFlow: {0}; check that the socket is a switch's")]
    Framing(#[source] DecodeError),
}
