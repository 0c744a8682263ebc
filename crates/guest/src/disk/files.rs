//! Small files that come and go: buffered data and metadata of the file system, written back when
//! the kernel likes. Each file's name says what has to be in it.

use super::check::Few;
use super::record::spread;
use crate::dirtier::Random;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that are there at a time.
const KEPT: u64 = 200;
const LONGEST: u64 = 24 << 10;

/// The files that must be there: `from..to`. Whoever takes one away says so before.
#[derive(Default)]
pub(crate) struct Range {
    from: AtomicU64,
    to: AtomicU64,
}

/// See the module.
pub(crate) struct Files {
    folder: PathBuf,
    range: Arc<Range>,
    oldest: u64,
    next: u64,
}

fn name(number: u64) -> String {
    format!("f-{number}")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("f-")?.parse().ok()
}

/// Its own name, and pseudo-random bytes of a length that the name gives.
fn content(number: u64) -> Vec<u8> {
    let length = spread(number) % LONGEST;
    let mut random = Random::new(spread(!number));
    let mut out = name(number).into_bytes();
    out.push(b'\n');
    while (out.len() as u64) < length {
        out.extend(random.next().to_be_bytes());
    }
    out
}

fn listed(folder: &Path) -> io::Result<Vec<u64>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    Ok(names
        .iter()
        .filter_map(|name| number(name.to_str()?))
        .collect())
}

impl Files {
    /// Takes up a folder. What a crash left half written goes: ext4 may keep a name whose data had
    /// not been written back, but never one with data of another file.
    pub(crate) fn open(folder: PathBuf, range: Arc<Range>) -> io::Result<Files> {
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "new") {
                std::fs::remove_file(path)?;
            }
        }
        for number in listed(&folder)? {
            let path = folder.join(name(number));
            let (found, whole) = (std::fs::read(&path)?, content(number));
            if found.len() < whole.len() && whole.starts_with(&found) {
                std::fs::remove_file(path)?;
            }
        }
        let there = listed(&folder)?;
        let next = there.iter().max().map_or(1, |last| last + 1);
        let oldest = there.iter().min().copied().unwrap_or(next);
        // Of earlier ones, some may have been lost with that crash.
        range.from.store(next, Ordering::Release);
        range.to.store(next, Ordering::Release);
        Ok(Files {
            folder,
            range,
            oldest,
            next,
        })
    }

    /// Makes a file, gives it its name, and takes away the oldest.
    pub(crate) fn step(&mut self) -> io::Result<()> {
        let path = self.folder.join(name(self.next));
        let new = path.with_extension("new");
        std::fs::write(&new, content(self.next))?;
        std::fs::rename(&new, &path)?;
        self.next += 1;
        self.range.to.store(self.next, Ordering::Release);
        while self.next - self.oldest > KEPT {
            let gone = self.oldest;
            self.oldest += 1;
            self.range.from.fetch_max(self.oldest, Ordering::AcqRel);
            match std::fs::remove_file(self.folder.join(name(gone))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a walk through the files found.
#[derive(Default)]
pub(crate) struct Walk {
    /// Files with the right content.
    pub(crate) checked: u64,
    pub(crate) missing: Few<String>,
    pub(crate) bad: Few<String>,
}

/// Reads every file.
pub(crate) fn walk(folder: &Path, range: &Range) -> io::Result<Walk> {
    let wanted = range.from.load(Ordering::Acquire)..range.to.load(Ordering::Acquire);
    let there: HashSet<u64> = listed(folder)?.into_iter().collect();
    let mut walk = Walk::default();
    for number in &there {
        match std::fs::read(folder.join(name(*number))) {
            Ok(found) if found == content(*number) => walk.checked += 1,
            // Taken away in between; whether it was due to go, is asked below.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => walk.bad.push(name(*number)),
        }
    }
    for number in wanted {
        if !there.contains(&number) && number >= range.from.load(Ordering::Acquire) {
            walk.missing.push(name(number));
        }
    }
    Ok(walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::Folder;

    #[test]
    fn files_come_and_go_and_all_of_them_hold_what_they_are_called() {
        let (folder, range) = (Folder::new("files"), Arc::<Range>::default());
        let mut files = Files::open(folder.path().join("files"), range.clone()).unwrap();
        (0..KEPT + 20).for_each(|_| files.step().unwrap());
        let walk = walk(&folder.path().join("files"), &range).unwrap();
        assert_eq!(
            (walk.checked, walk.missing.total, walk.bad.total),
            (KEPT, 0, 0)
        );
    }

    #[test]
    fn a_lost_file_and_a_changed_one_are_named() {
        let (folder, range) = (Folder::new("lost"), Arc::<Range>::default());
        let mut files = Files::open(folder.path().into(), range.clone()).unwrap();
        (0..9).for_each(|_| files.step().unwrap());
        std::fs::remove_file(folder.path().join("f-4")).unwrap();
        std::fs::write(folder.path().join("f-7"), content(8)).unwrap();
        let walk = walk(folder.path(), &range).unwrap();
        assert_eq!(walk.checked, 7);
        assert_eq!(walk.missing.first, ["f-4"]);
        assert_eq!(walk.bad.first, ["f-7"]);
    }

    #[test]
    fn after_a_crash_half_written_files_go_and_wrong_ones_stay_to_be_found() {
        let (folder, range) = (Folder::new("crash"), Arc::<Range>::default());
        let mut files = Files::open(folder.path().into(), range.clone()).unwrap();
        (0..5).for_each(|_| files.step().unwrap());
        std::fs::write(folder.path().join("f-2"), "").unwrap();
        std::fs::write(folder.path().join("f-3"), &content(3)[..2]).unwrap();
        std::fs::write(folder.path().join("f-4"), [0; 100]).unwrap();
        std::fs::write(folder.path().join("f-6.new"), "f").unwrap();
        let mut files = Files::open(folder.path().into(), range.clone()).unwrap();
        files.step().unwrap();
        let walk = walk(folder.path(), &range).unwrap();
        assert_eq!((walk.checked, walk.missing.total), (3, 0));
        assert_eq!(walk.bad.first, ["f-4"]);
    }
}
