//! Marks by which the controller knows what it has said itself (HMAC-SHA-256, RFC 2104).

use crate::IdentityError;
use ring::hmac;
use ring::rand::SystemRandom;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The controller's secret for such marks. It lies beside the authority's key, not in the store: a store that was
/// put back must not make marks worthless.
pub struct Seal(hmac::Key);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal { .. }")
    }
}

const LENGTH: usize = 32;

impl Seal {
    /// Reads the secret in a folder, or makes it there.
    ///
    /// # Errors
    /// When the file cannot be read, written or is too short.
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join("seal.key");
        let file = |cause| IdentityError::File {
            path: path.display().to_string(),
            cause,
        };
        if !path.exists() {
            let secret: [u8; LENGTH] = ring::rand::generate(&SystemRandom::new())
                .map_err(|_| IdentityError::NoRandomness)?
                .expose();
            let open = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            let mut out = open.map_err(file)?;
            out.write_all(&secret).map_err(file)?;
        }
        let secret = std::fs::read(&path).map_err(file)?;
        if secret.len() != LENGTH {
            return Err(IdentityError::Content {
                path: path.display().to_string(),
                what: "key",
            });
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// The mark on these bytes, hexadecimal.
    pub fn mark(&self, bytes: &[u8]) -> String {
        crate::token::hex(hmac::sign(&self.0, bytes).as_ref())
    }

    /// Whether a mark was put on these bytes by this secret; takes as long whatever is wrong with it.
    pub fn is_mine(&self, bytes: &[u8], mark: &str) -> bool {
        let Some(mark) = unhex(mark) else {
            return false;
        };
        hmac::verify(&self.0, bytes, &mark).is_ok()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_good_for_its_bytes_and_its_secret_alone_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let seal = Seal::open(folder.path()).unwrap();
        let mark = seal.mark(b"north 7");
        assert!(
            Seal::open(folder.path())
                .unwrap()
                .is_mine(b"north 7", &mark)
        );
        assert!(!seal.is_mine(b"north 8", &mark));
        assert!(!Seal::open(other.path()).unwrap().is_mine(b"north 7", &mark));
        for bad in ["", "0", "zz", "äö", &mark[..10]] {
            assert!(!seal.is_mine(b"north 7", bad));
        }
    }
}
