//! VMs of our own provider `kvm`: QEMU processes that an agent owns.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where a guest really boots under it, TCG otherwise; the agent finds out once.
    #[default]
    Auto,
    /// Kernel virtualisation.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

/// How a VM is built. Both ends of a migration build it from the same spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// QEMU machine type, for example `q35`.
    pub machine: String,
    /// QEMU CPU model; both ends must resolve it alike.
    pub cpu: String,
    /// Accelerator.
    #[serde(default)]
    pub accel: Accel,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Kernel to boot (an ELF vmlinux boots by PVH); must exist on every host. Only a libvirt domain may do
    /// without.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub kernel: PathBuf,
    /// Initial RAM disk; as the kernel.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub initrd: PathBuf,
    /// Kernel command line.
    #[serde(default)]
    pub cmdline: String,
    /// Its disks, in the order of the guest's `vda`, `vdb` and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// The libvirt domain that the VM is; without it the agent runs the VM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt: Option<LibvirtDomain>,
}

/// A VM that libvirt keeps. How it is built is in its definition; the rest of [`VmSpec`] repeats what plans
/// look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibvirtDomain {
    /// The domain's name, alike on every host.
    pub domain: String,
    /// Where the image of each disk is, by the disk's name: alike on every host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, PathBuf>,
}

fn is_empty(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

impl VmSpec {
    /// Bytes of the disks that a migration copies.
    pub fn copied_bytes(&self) -> u64 {
        let copied = self.disks.iter().filter(|disk| disk.shared.is_none());
        copied.map(|disk| disk.size).sum()
    }

    /// Checks the disks' names and sizes.
    ///
    /// # Errors
    /// [`InvalidDisk`], the first one found.
    pub fn check_disks(&self) -> Result<(), InvalidDisk> {
        for (n, disk) in self.disks.iter().enumerate() {
            let name = &disk.name;
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > 20 || !name.chars().all(fine) {
                return Err(InvalidDisk::Name(name.clone()));
            }
            if self.disks.iter().take(n).any(|other| other.name == *name) {
                return Err(InvalidDisk::Twice(name.clone()));
            }
            if disk.size == 0 || !disk.size.is_multiple_of(512) {
                return Err(InvalidDisk::Size(name.clone(), disk.size));
            }
            if disk.shared.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(InvalidDisk::Path(name.clone()));
            }
            let kept = self.libvirt.as_ref().filter(|_| disk.shared.is_none());
            if kept
                .is_some_and(|kept| !kept.images.get(name).is_some_and(|path| path.is_absolute()))
            {
                return Err(InvalidDisk::NoImage(name.clone()));
            }
        }
        Ok(())
    }

    /// The files that it boots from; those of a libvirt domain may be none.
    pub fn boot_files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [&self.kernel, &self.initrd].into_iter();
        files.filter(|path| !is_empty(path))
    }

    /// Checks that there is something to boot.
    ///
    /// # Errors
    /// One sentence, for a VM of our own without kernel or initrd.
    pub fn check_boot(&self) -> Result<(), &'static str> {
        match self.libvirt.is_none() && (is_empty(&self.kernel) || is_empty(&self.initrd)) {
            true => Err("a VM that is no libvirt domain needs kernel and initrd"),
            false => Ok(()),
        }
    }
}

/// A disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Unique in the VM; lower-case letters, digits and `-`, at most 20 (it is the device's serial number).
    pub name: String,
    /// What the guest sees, bytes; a multiple of 512.
    pub size: u64,
    /// How the image is stored.
    #[serde(default)]
    pub format: DiskFormat,
    /// An image, raw or qcow2, that this one is made from when the VM first boots; zeroes without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// The image's path on storage that all hosts of the VM see. It is never copied. Without it the image is
    /// the agent's and travels with the VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<PathBuf>,
}

/// How an image is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// As it is, with holes.
    Raw,
    /// QEMU's own format.
    #[default]
    Qcow2,
}

impl DiskFormat {
    /// As users and QEMU write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A disk that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDisk {
    /// Its name.
    #[error("'{0}' is no name for a disk: use up to 20 lower-case letters, digits and -")]
    Name(String),
    /// Its name is another's.
    #[error("two disks are named '{0}'")]
    Twice(String),
    /// Its size.
    #[error("disk '{0}' has {1} bytes; it must be a multiple of 512 and not 0")]
    Size(String, u64),
    /// Its path.
    #[error("the shared image of disk '{0}' needs an absolute path")]
    Path(String),
    /// Its image is libvirt's and not known.
    #[error(
        "disk '{0}' of a libvirt domain needs the absolute path of its image under libvirt.images"
    )]
    NoImage(String),
}

/// What a VM does, as its agent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// Its vCPUs run here.
    Running,
    /// It is here, complete, and does not run.
    Paused,
    /// A target that waits for, or receives, a migration.
    Incoming,
    /// Its process has ended.
    Gone,
}
