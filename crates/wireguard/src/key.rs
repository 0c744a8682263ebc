//! Keys of Curve25519, as `wg` writes them: base64 of 32 bytes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 44 characters of base64, as `wg genkey` and `wg pubkey` write them")]
pub struct NoKey;

/// A secret key. It is overwritten when it is dropped, and shows itself to nobody who does not ask.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

/// A public key: who someone is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl SecretKey {
    /// A new one, from the system's randomness.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new(StaticSecret::random().to_bytes());
        // As RFC 7748, section 5, has it, so that all programs show the same text for it.
        bytes[0] &= 248;
        bytes[31] = bytes[31] & 127 | 64;
        Self(bytes)
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text that `wg` takes.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.secret()).to_bytes())
    }

    pub(crate) fn secret(&self) -> StaticSecret {
        StaticSecret::from(*self.0)
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

impl FromStr for SecretKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        decode(text).map(Self)
    }
}

impl PublicKey {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn point(self) -> x25519_dalek::PublicKey {
        self.0.into()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, NoKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| NoKey)?);
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| NoKey)?;
    Ok(Zeroizing::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_as_wg_does() {
        // RFC 7748, section 6.1, Alice.
        let secret = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
        let public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
        let key: SecretKey = secret.parse().unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(*key.to_base64(), secret);
        assert_eq!(public.parse(), Ok(key.public()));
        for wrong in ["", "AAAA", &secret[..43], "no key at all"] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NoKey));
        }
    }

    #[test]
    fn a_secret_key_does_not_show_itself() {
        let key = SecretKey::generate();
        let shown = format!("{key:?}");
        assert!(!shown.contains(key.to_base64().as_str()));
        assert!(shown.contains(&key.public().to_string()));
        assert_ne!(key, SecretKey::generate());
    }
}
