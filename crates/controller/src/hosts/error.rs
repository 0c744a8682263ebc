//! Why an order was not carried out, or may not have been.

use model::HostName;

/// Why an order was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No agent of that name is connected; nothing was sent.
    #[error(
        "host '{host}' is not connected: start its agent, or wait until it has dialled in again"
    )]
    NotConnected {
        /// The host.
        host: HostName,
    },
    /// The agent did not do it, for a reason.
    #[error("host '{host}' refused: {sentence}")]
    Refused {
        /// The host.
        host: HostName,
        /// One sentence with the way out.
        sentence: String,
    },
    /// The connection ended before the answer: it may have been done.
    #[error(
        "the connection to host '{host}' was lost before it answered: wait until it has dialled in again, then look at what it has done"
    )]
    Lost {
        /// The host.
        host: HostName,
    },
    /// No answer came in time: it may have been done, or be done yet.
    #[error("host '{host}' has not answered within {ms} ms: look at its agent's log")]
    TimedOut {
        /// The host.
        host: HostName,
        /// How long it was waited for, ms.
        ms: u64,
    },
    /// The order does not fit into a frame; nothing was sent.
    #[error(
        "the order for host '{host}' is larger than a frame: spread the clusters over more hosts"
    )]
    TooLarge {
        /// The host.
        host: HostName,
    },
}

impl OrderError {
    /// The host.
    pub fn host(&self) -> &HostName {
        match self {
            Self::NotConnected { host }
            | Self::Refused { host, .. }
            | Self::Lost { host }
            | Self::TimedOut { host, .. }
            | Self::TooLarge { host } => host,
        }
    }

    /// True when the host is gone: it gets the whole truth when it dials in again.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::NotConnected { .. } | Self::Lost { .. })
    }
}
