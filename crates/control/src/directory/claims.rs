//! Who claims which address. One network's addresses mean nothing in another.

use super::{DirectoryError, MAX_VNI, MIN_MTU};
use model::cluster::Cidr;
use model::{ClusterName, Entry, Mac, Member, Net, VmName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses of all endpoints, with their holders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Claims {
    macs: BTreeMap<(ClusterName, Mac), VmName>,
    ips: BTreeMap<(ClusterName, IpAddr), VmName>,
}

impl Claims {
    /// Claims all addresses of an endpoint, or none.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), DirectoryError> {
        self.check(entry)?;
        self.macs
            .insert((entry.cluster.clone(), entry.mac), entry.vm.clone());
        for ip in claimed(entry) {
            self.ips
                .insert((entry.cluster.clone(), ip), entry.vm.clone());
        }
        Ok(())
    }

    /// Refuses an endpoint that wants what another one has.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), DirectoryError> {
        let other = |holder: &&VmName| **holder != entry.vm;
        if let Some(holder) = self
            .macs
            .get(&(entry.cluster.clone(), entry.mac))
            .filter(other)
        {
            let (mac, cluster, holder) = (entry.mac, entry.cluster.clone(), holder.clone());
            return Err(DirectoryError::MacTaken {
                mac,
                cluster,
                holder,
            });
        }
        for ip in claimed(entry) {
            if let Some(holder) = self.ips.get(&(entry.cluster.clone(), ip)).filter(other) {
                let (cluster, holder) = (entry.cluster.clone(), holder.clone());
                return Err(DirectoryError::IpTaken {
                    ip,
                    cluster,
                    holder,
                });
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self, entry: &Entry) {
        self.macs.remove(&(entry.cluster.clone(), entry.mac));
        for ip in claimed(entry) {
            self.ips.remove(&(entry.cluster.clone(), ip));
        }
    }
}

/// The switch answers for the link-local address that follows from the MAC, listed or not.
fn claimed(entry: &Entry) -> impl Iterator<Item = IpAddr> {
    entry
        .ips
        .iter()
        .copied()
        .chain([IpAddr::V6(entry.mac.link_local())])
}

/// Refuses what no tunnel can carry.
pub(super) fn check_net(net: &Net) -> Result<(), DirectoryError> {
    if !(1..=MAX_VNI).contains(&net.vni) {
        return Err(DirectoryError::BadVni(net.vni));
    }
    if net.mtu < MIN_MTU {
        return Err(DirectoryError::BadMtu(net.mtu));
    }
    Ok(())
}

/// Refuses a member whose addresses cannot be an endpoint's.
pub(super) fn check_member(member: &Member) -> Result<(), DirectoryError> {
    let ips: Vec<IpAddr> = member.addresses.iter().map(|cidr| cidr.address).collect();
    check_addresses(&member.name, member.mac, &ips)?;
    match member.addresses.iter().find(|cidr| is_of_the_net(**cidr)) {
        Some(cidr) => Err(DirectoryError::BadIp {
            vm: member.name.clone(),
            ip: cidr.address,
        }),
        None => Ok(()),
    }
}

/// The same without prefix lengths.
pub(super) fn check_addresses(vm: &VmName, mac: Mac, ips: &[IpAddr]) -> Result<(), DirectoryError> {
    if mac.is_group() || mac == Mac([0; 6]) {
        return Err(DirectoryError::BadMac {
            vm: vm.clone(),
            mac,
        });
    }
    for (number, ip) in ips.iter().enumerate() {
        if !is_of_a_host(*ip) {
            return Err(DirectoryError::BadIp {
                vm: vm.clone(),
                ip: *ip,
            });
        }
        if ips.iter().take(number).any(|earlier| earlier == ip) {
            return Err(DirectoryError::IpTwice {
                vm: vm.clone(),
                ip: *ip,
            });
        }
    }
    Ok(())
}

fn is_of_a_host(ip: IpAddr) -> bool {
    let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !special
        && match ip {
            IpAddr::V4(ip) => !ip.is_broadcast(),
            IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
        }
}

/// The first and the last IPv4 address of a net are the net's own; RFC 3021 gives both addresses
/// of a /31 to hosts.
fn is_of_the_net(cidr: Cidr) -> bool {
    let IpAddr::V4(ip) = cidr.address else {
        return false;
    };
    let hosts = u32::MAX.checked_shr(u32::from(cidr.prefix)).unwrap_or(0);
    let number = u32::from(ip) & hosts;
    cidr.prefix < 31 && (number == 0 || number == hosts)
}
