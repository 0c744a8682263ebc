//! Clusters that move in a real lab, and what may happen to them on the way.
//!
//! Every test has a lab of its own: three sites, a WAN, real switches, real guests. Needs root or an
//! ordinary user who may make namespaces and use /dev/net/tun, Open vSwitch, QEMU and the guest of
//! `scripts/guest.sh`.

mod disks;
mod fixture;
#[cfg(feature = "libvirt")]
mod libvirt;
mod lisp;
mod lost;
mod matrix;
mod plain;
mod refused;
mod secured;
mod security;
mod steered;
mod wire;
