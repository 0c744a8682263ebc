//! Disks of VMs: their images on this host, and their way to another one.
//!
//! ```text
//!  guest ─ QEMU ─ mirror ─NBD─ outlet ══ mutual TLS ══ sink ─NBD─ QEMU (incoming)
//!            │                                                     │
//!          image                                                 image
//! ```
//!
//! The mirror writes to its own agent, never over the WAN: the guest's writes wait for nobody, a
//! broken connection is taken up where it broke ([`migration::replica`]), and when the VM has stopped
//! the mirror ends at once. The target runs the VM when it has applied the last record.
//!
//! [`image`] makes and removes images; [`mirror`] and [`outlet`] are the source's half, [`arrival`] and
//! [`sink`] the target's. A disk on storage that both hosts share is not copied: QEMU hands its lock over.

pub(crate) mod arrival;
pub mod image;
pub(crate) mod mirror;
pub(crate) mod outlet;
pub(crate) mod sink;
