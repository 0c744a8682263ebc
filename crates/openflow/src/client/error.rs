//! What can go wrong for a caller.

use std::time::Duration;

use crate::connection::{CloseReason, Failure, Refusal};
use crate::error::EncodeError;
use crate::message::{Body, ErrorMessage};

/// A call to a switch failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket could not be opened.
    #[error("cannot reach the switch at {target}: {source}; check that it runs")]
    Connect {
        /// Path or address.
        target: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The target is not of a form that is known.
    #[error("{0:?} is no target; write unix:PATH or tcp:HOST:PORT")]
    Target(String),
    /// The switch refused a request.
    #[error("the switch refused: {0}")]
    Refused(ErrorMessage),
    /// The switch refused messages of a batch or bundle. A bundle changed nothing.
    #[error("{}", show(.0))]
    BatchRefused(Vec<Refusal>),
    /// Another failure of a request.
    #[error(transparent)]
    Failed(Failure),
    /// The connection is over.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// A message does not fit its length field.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The switch takes too long.
    #[error("no answer within {0:?}; the switch is overloaded, or raise Options::request_timeout")]
    Timeout(Duration),
    /// The answer is of another kind than the question.
    #[error("the switch answered with a message of type {kind}, which is no answer to this")]
    Unexpected {
        /// The type number.
        kind: u8,
    },
}

impl ClientError {
    pub(super) fn unexpected(body: &Body) -> Self {
        Self::Unexpected { kind: body.kind() }
    }

    /// What the switch refused, if that was the failure.
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::BatchRefused(refusals) => refusals,
            _ => &[],
        }
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => Self::Refused(error),
            Failure::Closed(reason) => Self::Closed(reason),
            Failure::Encode(error) => Self::Encode(error),
            other => Self::Failed(other),
        }
    }
}

fn show(refusals: &[Refusal]) -> String {
    match refusals {
        [] => "the switch refused the batch".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}
