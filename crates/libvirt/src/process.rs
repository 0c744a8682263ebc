//! Which process a domain is.
//!
//! libvirt does not tell. Two hosts of one machine have a domain of the same UUID while it moves, so the
//! command line does not tell either: the domain's QEMU is given a file that nobody else has, and the
//! process that holds it is the one.

use crate::{Error, Host, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name that QEMU knows the file by.
const MARK: &str = "transhume-mark";

/// The id of a running domain's process.
///
/// # Errors
/// When it does not run, or its process is not to be seen from here.
pub fn id(host: &Host, name: &str) -> Result<i32> {
    let file = memfd_create(c"transhume", MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from)?;
    let about = std::fs::File::from(file.try_clone()?).metadata()?;
    let mark = (about.dev(), about.ino());
    let command = serde_json::json!({"execute": "getfd", "arguments": {"fdname": MARK}});
    let domain = host.domain(name)?;
    host.command(&domain, &command.to_string(), &[file.as_fd()])?;
    let found = holder(mark);
    let command = serde_json::json!({"execute": "closefd", "arguments": {"fdname": MARK}});
    host.command(&domain, &command.to_string(), &[])?;
    found.ok_or_else(|| Error::NoProcess(name.to_owned()))
}

fn holder(mark: (u64, u64)) -> Option<i32> {
    let own = std::process::id() as i32;
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // libvirtd held it too, for a moment: the holder is told by what it was started as.
    ids.filter(|id| *id != own && is_qemu(*id))
        .find(|id| holds(*id, mark))
}

fn is_qemu(id: i32) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"-uuid")
}

fn holds(id: i32, mark: (u64, u64)) -> bool {
    let Ok(all) = std::fs::read_dir(Path::new("/proc").join(id.to_string()).join("fd")) else {
        return false;
    };
    all.flatten().any(|entry| {
        std::fs::metadata(entry.path()).is_ok_and(|about| (about.dev(), about.ino()) == mark)
    })
}
