//! The agents' port.
//!
//! | module | job |
//! |---|---|
//! | `port` | TCP and TLS: who gets as far as saying something |
//! | `joining` | strangers: one request to join, one answer |
//! | `conversation` | a host with a certificate: hello, then frames until it ends |
//! | [`admission`] | join tokens |
//!
//! Nothing is trusted here but the certificate's name; what agents report is judged by those who
//! use it.

pub mod admission;
mod conversation;
mod joining;
mod port;

pub use port::AgentsPort;

/// Why a peer was turned away, or a conversation ended.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error("it was silent for {0} s")]
    Silent(u64),
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("a frame cannot be read: {0}")]
    Frame(#[from] serde_json::Error),
    #[error("its first frame is not a hello")]
    NoHello,
    #[error("it speaks protocol {0}, this controller {ours}: run the same version on both", ours = model::order::PROTOCOL)]
    Protocol(u32),
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    #[error(transparent)]
    Admission(#[from] admission::AdmissionError),
    #[error(transparent)]
    Underlay(#[from] crate::underlay::UnderlayError),
    #[error(transparent)]
    Arrival(#[from] crate::registry::ArrivalError),
    #[error(
        "another agent says that it is host '{0}' while that one is connected: if the host was not started anew, its key may be stolen; then remove it with `transhume host remove {0}`"
    )]
    Twice(model::HostName),
    #[error("it does not take what it is sent")]
    Stuck,
    #[error("a newer connection of the same host took its place")]
    Replaced,
}

impl PeerError {
    /// Whether somebody was kept out who should not be let in, so that a person should hear of it.
    fn is_refusal(&self) -> bool {
        use std::io::ErrorKind;
        match self {
            Self::Identity(_)
            | Self::Admission(_)
            | Self::Underlay(_)
            | Self::Arrival(_)
            | Self::Twice(_) => true,
            // What TLS has against a certificate.
            Self::Io(error) => error.kind() == ErrorKind::InvalidData,
            _ => false,
        }
    }
}
