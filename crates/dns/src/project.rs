//! Rows of the directory as names. An endpoint keeps its addresses wherever it is; what changes with a move is the site
//! by which the world reaches it, so a zone has the one or the other.

use crate::config::{Publish, Zone};
use crate::{Content, DnsName};
use model::{Entry, SiteName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What a row is in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name.
    pub name: DnsName,
    /// What it says; empty where it says nothing while the endpoint is where it is.
    pub content: Content,
    /// The row's epoch.
    pub epoch: u64,
}

/// The name of a row in a zone; none for members of clusters that it does not publish, and for names that would be too
/// long.
pub fn name(zone: &Zone, row: &Entry) -> Option<DnsName> {
    if !zone.clusters.is_empty() && !zone.clusters.contains(&row.cluster) {
        return None;
    }
    let labels = zone.names.replace("{member}", row.vm.as_str());
    let labels = labels.replace("{cluster}", row.cluster.as_str());
    zone.zone.below(&labels).ok()
}

/// What a row is in a zone, with its endpoint at a site; endpoints outside are at none and are not published.
pub fn wanted(
    zone: &Zone,
    sites: &BTreeMap<SiteName, Vec<IpAddr>>,
    row: &Entry,
    site: Option<&SiteName>,
) -> Option<Wanted> {
    if row.locator.is_outside() {
        return None;
    }
    let addresses: BTreeSet<IpAddr> = match zone.publish {
        Publish::Endpoint => row.ips.iter().copied().filter(reaches_beyond).collect(),
        Publish::Site => site
            .and_then(|site| sites.get(site))
            .into_iter()
            .flatten()
            .copied()
            .collect(),
    };
    let text = (zone.txt && !addresses.is_empty())
        .then(|| format!("locator={} epoch={}", row.locator.host, row.epoch.0));
    Some(Wanted {
        name: name(zone, row)?,
        content: Content {
            ttl: zone.ttl_seconds,
            addresses,
            text,
            seen: false,
        },
        epoch: row.epoch.0,
    })
}

/// True for addresses that mean something beyond their link.
fn reaches_beyond(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, Epoch, HostName, Locator, Mac, VmName};

    fn row(host: &str) -> Entry {
        Entry {
            cluster: ClusterName::new("shop").unwrap(),
            vm: VmName::new("gate").unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            ips: vec!["10.77.0.9".parse().unwrap(), "fe80::9".parse().unwrap()],
            security: Vec::new(),
            seal: None,
            locator: Locator {
                host: HostName::new(host).unwrap(),
                address: [192, 0, 2, 1].into(),
            },
            epoch: Epoch(5),
        }
    }

    fn zone(more: &str) -> Zone {
        let server = "rfc2136.servers = ['192.0.2.53:53']";
        toml::from_str(&format!("zone = 'example.org'\n{server}\n{more}")).unwrap()
    }

    #[test]
    fn a_member_has_its_own_addresses_wherever_it_is() {
        let made = wanted(&zone("txt = true"), &BTreeMap::new(), &row("h1"), None).unwrap();
        assert_eq!(made.name.as_str(), "gate.shop.example.org");
        assert_eq!(
            made.content.addresses,
            ["10.77.0.9".parse().unwrap()].into()
        );
        assert_eq!(made.content.text.as_deref(), Some("locator=h1 epoch=5"));
        assert_eq!(made.epoch, 5);
    }

    #[test]
    fn or_it_has_those_of_the_site_where_it_is_and_none_where_the_site_has_none() {
        let zone = zone("publish = 'site'");
        let north = SiteName::new("north").unwrap();
        let south = SiteName::new("south").unwrap();
        let sites = BTreeMap::from([(north.clone(), vec!["203.0.113.5".parse().unwrap()])]);
        let at = |site| wanted(&zone, &sites, &row("h1"), site).unwrap().content;
        assert_eq!(
            at(Some(&north)).addresses,
            ["203.0.113.5".parse().unwrap()].into()
        );
        assert!(at(Some(&south)).is_empty());
        assert!(at(None).is_empty());
    }

    #[test]
    fn members_of_other_clusters_and_endpoints_outside_are_not_published() {
        let other = zone("clusters = ['lab']");
        assert_eq!(wanted(&other, &BTreeMap::new(), &row("h1"), None), None);
        let mut outside = row("h1");
        outside.locator = Locator::outside([192, 0, 2, 9].into());
        assert_eq!(wanted(&zone(""), &BTreeMap::new(), &outside, None), None);
    }
}
