//! Names of what this crate makes on a host: bridges, tunnel ports, taps, internal ports.
//!
//! A kernel interface name holds 15 bytes, too few for cluster and member, so a tap's name is a
//! hash of both. The database tells which member a port belongs to (`external_ids`), never the
//! name.

use model::{ClusterName, VmName};

/// The underlay bridge.
pub const UNDERLAY: &str = "icbr0";
/// The bridge that tunnels go through when what they carry is protected.
pub const SECURE: &str = "icsec0";
/// The tap behind which WireGuard is.
pub const WIREGUARD: &str = "icwg0";
/// The switch's port to IPsec.
pub const ESP: &str = "icesp0";
/// The bond of the uplinks.
pub const BOND: &str = "icbond0";
/// The integration bridge.
pub const INTEGRATION: &str = "icint0";

/// The VXLAN-GPE port.
pub(crate) const GPE: &str = "enc-gpe";

/// `external_ids` key: what a port is for.
pub(crate) const KIND: &str = "transhume-kind";
/// `external_ids` key: the cluster that a port belongs to.
pub(crate) const CLUSTER: &str = "transhume-cluster";
/// `external_ids` key: the member that a port belongs to.
pub(crate) const MEMBER: &str = "transhume-member";
/// `external_ids` key: what must be set in the kernel for a port, as JSON.
pub(crate) const DETAIL: &str = "transhume-detail";

/// The tap of a member, at most 15 bytes.
pub fn tap(cluster: &ClusterName, vm: &VmName) -> String {
    format!("tht-{:010x}", hash(cluster, vm))
}

/// The kernel bridge of a member whose tap is not ours, at most 15 bytes.
pub fn bridge(cluster: &ClusterName, vm: &VmName) -> String {
    format!("thb-{:010x}", hash(cluster, vm))
}

/// The bridge's end of its pair of links, at most 15 bytes.
pub(crate) fn patch(cluster: &ClusterName, vm: &VmName) -> String {
    format!("thp-{:010x}", hash(cluster, vm))
}

/// The gate's tap of a member, at most 15 bytes.
pub fn gate(cluster: &ClusterName, vm: &VmName) -> String {
    format!("thg-{:010x}", hash(cluster, vm))
}

/// The tap of a network's LISP gateway, at most 15 bytes.
pub fn gateway(cluster: &ClusterName) -> String {
    format!("thl-{:010x}", hash_of(cluster.as_str().as_bytes()))
}

/// An internal port of a host member.
pub fn internal(number: u32) -> String {
    format!("vint{number}")
}

/// FNV-1a, cut to 40 bits: the same on every host and in every version, which Rust's own hashers
/// do not promise.
fn hash(cluster: &ClusterName, vm: &VmName) -> u64 {
    let text = [cluster.as_str().as_bytes(), b"/", vm.as_str().as_bytes()].concat();
    hash_of(&text)
}

fn hash_of(text: &[u8]) -> u64 {
    let full = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    (full ^ (full >> 40)) & 0xff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_still_fit_a_kernel_interface_name() {
        let cluster = ClusterName::new("a".repeat(40)).unwrap();
        let vm = VmName::new("b".repeat(40)).unwrap();
        assert!(tap(&cluster, &vm).len() <= 15);
        assert!(gate(&cluster, &vm).len() <= 15);
        assert!(gateway(&cluster).len() <= 15);
        assert!(internal(99_999).len() <= 15);
    }

    #[test]
    fn members_of_the_same_name_in_two_clusters_get_two_taps() {
        let vm = VmName::new("web").unwrap();
        let one = tap(&ClusterName::new("shop").unwrap(), &vm);
        let two = tap(&ClusterName::new("shop2").unwrap(), &vm);
        assert_ne!(one, two);
    }
}
