//! The host's secret keys: one, or two while one takes the place of the other. In a file that only its owner reads.

use crate::AgentError;
use model::underlay::KeyStep;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wireguard::SecretKey;

pub(super) struct Keys {
    path: PathBuf,
    /// The one that sessions are begun with first.
    secrets: Vec<SecretKey>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    secrets: Vec<String>,
}

impl Keys {
    /// Reads them, or makes the first.
    pub(super) fn open(path: &Path) -> Result<Self, AgentError> {
        let read = match std::fs::read(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let bad = || {
            AgentError::plain(format!(
                "{} holds no keys; remove it, and this host gets new ones",
                path.display()
            ))
        };
        let mut keys = Self {
            path: path.to_owned(),
            secrets: Vec::new(),
        };
        if let Some(text) = read {
            let kept: Kept = serde_json::from_slice(&text).map_err(|_| bad())?;
            let secrets = kept.secrets.iter().map(|secret| secret.parse());
            keys.secrets = secrets.collect::<Result<_, _>>().map_err(|_| bad())?;
        }
        if keys.secrets.is_empty() {
            keys.secrets = vec![SecretKey::generate()];
            keys.save()?;
        }
        Ok(keys)
    }

    /// Public keys, base64, in their order.
    pub(super) fn public(&self) -> Vec<String> {
        let public = self.secrets.iter().map(|secret| secret.public());
        public.map(|key| key.to_string()).collect()
    }

    /// Secret keys, base64, in their order.
    pub(super) fn secrets(&self) -> Vec<String> {
        let secrets = self.secrets.iter().map(|secret| secret.to_base64());
        secrets.map(|secret| secret.to_string()).collect()
    }

    /// Does a step; doing it twice is doing it once.
    pub(super) fn step(&mut self, step: &KeyStep) -> Result<(), AgentError> {
        match step {
            KeyStep::Make if self.secrets.len() == 1 => {
                self.secrets.push(SecretKey::generate());
            }
            KeyStep::Make => return Ok(()),
            KeyStep::Use { key } => {
                let at = self.position(key)?;
                self.secrets.swap(0, at);
            }
            KeyStep::Keep { key } => {
                let at = self.position(key)?;
                self.secrets = vec![self.secrets.swap_remove(at)];
            }
        }
        self.save()
    }

    fn position(&self, key: &str) -> Result<usize, AgentError> {
        let found = self
            .secrets
            .iter()
            .position(|secret| secret.public().to_string() == key);
        found.ok_or_else(|| AgentError::plain("this host has no such key; begin the rotation anew"))
    }

    fn save(&self) -> Result<(), AgentError> {
        let kept = Kept {
            secrets: self.secrets(),
        };
        let text = serde_json::to_vec(&kept).map_err(std::io::Error::from)?;
        Ok(write(&self.path, &text)?)
    }
}

/// Writes a file that only its owner reads, whole or not at all.
pub(super) fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_each_others_place_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let mut keys = Keys::open(&path).unwrap();
        let old = keys.public().remove(0);
        keys.step(&KeyStep::Make).unwrap();
        keys.step(&KeyStep::Make).unwrap();
        let [first, new] = keys.public().try_into().unwrap();
        assert_eq!(first, old);
        keys.step(&KeyStep::Use { key: new.clone() }).unwrap();
        assert_eq!(
            Keys::open(&path).unwrap().public(),
            [new.clone(), old.clone()]
        );
        keys.step(&KeyStep::Keep { key: new.clone() }).unwrap();
        assert!(keys.step(&KeyStep::Use { key: old }).is_err());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Keys::open(&path).unwrap().public(), [new]);
    }
}
