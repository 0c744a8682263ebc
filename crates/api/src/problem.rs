//! Problem documents: how every error leaves the API (RFC 9457).
//!
//! A [`Problem`] is one clear sentence and the way out. Nothing else crosses the API as an error:
//! services return it, the server sends it, the client gives it back unchanged.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Media type of a problem document, RFC 9457 section 3.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Where the problem types are described; RFC 9457 section 3.1.1 lets `type` be relative.
const TYPES: &str = "/v1/problems/";

/// What kind of problem it is; each has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was named does not exist. 404.
    NotFound,
    /// What was asked for contradicts what is there. 409.
    Conflict,
    /// The request itself is wrong. 400.
    Invalid,
    /// Something that is needed does not answer now. 503.
    Unavailable,
    /// Understood, possible to say, and not done for the reason given. 422.
    Refused,
    /// No valid token came with the request. 401.
    Unauthorized,
    /// A fault of ours. 500.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::NotFound,
        Self::Conflict,
        Self::Invalid,
        Self::Unavailable,
        Self::Refused,
        Self::Unauthorized,
        Self::Internal,
    ];

    /// The last part of the problem's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Invalid => 400,
            Self::Unavailable => 503,
            Self::Refused => 422,
            Self::Unauthorized => 401,
            Self::Internal => 500,
        }
    }

    /// A short title, the same for every problem of the kind (RFC 9457 section 3.1.3).
    pub fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Conflict => "Conflict",
            Self::Invalid => "Invalid request",
            Self::Unavailable => "Unavailable",
            Self::Refused => "Refused",
            Self::Unauthorized => "Not authorized",
            Self::Internal => "Internal error",
        }
    }

    /// What the kind means, for those who follow the `type`.
    pub fn description(self) -> &'static str {
        match self {
            Self::NotFound => "What the request names does not exist.",
            Self::Conflict => "The request contradicts what is there; look at it again and repeat.",
            Self::Invalid => "The request is wrong in itself and will be wrong again.",
            Self::Unavailable => {
                "Something that the request needs does not answer now; later it may."
            }
            Self::Refused => "The request was understood and not carried out; nothing was changed.",
            Self::Unauthorized => "The request carried no valid bearer token.",
            Self::Internal => "A fault of the controller; its log says more.",
        }
    }

    fn from_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Unauthorized,
            404 => Self::NotFound,
            409 => Self::Conflict,
            422 => Self::Refused,
            502..=504 => Self::Unavailable,
            400..=499 => Self::Invalid,
            _ => Self::Internal,
        }
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Kind of the problem as a URI reference, for example `/v1/problems/not_found`.
    #[serde(rename = "type")]
    #[schema(example = "/v1/problems/not_found")]
    pub type_uri: String,
    /// Short title of the kind.
    #[schema(example = "Not found")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// One clear sentence: what is wrong.
    #[schema(example = "There is no cluster 'shpo'.")]
    pub detail: String,
    /// What to do about it.
    #[schema(example = "See the clusters with `transhume cluster list`.")]
    pub way_out: String,
}

impl Problem {
    /// A problem of a kind: one clear sentence, and the way out.
    pub fn new(kind: Kind, detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{TYPES}{}", kind.as_str()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            way_out: way_out.into(),
        }
    }

    /// What was named does not exist.
    pub fn not_found(detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail, way_out)
    }

    /// What was asked for contradicts what is there.
    pub fn conflict(detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail, way_out)
    }

    /// The request itself is wrong.
    pub fn invalid(detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail, way_out)
    }

    /// Something that is needed does not answer now.
    pub fn unavailable(detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail, way_out)
    }

    /// Understood and not done, for the reason given.
    pub fn refused(detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Kind::Refused, detail, way_out)
    }

    /// A fault of ours; the way out is the log.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, detail, "The controller's log says more.")
    }

    /// The kind, from the `type`, or from the status where the type is not one of ours.
    pub fn kind(&self) -> Kind {
        let name = self.type_uri.strip_prefix(TYPES);
        Kind::ALL
            .into_iter()
            .find(|kind| Some(kind.as_str()) == name)
            .unwrap_or_else(|| Kind::from_status(self.status))
    }

    /// The problem that an answer carries; answers of others (a proxy) become one by their status.
    pub(crate) fn from_answer(status: u16, body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| {
            Self::new(
                Kind::from_status(status),
                format!("The answer was HTTP status {status} without a problem document."),
                "Check that the address is that of a Transhume controller.",
            )
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if !self.way_out.is_empty() {
            write!(f, " {}", self.way_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
