//! What can go wrong between us and an OVSDB server.

use std::{fmt, time::Duration};

use serde_json::Value as Json;

use crate::{snapshot::UpdateError, value::ValueError};

/// The server refused a whole request (the `error` member of a reply, RFC 7047 4.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {details}")]
pub struct RpcError {
    /// Short name, such as `unknown database` or `canceled`.
    pub error: String,
    /// A sentence, or whatever else the server gave.
    pub details: String,
}

impl RpcError {
    pub(crate) fn from_json(json: &Json) -> Self {
        let text = |key| json.get(key).and_then(Json::as_str).map(str::to_owned);
        match (json.as_str(), text("error")) {
            (Some(error), _) => Self {
                error: error.to_owned(),
                details: "no details".to_owned(),
            },
            (None, Some(error)) => Self {
                error,
                details: text("details")
                    .or_else(|| text("syntax"))
                    .unwrap_or_else(|| "no details".to_owned()),
            },
            (None, None) => Self {
                error: "error".to_owned(),
                details: json.to_string(),
            },
        }
    }
}

/// Why an operation failed (RFC 7047 5.2 and 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpErrorKind {
    /// A row refers to one that does not exist, or is still referred to.
    ReferentialIntegrityViolation,
    /// A column has too few or many elements, or two rows clash in an index.
    ConstraintViolation,
    /// The server has no memory or disk space.
    ResourcesExhausted,
    /// The server could not write.
    Io,
    /// Two inserts of the transaction have the same name.
    DuplicateUuidName,
    /// The mutation has no result in the column's type, such as a division by zero.
    Domain,
    /// The mutation's result is outside the column's range.
    Range,
    /// A `wait` condition did not come true in time.
    TimedOut,
    /// The server does not do this.
    NotSupported,
    /// The transaction aborted itself.
    Aborted,
    /// The asserted lock is not held.
    NotOwner,
    /// Any other, in the server's words (`unknown column`, `syntax error`, ...).
    Other(String),
}

impl From<&str> for OpErrorKind {
    fn from(error: &str) -> Self {
        match error {
            "referential integrity violation" => Self::ReferentialIntegrityViolation,
            "constraint violation" => Self::ConstraintViolation,
            "resources exhausted" => Self::ResourcesExhausted,
            "I/O error" => Self::Io,
            "duplicate uuid-name" => Self::DuplicateUuidName,
            "domain error" => Self::Domain,
            "range error" => Self::Range,
            "timed out" => Self::TimedOut,
            "not supported" => Self::NotSupported,
            "aborted" => Self::Aborted,
            "not owner" => Self::NotOwner,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// One operation failed, and with it the whole transaction: nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpError {
    /// Which one, from 0; `None` when all went through and the commit failed.
    pub operation: Option<usize>,
    /// Why.
    pub kind: OpErrorKind,
    /// The server's sentence.
    pub details: String,
}

impl std::error::Error for OpError {}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(index) => write!(f, "operation {index}: ")?,
            None => f.write_str("at the commit: ")?,
        }
        match &self.kind {
            OpErrorKind::Other(name) => write!(f, "{name}: {}", self.details),
            kind => write!(f, "{kind:?}: {}", self.details),
        }
    }
}

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection within the deadline.
    #[error(
        "no OVSDB server at {remote} within {waited:?} ({cause}); is ovsdb-server running and listening there?"
    )]
    Unreachable {
        /// The address.
        remote: String,
        /// How long we waited.
        waited: Duration,
        /// The last attempt's failure.
        cause: String,
    },
    /// The connection broke before the answer came.
    #[error(
        "the connection to {remote} broke before {method} was answered; it may or may not have been done, so read the state before trying again"
    )]
    Disconnected {
        /// The address.
        remote: String,
        /// The request.
        method: String,
    },
    /// The server refused a request.
    #[error("the OVSDB server refused {method}: {error}")]
    Rpc {
        /// The request.
        method: String,
        /// Its answer.
        #[source]
        error: RpcError,
    },
    /// A transaction failed; nothing of it was done.
    #[error("the transaction failed, nothing was changed: {0}")]
    Transaction(#[from] OpError),
    /// An answer does not have the form of RFC 7047.
    #[error("the answer to {method} does not follow RFC 7047: {what}; is this an OVSDB server?")]
    Shape {
        /// The request.
        method: String,
        /// What is wrong.
        what: String,
    },
    /// A value in an answer does not have the form of RFC 7047 5.1.
    #[error("a value does not follow RFC 7047: {0}; is this an OVSDB server?")]
    Value(#[from] ValueError),
    /// An update does not fit the monitored state.
    #[error("a monitor update does not fit: {0}")]
    Update(#[from] UpdateError),
    /// The address cannot be read.
    #[error("{0:?} is no OVSDB address; write unix:PATH or tcp:HOST:PORT")]
    Address(String),
    /// The `Open_vSwitch` table has no row.
    #[error(
        "the Open_vSwitch table is empty; run `ovs-vsctl --no-wait init` against this server first"
    )]
    NotInitialized,
    /// ovs-vswitchd did not act in time. The database holds the change, and it may still be done.
    #[error(
        "ovs-vswitchd has not applied configuration {next_cfg} within {waited:?}; is it running on this database? The change stays in the database"
    )]
    NotApplied {
        /// The configuration that was waited for.
        next_cfg: i64,
        /// For how long.
        waited: Duration,
    },
}
