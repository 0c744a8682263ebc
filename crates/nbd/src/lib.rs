//! The network block device protocol, as far as a live migration of disks needs it.
//!
//! Source: `doc/proto.md` of the NBD project (fixed newstyle handshake, transmission with simple
//! replies). No sockets here: [`ServerHandshake`], [`ClientHandshake`], [`Requests`] and
//! [`Replies`] take bytes and give back values.
//!
//! What is left out, and refused by name where the protocol has a way to say so: TLS (our agents
//! carry the bytes inside their own mutual TLS), structured replies and what builds on them (block
//! status, extended headers), the old handshake.
//!
//! No published crate has both sides for asynchronous use; this one knows nothing of Transhume.

mod handshake;
mod transmission;

pub use handshake::{ClientHandshake, Export, Info, ServerHandshake};
pub use transmission::{Kind, Replies, Reply, Request, Requests, errno};

/// Longest payload of a request or reply, bytes: what the protocol's document tells every peer to accept.
pub const MAX_PAYLOAD: u32 = 32 << 20;

/// What the peer said was not NBD, or not what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NbdError {
    /// A magic number is wrong.
    #[error("the peer does not speak NBD: {found:#x} where {wanted:#x} belongs")]
    Magic {
        /// What the protocol wants.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// The old handshake.
    #[error("the peer speaks only the old NBD handshake")]
    Old,
    /// A length beyond the limit.
    #[error("the peer sent {0} bytes in one piece; at most {MAX_PAYLOAD} are taken")]
    TooLong(u64),
    /// The peer ended the negotiation.
    #[error("the peer ended the NBD negotiation")]
    Aborted,
    /// No such export.
    #[error("there is no NBD export '{0}'")]
    NoExport(String),
    /// The server refused.
    #[error("the NBD server refused export '{export}': {why}")]
    Refused {
        /// The export.
        export: String,
        /// Its words, or its code.
        why: String,
    },
    /// A reply to nothing.
    #[error("the NBD server answered request {0}, which was never made")]
    Unasked(u64),
}
