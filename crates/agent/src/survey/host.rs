//! The host itself: memory, room, load, files, and what is in a port's way.

use crate::desk::Desk;
use crate::vms::Vm;
use model::MemberKind;
use model::facts::{Asked, DiskFound, FileFound, PortTaken, Space, TakenBy};
use ring::digest::{Context, SHA256};
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Memory that could be used without swapping, MiB (proc(5), `MemAvailable`).
pub fn free_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Runnable threads, mean of the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// Room in a folder, or in the first folder above it that exists.
pub(super) fn space(folder: &Path) -> Option<Space> {
    let found = folder.ancestors().find_map(|folder| {
        let stat = nix::sys::statvfs::statvfs(folder).ok()?;
        #[allow(clippy::unnecessary_cast)]
        Some(stat.blocks_available() as u64 * stat.fragment_size() as u64)
    });
    Some(Space {
        folder: folder.to_owned(),
        free: found?,
    })
}

/// Files that are where these VMs' images are, or would be.
pub(super) fn disks(desk: &Desk, vms: &[Asked]) -> Vec<DiskFound> {
    let images = desk.vms.images();
    let mut found = Vec::new();
    for Asked { cluster, member } in vms {
        let MemberKind::Vm { spec } = &member.kind else {
            continue;
        };
        let key = (cluster.clone(), member.name.clone());
        for disk in &spec.disks {
            let path = images.path(&key, spec, disk);
            if let Ok(file) = std::fs::metadata(&path) {
                found.push(DiskFound {
                    cluster: cluster.clone(),
                    vm: member.name.clone(),
                    disk: disk.name.clone(),
                    path,
                    inode: file.ino(),
                });
            }
        }
    }
    found
}

/// Bytes that a VM's own images take here, as far as they are written.
pub(super) fn allocated(desk: &Desk, vm: &Vm) -> Option<u64> {
    let own = vm.disks().filter(|disk| disk.shared.is_none());
    let each = own.map(|disk| {
        let path = desk.vms.images().path(&vm.key(), vm.spec()?, disk);
        // Blocks of 512 bytes, whatever the file system's own (stat(2)).
        Some(std::fs::metadata(path).ok()?.blocks() * 512)
    });
    each.sum()
}

/// What is where the ports of these VMs would be.
pub(super) async fn ports(desk: &Desk, vms: &[Asked]) -> Vec<PortTaken> {
    let ours = desk.host.ports().await;
    let mut taken = Vec::new();
    for Asked { cluster, member } in vms {
        let key = (cluster.clone(), member.name.clone());
        let mut say = |by| {
            taken.push(PortTaken {
                vm: member.name.clone(),
                by,
            });
        };
        if desk.vms.get(&key).is_some() {
            say(TakenBy::Process);
        }
        let ifname = ovs::names::tap(cluster, &member.name);
        let foreign = ours.values().all(|port| port.ifname != ifname);
        if foreign && nix::net::if_::if_nametoindex(ifname.as_str()).is_ok() {
            say(TakenBy::Interface(ifname));
        }
        let double = ours.iter().find(|((other, vm), port)| {
            other == cluster && *vm != member.name && port.mac == member.mac
        });
        if let Some(((_, vm), port)) = double {
            say(TakenBy::Address(vm.clone(), port.mac));
        }
    }
    taken
}

/// What tells whether a file is still the one that was read: size, change time and inode.
type Mark = (u64, i64, i64, u64);

/// Digests of files that have not changed since they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Digests(Arc<Mutex<HashMap<PathBuf, (Mark, String)>>>);

impl Digests {
    /// The digests of these files; blocks.
    pub(super) fn of(&self, paths: Vec<PathBuf>) -> Vec<FileFound> {
        let found = paths.into_iter().map(|path| FileFound {
            digest: self.one(&path),
            path,
        });
        found.collect()
    }

    fn one(&self, path: &Path) -> Option<String> {
        let about = std::fs::metadata(path).ok()?;
        let mark = (about.len(), about.ctime(), about.ctime_nsec(), about.ino());
        let kept = self.0.lock().ok()?.get(path).cloned();
        if let Some((then, digest)) = kept
            && then == mark
        {
            return Some(digest);
        }
        let digest = read(path).ok()?;
        if let Ok(mut kept) = self.0.lock() {
            kept.insert(path.to_owned(), (mark, digest.clone()));
        }
        Some(digest)
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => context.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    let hex = context.finish();
    Ok(hex.as_ref().iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_read_again_and_one_that_is_missing_has_no_digest() {
        let folder = std::env::temp_dir().join(format!("th-digest-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("kernel");
        std::fs::write(&path, b"one").unwrap();
        let digests = Digests::default();
        let first = digests.of(vec![path.clone()]);
        assert_eq!(first, digests.of(vec![path.clone()]));
        // SHA-256 of "one".
        let known = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert_eq!(first[0].digest.as_deref(), Some(known));
        std::fs::write(&path, b"other").unwrap();
        assert_ne!(first, digests.of(vec![path.clone()]));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(digests.of(vec![path])[0].digest, None);
    }

    #[test]
    fn the_room_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above() {
        let folder = std::env::temp_dir().join("not/there/yet");
        let space = space(&folder).unwrap();
        assert_eq!(space.folder, folder);
        assert!(space.free > 0);
    }
}
