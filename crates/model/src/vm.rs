//! VMs of our own provider `kvm`: QEMU processes that an agent owns.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Kernel to boot (an ELF vmlinux boots by PVH); must exist on every host.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
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
