//! Disk images for VMs: ext4 in a raw file, as the guest's `th.disk` wants it, with a load of random
//! data where a copy should have something to do.

use crate::boxed;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of the file system's journal, MiB.
const JOURNAL_MIB: u64 = 8;

/// What the guest's own journal and small files take (`crates/guest/src/disk`), and the file system's tables, MiB.
const GUEST_MIB: u64 = 32 + 16;

/// An image that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It would not hold what has to be in it.
    #[error(
        "a disk of {size_mib} MiB is too small for {fill_mib} MiB of data: give it {least_mib} MiB"
    )]
    TooSmall {
        /// Its size.
        size_mib: u64,
        /// The random data.
        fill_mib: u64,
        /// The least size.
        least_mib: u64,
    },
    /// The program is not there.
    #[error("mke2fs cannot be started: {0}; install it with `sudo apt-get install e2fsprogs`")]
    Program(#[source] io::Error),
    /// The program failed.
    #[error("mke2fs made no file system in {path}: {said}")]
    Failed {
        /// The image.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// A file could not be written.
    #[error("{path} cannot be written: {source}; look for space and permission there")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The least size of an image with this much random data, MiB.
pub fn least_mib(fill_mib: u64) -> u64 {
    // ext4 maps and accounts for its blocks in about a hundredth of them.
    fill_mib + fill_mib / 64 + JOURNAL_MIB + GUEST_MIB
}

/// Makes an image: a raw file of `size_mib` MiB with ext4 in it, and in that the file `payload` with
/// `fill_mib` MiB of random data (none with 0). An image that was there is replaced. What holds no data
/// is a hole, so an empty image takes next to no space, whatever its size.
///
/// # Errors
/// Too small a size, no mke2fs, no space. Nothing is left at `path` then.
pub fn make(path: &Path, size_mib: u64, fill_mib: u64) -> Result<(), DiskError> {
    let least_mib = least_mib(fill_mib);
    if size_mib < least_mib {
        return Err(DiskError::TooSmall {
            size_mib,
            fill_mib,
            least_mib,
        });
    }
    let mut content = path.as_os_str().to_owned();
    content.push(".content");
    let content = PathBuf::from(content);
    // One that was broken off may have left it.
    let _ = std::fs::remove_dir_all(&content);
    let made = fill(&content, fill_mib).and_then(|()| format(path, size_mib, &content));
    // The first error is the one to tell.
    let _ = std::fs::remove_dir_all(&content);
    if made.is_err() {
        let _ = std::fs::remove_file(path);
    }
    made
}

/// Makes the folder that the file system will hold.
fn fill(folder: &Path, mib: u64) -> Result<(), DiskError> {
    let payload = folder.join("payload");
    let write = || {
        std::fs::create_dir(folder)?;
        if mib > 0 {
            let mut random = std::fs::File::open("/dev/urandom")?.take(mib << 20);
            io::copy(&mut random, &mut std::fs::File::create(&payload)?)?;
        }
        Ok(())
    };
    write().map_err(|source| DiskError::Write {
        path: payload.clone(),
        source,
    })
}

fn format(path: &Path, size_mib: u64, content: &Path) -> Result<(), DiskError> {
    let make = || {
        let file = std::fs::File::create(path)?;
        file.set_len(size_mib << 20)
    };
    make().map_err(|source| DiskError::Write {
        path: path.to_owned(),
        source,
    })?;
    // Few inodes and a new file's zeroes keep the image sparse; without lazy initialisation of its tables the
    // guest's kernel writes nothing on its own account.
    let output = Command::new("mke2fs")
        .env("PATH", boxed::search_path())
        .args([
            "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-N", "2048",
        ])
        .args(["-J", &format!("size={JOURNAL_MIB}")])
        .args([
            "-E",
            "lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0",
        ])
        .arg("-d")
        .args([content, path])
        .output()
        .map_err(DiskError::Program)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(DiskError::Failed {
        path: path.to_owned(),
        said: said.trim().replace('\n', "; "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn run(program: &str, args: &[&str], image: &Path) -> String {
        let output = Command::new(program)
            .env("PATH", boxed::search_path())
            .args(args)
            .arg(image)
            .output()
            .expect("this test needs e2fsprogs");
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn an_image_is_a_sound_ext4_of_its_size_with_the_random_data_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        make(&image, 96, 20).unwrap();
        run("e2fsck", &["-f", "-n"], &image);
        let listing = run("debugfs", &["-R", "ls -p /"], &image);
        let payload = format!("/payload/{}/", 20 << 20);
        assert!(listing.contains(&payload), "{listing}");
        let found = std::fs::metadata(&image).unwrap();
        assert_eq!(found.len(), 96 << 20);
        assert!((20..36).contains(&((found.blocks() * 512) >> 20)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_image_takes_next_to_no_space() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        make(&image, 1024, 0).unwrap();
        let taken = std::fs::metadata(&image).unwrap().blocks() * 512;
        assert!(taken < 4 << 20, "{taken} bytes");
    }

    #[test]
    fn data_fits_into_the_least_size_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        for fill in [0, 1, 200] {
            make(&image, least_mib(fill), fill).unwrap();
            let free = run("dumpe2fs", &["-h"], &image);
            let free = free.lines().find_map(|l| l.strip_prefix("Free blocks:"));
            let free: u64 = free.unwrap().trim().parse().unwrap();
            assert!(free * 4 >= 40 << 10, "{free} blocks with {fill} MiB");
        }
    }

    #[test]
    fn an_image_that_cannot_be_made_leaves_nothing_and_says_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        let small = make(&image, 64, 30).unwrap_err();
        assert!(small.to_string().contains("give it 86 MiB"), "{small}");
        let nowhere = make(&folder.path().join("none/disk.img"), 64, 0).unwrap_err();
        assert!(nowhere.to_string().contains("none/disk.img"), "{nowhere}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
