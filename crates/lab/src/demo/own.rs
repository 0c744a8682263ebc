//! Lab folders of commands that bring up a lab for themselves: `lab-demo-PID` beside the standing
//! lab's folder `lab`. One that was killed leaves its lab behind; the next one, and `lab down`,
//! clear it.

use crate::folder::Folder;
use crate::testbed::{self, LabError};
use std::path::{Path, PathBuf};

/// A folder for this process, after clearing those of processes that are gone.
///
/// # Errors
/// There is no place for labs, or something of an old one would not end.
pub fn folder(word: &str) -> Result<PathBuf, LabError> {
    sweep()?;
    let lab = Folder::locate(None)?;
    let own = named(lab.path(), &format!("{word}-{}", std::process::id()));
    // Its length is checked here, before anything is made.
    Ok(Folder::locate(Some(&own))?.path().to_owned())
}

/// Ends labs whose command is gone; how many there were.
///
/// # Errors
/// Something of one would not end.
pub fn sweep() -> Result<usize, LabError> {
    let lab = Folder::locate(None)?;
    let mut cleared = 0;
    for (path, owner) in siblings(lab.path()) {
        if !runs(owner) {
            testbed::down(Some(&path))?;
            cleared += 1;
        }
    }
    Ok(cleared)
}

fn named(lab: &Path, suffix: &str) -> PathBuf {
    let mut name = lab.as_os_str().to_owned();
    name.push(format!("-{suffix}"));
    PathBuf::from(name)
}

/// Folders beside the lab's that are named after a process, with its id.
fn siblings(lab: &Path) -> Vec<(PathBuf, i32)> {
    let (Some(parent), Some(name)) = (lab.parent(), lab.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}-", name.to_string_lossy());
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let suffix = name.to_str()?.strip_prefix(&prefix)?;
            let (word, owner) = suffix.split_once('-')?;
            let ours = matches!(word, "demo" | "bench" | "compare");
            Some((entry.path(), owner.parse().ok().filter(|_| ours)?))
        })
        .collect()
}

/// Whether a process runs that makes labs of its own. Its words say so, so that one that got the
/// number later is not taken for it.
fn runs(owner: i32) -> bool {
    let line = std::fs::read(format!("/proc/{owner}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.any(|word| matches!(word, b"demo" | b"bench" | b"compare"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_named_after_a_process_beside_the_lab_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "lab",
            "lab-demo-7",
            "lab-thesis-1",
            "lab-demo-x",
            "other-demo-7",
        ] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = siblings(&dir.path().join("lab"));
        assert_eq!(found, [(dir.path().join("lab-demo-7"), 7)]);
    }

    #[test]
    fn a_process_that_makes_no_labs_owns_none() {
        assert!(!runs(std::process::id() as i32));
        assert!(!runs(i32::MAX));
    }
}
