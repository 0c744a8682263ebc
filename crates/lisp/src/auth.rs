//! Authentication of registrations and notifications (RFC 9301, section 5.6).
//!
//! The code covers the whole message, an xTR-ID behind the records included, with zeros in place of
//! itself. It is checked on the received bytes, so nothing has to be decoded before the sender is
//! known.
//!
//! Two lengths are understood for each algorithm: the truncated one of the RFC, and the whole hash,
//! which implementations of RFC 6830 send under the same number. An algorithm with a key derivation
//! has a fresh key for each message, from the nonce and the type of the message.

use std::fmt;

use ring::{hkdf, hmac};
use serde::Serialize;
use subtle::ConstantTimeEq;

use crate::error::{DecodeError, EncodeError};
use crate::message::{Message, kind};
use crate::wire::{Blob, Reader, Writer};

/// How a message is authenticated: number of the registry in RFC 9301, section 12.5. In RFC 6830 it
/// is called key id and has 16 bits, the upper ones zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Not at all.
    #[default]
    None,
    /// HMAC-SHA-1-96 (RFC 2404), the only one that RFC 6830 requires.
    HmacSha1,
    /// HMAC-SHA-256-128 (RFC 4868), which RFC 9301 requires.
    HmacSha256,
    /// HMAC-SHA-256-128 with a key for each message, from HKDF-SHA-256 (RFC 5869).
    HmacSha256Hkdf,
    /// A number without a name here.
    Other(u8),
}

impl From<u8> for Algorithm {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::HmacSha1,
            2 => Self::HmacSha256,
            3 => Self::HmacSha256Hkdf,
            other => Self::Other(other),
        }
    }
}

impl From<Algorithm> for u8 {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::None => 0,
            Algorithm::HmacSha1 => 1,
            Algorithm::HmacSha256 => 2,
            Algorithm::HmacSha256Hkdf => 3,
            Algorithm::Other(other) => other,
        }
    }
}

impl Algorithm {
    /// Bytes of the code: as the RFC truncates it, and as a whole.
    fn lengths(self) -> [usize; 2] {
        match self {
            Self::HmacSha1 => [12, 20],
            Self::HmacSha256 | Self::HmacSha256Hkdf => [16, 32],
            Self::None | Self::Other(_) => [0, 0],
        }
    }
}

/// The authentication of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Authentication {
    /// Which secret: lets a site change it without interruption.
    pub key_id: u8,
    /// How the code is computed.
    pub algorithm: Algorithm,
    /// The code.
    pub data: Blob,
}

impl Authentication {
    /// Room for a code as long as RFC 9301 has it; [`Message::to_signed_bytes`] fills it in.
    pub fn with(key_id: u8, algorithm: Algorithm) -> Self {
        let [length, _] = algorithm.lengths();
        Self::zeros(key_id, algorithm, length)
    }

    /// Room for the whole hash, which implementations of RFC 6830 expect.
    pub fn untruncated(key_id: u8, algorithm: Algorithm) -> Self {
        let [_, length] = algorithm.lengths();
        Self::zeros(key_id, algorithm, length)
    }

    fn zeros(key_id: u8, algorithm: Algorithm, length: usize) -> Self {
        Self {
            key_id,
            algorithm,
            data: vec![0; length].into(),
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [key_id, algorithm] = r.array("key id")?;
        let length = r.u16("authentication data length")?;
        Ok(Self {
            key_id,
            algorithm: algorithm.into(),
            data: r.take("authentication data", length.into())?.into(),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&[self.key_id, self.algorithm.into()]);
        let at = w.position();
        w.u16(0);
        w.bytes(&self.data);
        w.patch_length("authentication data", at, at + 2);
    }
}

/// Why a message is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Messages of this type are never authenticated.
    #[error(
        "messages of type {kind} have no authentication; only registrations, notifications and Info do"
    )]
    Type {
        /// Type number.
        kind: u8,
    },
    /// The message ends before the authentication data does.
    #[error("cut off in the authentication data; give the whole UDP payload")]
    Truncated,
    /// The sender has not authenticated the message.
    #[error("not authenticated; give the sender the site's secret")]
    Missing,
    /// The algorithm is not known.
    #[error("algorithm {algorithm} is not known; let the sender use HMAC-SHA-256-128")]
    Algorithm {
        /// Its number.
        algorithm: u8,
    },
    /// The code is neither truncated as it should be nor whole.
    #[error("{length} bytes of authentication data, which {algorithm:?} never has")]
    Length {
        /// The algorithm.
        algorithm: Algorithm,
        /// Bytes that the message says.
        length: usize,
    },
    /// No key is derived for this type of message.
    #[error("no key derivation is defined for messages of type {kind}; use HMAC-SHA-256-128")]
    Derivation {
        /// Type number.
        kind: u8,
    },
    /// The code is wrong.
    #[error("wrong authentication data: another secret, or the message was changed on the way")]
    Mismatch,
}

/// Why a message could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It cannot be authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// A secret that a site and its Map-Server share, ready for use.
pub struct Secret {
    bytes: Box<[u8]>,
    sha1: hmac::Key,
    sha256: hmac::Key,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Takes the bytes of a secret, of any length.
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            sha1: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes),
            sha256: hmac::Key::new(hmac::HMAC_SHA256, bytes),
        }
    }

    fn context(&self, claim: &Claim) -> Result<hmac::Context, AuthError> {
        Ok(match claim.algorithm {
            Algorithm::HmacSha1 => hmac::Context::with_key(&self.sha1),
            Algorithm::HmacSha256 => hmac::Context::with_key(&self.sha256),
            Algorithm::HmacSha256Hkdf => hmac::Context::with_key(&self.derive(claim)?),
            Algorithm::None => return Err(AuthError::Missing),
            Algorithm::Other(algorithm) => return Err(AuthError::Algorithm { algorithm }),
        })
    }

    /// The key of one message: nonce and secret are the input, the name of the type is the salt.
    fn derive(&self, claim: &Claim) -> Result<hmac::Key, AuthError> {
        let kind = claim.kind;
        let salt: &[u8] = match kind {
            kind::MAP_REGISTER => b"Map-Register Authentication",
            kind::MAP_NOTIFY => b"Map-Notify Authentication",
            kind::MAP_NOTIFY_ACK => b"Map-Notify-Ack Authentication",
            _ => return Err(AuthError::Derivation { kind }),
        };
        let input = [&claim.nonce.to_be_bytes(), &*self.bytes].concat();
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&input);
        extracted
            .expand(&[], hmac::HMAC_SHA256)
            .map(hmac::Key::from)
            .map_err(|_| AuthError::Derivation { kind })
    }
}

/// What a message says of its authentication, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Type number of the message.
    pub kind: u8,
    /// Nonce of the message.
    pub nonce: u64,
    /// Which secret.
    pub key_id: u8,
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Bytes of authentication data, which all are there.
    pub length: usize,
}

/// Where authentication data begins in all messages that have it.
const DATA_AT: usize = 16;

/// Reads which secret a message claims to be authenticated with.
///
/// # Errors
/// [`AuthError::Type`] or [`AuthError::Truncated`].
pub fn claim(message: &[u8]) -> Result<Claim, AuthError> {
    let kind = message.first().ok_or(AuthError::Truncated)? >> 4;
    if !matches!(
        kind,
        kind::MAP_REGISTER | kind::MAP_NOTIFY | kind::MAP_NOTIFY_ACK | kind::INFO
    ) {
        return Err(AuthError::Type { kind });
    }
    let mut r = Reader::new(message);
    let mut read = || {
        r.u32("message header")?;
        let nonce = r.u64("nonce")?;
        let [key_id, algorithm] = r.array("key id")?;
        let length = usize::from(r.u16("authentication data length")?);
        r.take("authentication data", length)?;
        Ok(Claim {
            kind,
            nonce,
            key_id,
            algorithm: algorithm.into(),
            length,
        })
    };
    read().map_err(|_: DecodeError| AuthError::Truncated)
}

/// The code of a message, with `claim` read from it.
fn code(message: &[u8], claim: &Claim, secret: &Secret) -> Result<hmac::Tag, AuthError> {
    let mut context = secret.context(claim)?;
    let Claim {
        algorithm, length, ..
    } = *claim;
    if !algorithm.lengths().contains(&length) {
        return Err(AuthError::Length { algorithm, length });
    }
    let (before, rest) = message
        .split_at_checked(DATA_AT)
        .ok_or(AuthError::Truncated)?;
    let after = rest.get(length..).ok_or(AuthError::Truncated)?;
    context.update(before);
    context.update([0; 32].get(..length).unwrap_or_default());
    context.update(after);
    Ok(context.sign())
}

/// Checks the authentication of a received message. The time that it takes does not depend on how
/// much of a wrong code is right.
///
/// # Errors
/// The message is not authenticated with this secret.
pub fn verify(message: &[u8], secret: &Secret) -> Result<Claim, AuthError> {
    let claim = claim(message)?;
    let code = code(message, &claim, secret)?;
    let found = message.get(DATA_AT..DATA_AT + claim.length);
    let right = code.as_ref().get(..claim.length);
    match (found, right) {
        (Some(found), Some(right)) if bool::from(found.ct_eq(right)) => Ok(claim),
        _ => Err(AuthError::Mismatch),
    }
}

/// Fills the authentication data of an encoded message in. Algorithm and length are in it already.
///
/// # Errors
/// The message has no authentication, or not of an algorithm that is known.
pub fn sign(message: &mut [u8], secret: &Secret) -> Result<(), AuthError> {
    let claim = claim(message)?;
    let code = code(message, &claim, secret)?;
    let place = message.get_mut(DATA_AT..DATA_AT + claim.length);
    match (place, code.as_ref().get(..claim.length)) {
        (Some(place), Some(code)) => place.copy_from_slice(code),
        _ => return Err(AuthError::Truncated),
    }
    Ok(())
}

impl Message {
    /// The message as bytes, with the authentication data filled in.
    ///
    /// # Errors
    /// A part does not fit its field, or there is nothing to be authenticated.
    pub fn to_signed_bytes(&self, secret: &Secret) -> Result<Vec<u8>, SignError> {
        let mut bytes = self.to_bytes()?;
        sign(&mut bytes, secret)?;
        Ok(bytes)
    }
}
