//! Domains of libvirt: what is found of them, and what goes with one to another host.

use crate::{Mac, vm::DiskFormat};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A domain as an agent finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it is defined, not only created.
    pub persistent: bool,
    /// Whether libvirt starts it with the host.
    pub autostart: bool,
    /// `kvm`, or `qemu` for QEMU's own translator.
    pub kind: String,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Machine type, as QEMU names it.
    pub machine: String,
    /// CPU model with its features, as QEMU names it.
    pub cpu: String,
    /// Kernel, initial RAM disk and command line, where it boots from files.
    #[serde(default)]
    pub boot: Option<BootFiles>,
    /// Its network interfaces.
    pub nics: Vec<Nic>,
    /// Its disks that have an image.
    pub images: Vec<Image>,
    /// What stands in the way of taking it along, one sentence each; none when nothing does.
    pub obstacles: Vec<String>,
}

/// What a domain boots from without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFiles {
    /// Kernel.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
}

/// A network interface of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its Ethernet address.
    pub mac: Mac,
    /// What it is plugged into, for example `bridge br0`.
    pub source: String,
    /// Its interface on the host, while the domain runs.
    pub device: Option<String>,
    /// Its model, for example `virtio`.
    pub model: String,
}

/// The image of a domain's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The disk's name in the domain, for example `vda`.
    pub name: String,
    /// Where the image is.
    pub path: PathBuf,
    /// How it is stored.
    pub format: DiskFormat,
    /// What the guest sees, bytes; 0 when it is not known.
    pub size: u64,
}

/// What a target must know of a domain that comes to it. It may hold passwords: it is sent over the
/// control connection only, and is neither logged nor journaled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The domain as it runs, with addresses of all its devices (`VIR_DOMAIN_XML_MIGRATABLE`).
    pub running: String,
    /// Its definition; none for one that is only created.
    pub definition: Option<String>,
    /// Whether libvirt starts it with the host.
    pub autostart: bool,
    /// What its interface was plugged into before it was linked, as libvirt writes it.
    pub plugged: Option<Plugged>,
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Description(not shown)")
    }
}

/// An interface's `type` and `<source>` as a user wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugged {
    /// The interface's type, for example `bridge`.
    pub kind: String,
    /// The attributes of its `<source>`.
    pub source: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_not_shown_where_an_order_is_logged() {
        let description = Description {
            running: "<domain><graphics passwd='secret'/></domain>".into(),
            definition: Some("secret".into()),
            autostart: false,
            plugged: None,
        };
        assert!(!format!("{description:?}").contains("secret"));
    }
}
