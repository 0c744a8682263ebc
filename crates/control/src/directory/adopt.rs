//! Taking over what agents know better.
//!
//! A controller acknowledges nothing that is not stored, but an older store may have been put
//! back, or its last moments lost with the power. The agents go on with the rows that they were
//! given and report them when they dial in.

use super::claims::check_addresses;
use super::{Directory, DirectoryError};
use model::Entry;

/// What became of reported rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adopted {
    /// Rows that were newer than ours, or unknown, and are ours now.
    pub taken: Vec<Entry>,
    /// Rows that are newer and contradict what other endpoints hold; a person has to look.
    pub refused: Vec<(Entry, DirectoryError)>,
}

impl Directory {
    /// Takes over rows with a newer epoch than ours. Unknown endpoints are taken over when their
    /// cluster is known and they are not older than everything that was unlinked.
    pub fn adopt(&mut self, reported: impl IntoIterator<Item = Entry>) -> Adopted {
        let mut adopted = Adopted::default();
        for entry in reported {
            match self.adopt_one(&entry) {
                Ok(true) => adopted.taken.push(entry),
                Ok(false) => {}
                Err(error) => adopted.refused.push((entry, error)),
            }
        }
        adopted
    }

    fn adopt_one(&mut self, entry: &Entry) -> Result<bool, DirectoryError> {
        let known = self.entries.get(&entry.key());
        if entry.epoch <= known.map_or(self.floor, |ours| ours.epoch) {
            return Ok(false);
        }
        if !self.nets.contains_key(&entry.cluster) {
            return Err(DirectoryError::NoSuchCluster(entry.cluster.clone()));
        }
        // Counting goes on from here; a number near the end of its range is no epoch of ours.
        if entry.epoch.0 > u64::MAX / 2 {
            return Err(DirectoryError::BadEpoch(entry.epoch));
        }
        check_addresses(&entry.vm, entry.mac, &entry.ips)?;
        self.claims.check(entry)?;
        if let Some(ours) = self.entries.remove(&entry.key()) {
            self.claims.release(&ours);
        }
        self.claims.take(entry)?;
        self.entries.insert(entry.key(), entry.clone());
        Ok(true)
    }
}
