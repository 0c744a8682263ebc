//! The directory's rows as mappings.

use lisp::{Eid, Locator, Record};
use model::{Entry, Epoch};
use std::net::IpAddr;

/// Versions go round: 12 bits, and zero says nothing (RFC 9302).
pub(super) fn version(epoch: Epoch) -> u16 {
    match epoch.0.checked_sub(1) {
        None => 0,
        Some(before) => (before % 4095) as u16 + 1,
    }
}

/// What others may ask for: the endpoint's addresses that mean something beyond its link, and its MAC.
pub(super) fn identifiers(row: &Entry, instance: u32) -> Vec<Eid> {
    let beyond = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let ips = row.ips.iter().filter(beyond);
    let mut all: Vec<Eid> = ips.map(|ip| Eid::host(instance, *ip)).collect();
    all.push(Eid::host(instance, lisp::Mac(row.mac.0)));
    all
}

/// The mapping of one of a row's identifiers.
pub(super) fn mapping(row: &Entry, eid: Eid, ttl_minutes: u32) -> Record {
    let locator = Locator::new(row.locator.address, 1, 100);
    let mut record = Record::new(eid, ttl_minutes).locator(locator);
    record.map_version = version(row.epoch);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_round_and_are_never_zero() {
        let of = |epoch| version(Epoch(epoch));
        assert_eq!((of(1), of(2), of(4095), of(4096)), (1, 2, 4095, 1));
    }
}
