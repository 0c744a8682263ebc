//! Who is who between controller and agents.
//!
//! One certificate authority of our own per controller ([`ca`]); a host joins with a token that names
//! the authority by its fingerprint and carries a one-time secret ([`token`]); from then on every
//! connection between our parts is mutual TLS 1.3 ([`tls`]), and a part's name in its certificate is
//! what it may speak for. People's access to the API is not here.

pub mod ca;
pub mod enrol;
pub mod seal;
pub mod tls;
pub mod token;

pub use ca::{Authority, Credentials, Ends};
pub use seal::Seal;
pub use token::JoinToken;

/// The name in the controller's certificate.
pub const CONTROLLER: &str = "controller";

/// What goes wrong with identities.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate or key could not be made.
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("{path}: {cause}; check that the folder exists and belongs to this user")]
    File {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A file holds no certificate or key.
    #[error("{path} holds no valid {what}; remove the folder and join again")]
    Content {
        /// The file.
        path: String,
        /// `certificate` or `key`.
        what: &'static str,
    },
    /// TLS refuses the material.
    #[error("TLS refuses a certificate or key: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier refuses the authority.
    #[error("TLS refuses the authority's certificate: {0}")]
    Verifier(String),
    /// The system's generator gave nothing.
    #[error("the system gives no random bytes; try again when it has booted")]
    NoRandomness,
    /// Text that is no join token.
    #[error("this is not a join token; make a new one with `transhume host token`")]
    NotAToken,
    /// A certificate does not carry the name that its holder claims.
    #[error(
        "the certificate presented does not carry the name '{0}'; the host must join again under its own name"
    )]
    WrongName(String),
    /// A request for a certificate that does not fit the name it asks for.
    #[error("the certificate request is not valid: {0}")]
    Request(String),
}
