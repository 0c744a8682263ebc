//! Updates as messages: RFC 2136, signed with a shared secret (TSIG, RFC 8945). No I/O; time and message ids are given.

mod answer;
mod request;

pub use request::{Request, question, update};

use crate::DnsName;
use crate::config::Algorithm;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, TSigner};
use std::fmt;

/// How far clocks may be apart, s (RFC 8945, section 10).
const FUDGE: u16 = 300;

/// A secret that is shared with a server. It is never shown.
#[derive(Clone)]
pub struct Key(TSigner);

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not base64.
    #[error(
        "the secret is not base64: write it as `tsig-keygen` or `keymgr -t` prints it, alone on the first line"
    )]
    NotBase64,
    /// Empty.
    #[error("the secret is empty: write it on the first line")]
    Empty,
    /// The library refuses it.
    #[error("the key cannot be used: {0}")]
    Refused(String),
}

/// A message that cannot be made, which is a fault of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be made: {0}")]
pub struct Unsayable(String);

impl Key {
    /// A key from its name at the server and its secret in base64.
    ///
    /// # Errors
    /// The secret is none.
    pub fn new(name: &DnsName, algorithm: Algorithm, secret: &str) -> Result<Self, InvalidKey> {
        let secret = data_encoding::BASE64.decode(secret.trim().as_bytes());
        let secret = secret.map_err(|_| InvalidKey::NotBase64)?;
        if secret.is_empty() {
            return Err(InvalidKey::Empty);
        }
        let algorithm = match algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let refused = |error: &dyn fmt::Display| InvalidKey::Refused(error.to_string());
        let name = wire_name(name).map_err(|error| refused(&error))?;
        let signer = TSigner::new(secret, algorithm, name, FUDGE);
        signer.map(Self).map_err(|error| refused(&error))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.signer_name())
    }
}

fn wire_name(name: &DnsName) -> Result<Name, Unsayable> {
    let made = Name::from_ascii(format!("{name}."));
    made.map_err(|error| Unsayable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_its_secret_and_nonsense_is_none() {
        let name = DnsName::new("transhume").unwrap();
        let key = Key::new(&name, Algorithm::HmacSha256, "c2VjcmV0IHNlY3JldA==\n").unwrap();
        assert_eq!(format!("{key:?}"), "Key(transhume.)");
        let wrong = |text| Key::new(&name, Algorithm::HmacSha256, text).unwrap_err();
        assert_eq!(wrong("secret!"), InvalidKey::NotBase64);
        assert_eq!(wrong(" \n"), InvalidKey::Empty);
    }
}
