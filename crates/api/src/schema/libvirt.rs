//! Domains of libvirt.

use super::DiskFormat;
use utoipa::ToSchema;

/// A domain of libvirt as an agent finds it.
#[derive(ToSchema)]
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
    #[schema(example = "kvm")]
    pub kind: String,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Machine type, as QEMU names it.
    pub machine: String,
    /// CPU model with its features, as QEMU names it.
    pub cpu: String,
    /// What it boots from, where it boots from files.
    #[schema(required = false)]
    pub boot: Option<BootFiles>,
    /// Its network interfaces.
    pub nics: Vec<Nic>,
    /// Its disks that have an image.
    pub images: Vec<Image>,
    /// What stands in the way of taking it along, one sentence each.
    pub obstacles: Vec<String>,
}

/// What a domain boots from without a boot loader.
#[derive(ToSchema)]
pub struct BootFiles {
    /// Kernel.
    pub kernel: String,
    /// Initial RAM disk.
    pub initrd: String,
    /// Kernel command line.
    pub cmdline: String,
}

/// A network interface of a domain.
#[derive(ToSchema)]
pub struct Nic {
    /// Its Ethernet address.
    pub mac: String,
    /// What it is plugged into.
    #[schema(example = "bridge br0")]
    pub source: String,
    /// Its interface on the host, while the domain runs.
    #[schema(required = false)]
    pub device: Option<String>,
    /// Its model.
    pub model: String,
}

/// The image of a domain's disk.
#[derive(ToSchema)]
pub struct Image {
    /// The disk's name in the domain.
    #[schema(example = "vda")]
    pub name: String,
    /// Where the image is.
    pub path: String,
    /// How it is stored.
    pub format: DiskFormat,
    /// What the guest sees, bytes; 0 when it is not known.
    pub size: u64,
}
