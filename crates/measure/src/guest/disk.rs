//! The guest's disk: its write load, and whether all that was acknowledged is there
//! (`crates/guest/src/main.rs` says what it writes).

use super::{GuestError, exchange_with, read};
use crate::probe::Target;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest time for a request that waits for the disk; the guest itself gives up after 30 s.
const LIMIT: Duration = Duration::from_secs(60);

/// A guest's account of its disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// `opening`, `open` or `failed`.
    pub state: String,
    /// Why it failed, or what the last write that failed said.
    pub error: String,
    /// What its journal is known by; another disk has another.
    pub id: String,
    /// Journal records each second; 0 is paused.
    pub rate: u32,
    /// Size of a record, KiB.
    pub kib: u32,
    /// Number of the last record that was on the medium when the guest booted. After a crash this, not `acked`, tells what
    /// was kept: records that were lost are soon written anew.
    pub found: u64,
    /// Number of the last record that is on the medium, counted from 1 over all boots. 0 while it is opening.
    pub acked: u64,
    /// Records written since the last reset.
    pub written: u64,
    /// Writes that failed since the last reset.
    pub errors: u64,
    /// Longest write of a record since the last reset, `fdatasync` included, ms of the guest's clock.
    pub slowest_ms: f64,
}

/// What a check found (`POST /disk-check`). Of records, all from `oldest` to `acked` are in one of the counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskCheck {
    /// Last record that was acknowledged when it began.
    pub acked: u64,
    /// Oldest record that the ring had to hold then.
    pub oldest: u64,
    /// Records that are there, byte for byte.
    pub checked: u64,
    /// Records that gave way to newer ones during the check.
    pub overwritten: u64,
    /// The first few records that are not there.
    pub missing: Vec<u64>,
    /// How many are not there.
    pub missing_total: u64,
    /// The first few records that are damaged or cannot be read.
    pub bad: Vec<u64>,
    /// How many are.
    pub bad_total: u64,
    /// The same for the small files.
    pub files: FilesCheck,
    /// Time of the check, ms of the guest's clock.
    pub took_ms: f64,
}

/// What a check of the small files found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesCheck {
    /// Files with the right content.
    pub checked: u64,
    /// The first few files that are not there.
    pub missing: Vec<String>,
    /// How many are not there.
    pub missing_total: u64,
    /// The first few files with another content.
    pub bad: Vec<String>,
    /// How many have one.
    pub bad_total: u64,
}

impl DiskCheck {
    /// Whether every acknowledged record up to `seen` at least, and every file, is there. `seen` is
    /// what the guest said of itself before whatever happened to it. If it booted since, [`Disk::found`] must
    /// reach `seen` as well.
    pub fn is_whole(&self, seen: u64) -> bool {
        let wrong = [
            self.missing_total,
            self.bad_total,
            self.files.missing_total,
            self.files.bad_total,
        ];
        // The sum guards against an answer that is none: missing fields are 0.
        wrong == [0; 4]
            && self.acked >= seen
            && self.checked + self.overwritten == (self.acked + 1).saturating_sub(self.oldest)
    }
}

/// Changes the records a second. With 0 the answer comes when no write is in flight and the guest's kernel
/// has written everything back. Returns the account of that moment.
///
/// # Errors
/// No answer, no disk, or a write that does not end.
pub fn disk_rate(target: &Target, rate: u32) -> Result<Disk, GuestError> {
    let body = exchange_with(target, &format!("POST /disk?rate={rate}"), LIMIT)?;
    read(target, &body)
}

/// Has the guest read again, from the medium, everything that was acknowledged; writing goes on meanwhile. Takes
/// from one to some ten seconds.
///
/// # Errors
/// No answer, no disk, or another check under way.
pub fn disk_check(target: &Target) -> Result<DiskCheck, GuestError> {
    let body = exchange_with(target, "POST /disk-check", LIMIT)?;
    read(target, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"acked":9000,"oldest":809,"checked":8190,"overwritten":2,"missing":[],"missing_total":0,
        "bad":[],"bad_total":0,"files":{"checked":200,"missing":[],"missing_total":0,"bad":[],"bad_total":0},
        "took_ms":812.345}"#;

    fn check() -> DiskCheck {
        serde_json::from_str(ANSWER).unwrap()
    }

    #[test]
    fn a_check_is_whole_when_nothing_is_missing_and_it_reaches_what_was_seen() {
        assert!(check().is_whole(9000));
        assert!(!check().is_whole(9001));
        let spoil: [fn(&mut DiskCheck); 5] = [
            |c| c.missing_total = 1,
            |c| c.bad_total = 1,
            |c| c.files.missing_total = 1,
            |c| c.files.bad_total = 1,
            |c| c.checked -= 1,
        ];
        for spoil in spoil {
            let mut check = check();
            spoil(&mut check);
            assert!(!check.is_whole(9000), "{check:?}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_not_whole() {
        let check: DiskCheck = serde_json::from_str("{}").unwrap();
        assert!(!check.is_whole(0));
    }

    #[test]
    fn a_check_of_an_empty_journal_is_whole() {
        let check: DiskCheck = serde_json::from_str(r#"{"acked":0,"oldest":1}"#).unwrap();
        assert!(check.is_whole(0) && !check.is_whole(1));
    }
}
