//! What is checked before a lab comes up: each failure is one sentence with the way out, and
//! nothing has been touched yet.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::boxed::{self, BoxError};
use crate::folder::Folder;

/// Programs a full lab runs. A lab that only needs namespaces and the WAN passes `&["ip"]`.
pub const PROGRAMS: &[&str] = &[
    "ip",
    "ovsdb-tool",
    "ovsdb-server",
    "ovs-vswitchd",
    "qemu-system-x86_64",
];

/// What a lab needs from the host.
#[derive(Debug, Clone)]
pub struct Needs<'a> {
    /// Programs, looked for as the lab itself will.
    pub programs: &'a [&'a str],
    /// Whether taps are needed: OVS bridges and QEMU are, a bare WAN is not.
    pub tun: bool,
    /// Free space where the lab folder will be, in MiB.
    pub free_mib: u64,
}

impl Default for Needs<'_> {
    fn default() -> Self {
        Self {
            programs: PROGRAMS,
            tun: true,
            free_mib: 256,
        }
    }
}

/// What the host lacks.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// A program.
    #[error("{program} is not installed: install it with `{install}`")]
    Program {
        /// The program.
        program: String,
        /// How Debian provides it.
        install: String,
    },
    /// The tun device.
    #[error("/dev/net/tun is missing: load its module with `sudo modprobe tun`")]
    TunMissing,
    /// The permission to use it.
    #[error("/dev/net/tun may not be used by you: `sudo chmod 0666 /dev/net/tun`, or run as root")]
    TunForbidden(#[source] io::Error),
    /// Its driver.
    #[error("/dev/net/tun does not work here: in a container, start it with the device allowed")]
    TunBroken(#[source] io::Error),
    /// Space.
    #[error(
        "{path} has {free} MiB free and the lab needs {needed}: make room, or set TRANSHUME_LAB to a folder elsewhere"
    )]
    Space {
        /// Where.
        path: PathBuf,
        /// Free MiB.
        free: u64,
        /// Needed MiB.
        needed: u64,
    },
    /// Namespaces.
    #[error(transparent)]
    Namespaces(#[from] BoxError),
}

/// Checks everything a lab needs and returns all that is lacking, most basic first.
pub fn check(folder: &Folder, needs: &Needs<'_>, exe: Option<&Path>) -> Vec<PreflightError> {
    let mut lacking = Vec::new();
    lacking.extend(
        needs
            .programs
            .iter()
            .filter_map(|program| missing_program(program)),
    );
    if needs.tun {
        lacking.extend(tun_trouble(Path::new("/dev/net/tun")));
    }
    lacking.extend(no_space(folder.path(), needs.free_mib));
    if let Err(e) = boxed::probe(exe) {
        lacking.push(e.into());
    }
    lacking
}

fn missing_program(program: &str) -> Option<PreflightError> {
    let found = boxed::search_path()
        .split(':')
        .filter(|dir| !dir.is_empty())
        .any(|dir| {
            nix::unistd::access(
                &Path::new(dir).join(program),
                nix::unistd::AccessFlags::X_OK,
            )
            .is_ok()
        });
    if found {
        return None;
    }
    let package = match program {
        "ip" | "bridge" => "iproute2",
        "libvirtd" => "libvirt-daemon libvirt-daemon-driver-qemu",
        "virsh" => "libvirt-clients",
        "ovsdb-tool" | "ovsdb-server" | "ovs-vswitchd" | "ovs-ofctl" | "ovs-appctl"
        | "ovs-vsctl" => "openvswitch-switch",
        "qemu-system-x86_64" => "qemu-system-x86",
        "mke2fs" => "e2fsprogs",
        "nsenter" | "setpriv" | "unshare" => "util-linux",
        other => other,
    };
    let install = format!("sudo apt-get install {package}");
    Some(PreflightError::Program {
        program: program.to_owned(),
        install,
    })
}

fn tun_trouble(device: &Path) -> Option<PreflightError> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(device);
    match opened {
        Ok(_) => None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some(PreflightError::TunMissing),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Some(PreflightError::TunForbidden(e))
        }
        Err(e) => Some(PreflightError::TunBroken(e)),
    }
}

fn no_space(folder: &Path, needed: u64) -> Option<PreflightError> {
    let path = folder.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let free = (stat.blocks_available() * stat.fragment_size()) >> 20;
    (free < needed).then(|| PreflightError::Space {
        path: path.to_owned(),
        free,
        needed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_package_that_has_it() {
        assert!(missing_program("sh").is_none());
        let error = missing_program("no-such-program-of-ours").unwrap();
        assert!(error.to_string().contains("apt-get install"));
    }

    #[test]
    fn a_missing_tun_device_and_one_that_is_no_device_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = tun_trouble(&dir.path().join("tun"));
        assert!(matches!(missing, Some(PreflightError::TunMissing)));
        assert!(matches!(
            tun_trouble(dir.path()),
            Some(PreflightError::TunBroken(_))
        ));
    }

    #[test]
    fn too_little_space_is_told_for_a_folder_that_does_not_exist_yet() {
        let below = Path::new("/nowhere/yet");
        assert!(no_space(below, 0).is_none());
        assert!(matches!(
            no_space(below, u64::MAX),
            Some(PreflightError::Space { .. })
        ));
    }
}
