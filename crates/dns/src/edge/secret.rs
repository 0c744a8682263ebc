//! Secrets in files: the first line, read again for each use, so that another one needs no restart.

use crate::rfc2136::InvalidKey;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file.
    #[error("cannot read the secret in {}: {cause}; name a file that this user can read", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Nothing in it.
    #[error("{} has no secret in its first line: write it there", path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// It is no key.
    #[error("{}: {cause}", path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: InvalidKey,
    },
}

/// The first line of a file.
pub(super) fn read(path: &Path) -> Result<String, SecretError> {
    let text = std::fs::read_to_string(path).map_err(|cause| SecretError::File {
        path: path.to_owned(),
        cause,
    })?;
    let line = text
        .lines()
        .next()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| SecretError::Empty {
        path: path.to_owned(),
    })
}
