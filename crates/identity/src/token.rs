//! Join tokens: `th1.<SHA-256 of the authority's certificate>.<secret>`.
//!
//! The fingerprint lets a host that knows nobody yet trust the controller it dials; the secret lets
//! the controller admit the host, once.

use crate::IdentityError;
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use std::fmt;

/// A token with which one host may join.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the authority's certificate, hex.
    pub fingerprint: String,
    /// One-time secret, hex.
    pub secret: String,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken {{ fingerprint: {}, .. }}", self.fingerprint)
    }
}

impl JoinToken {
    /// A fresh token for an authority.
    ///
    /// # Errors
    /// [`IdentityError::NoRandomness`].
    pub fn fresh(fingerprint: String) -> Result<Self, IdentityError> {
        let mut secret = [0u8; 24];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| IdentityError::NoRandomness)?;
        Ok(Self {
            fingerprint,
            secret: hex(&secret),
        })
    }

    /// The text that a person carries to the host.
    pub fn text(&self) -> String {
        format!("th1.{}.{}", self.fingerprint, self.secret)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`IdentityError::NotAToken`].
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let mut parts = text.trim().split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("th1"), Some(fingerprint), Some(secret), None)
                if fingerprint.len() == 64 && secret.len() == 48 =>
            {
                Ok(Self {
                    fingerprint: fingerprint.to_owned(),
                    secret: secret.to_owned(),
                })
            }
            _ => Err(IdentityError::NotAToken),
        }
    }
}

/// SHA-256 of a certificate, hex.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}

/// SHA-256 of a secret, hex: what the controller keeps instead of the secret.
pub fn digest(secret: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
