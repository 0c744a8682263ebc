//! What a host is told about itself, and what follows from it before anything is touched.

use crate::error::{Error, Result};
use model::{Encap, HostName, Mac, cluster::Cidr};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// Largest IP packet of a member on any underlay, bytes: what guests expect of an Ethernet.
pub const MOST_INNER_MTU: u16 = 1500;

/// Smallest useful one, bytes: IPv6 needs it (RFC 8200 section 5).
pub const LEAST_INNER_MTU: u16 = 1280;

/// One host, as written in the agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// The host's name in the directory.
    pub host: HostName,
    /// Where Open vSwitch keeps `db.sock`, `vswitchd.ctl`, `<bridge>.mgmt`, its logs and database.
    pub rundir: PathBuf,
    /// The links that carry the underlay, for example `eth0` and `eth1`. One is used as it is, more
    /// become `icbond0`. They may be empty on a host that has only local members.
    pub uplinks: Vec<String>,
    /// How several uplinks share the load.
    #[serde(default)]
    pub bond: BondMode,
    /// The host's addresses on the underlay; the first of each family ends the tunnels.
    pub underlay: Vec<Cidr>,
    /// Routers towards other hosts' networks.
    #[serde(default)]
    pub gateway: Vec<Gateway>,
    /// Underlay networks behind the gateway of their family.
    #[serde(default)]
    pub routes: Vec<Cidr>,
    /// The Ethernet address of `icbr0`, pinned: peers keep it in their tunnel neighbours.
    pub bridge_mac: Mac,
    /// What the uplinks carry, bytes. 0: as found on them.
    #[serde(default)]
    pub uplink_mtu: u16,
    /// The host's part of the secure underlay; without one its tunnels run in the open. Set by the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secured: Option<Secured>,
}

/// A host's part of the secure underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secured {
    /// Its address inside, with the prefix of all of them.
    pub address: Cidr,
    /// The tap behind which WireGuard is.
    pub wireguard: String,
    /// The internal port behind which IPsec is, where the host has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<String>,
    /// Bytes that it adds to a packet, at most.
    pub overhead: u16,
    /// Largest packet that it takes, bytes, where that is less than what the uplinks leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u16>,
}

impl Secured {
    /// The Ethernet address of `icsec0`: the same whenever it is made anew, locally administered.
    pub fn mac(&self) -> Mac {
        mac_of(self.address.address, 0x5e)
    }

    /// The Ethernet address behind which WireGuard is.
    pub fn wireguard_mac(&self) -> Mac {
        mac_of(self.address.address, 0x5f)
    }

    /// The Ethernet address behind which IPsec is.
    pub fn esp_mac(&self) -> Mac {
        mac_of(self.address.address, 0x60)
    }

    /// What it leaves of an uplink's packets, bytes.
    pub fn leaves(&self, outer: u16) -> u16 {
        outer
            .saturating_sub(self.overhead)
            .min(self.most.unwrap_or(u16::MAX))
    }
}

fn mac_of(address: IpAddr, kind: u8) -> Mac {
    let [a, b, c, d] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    Mac([2, kind, a, b, c, d])
}

/// How several uplinks share the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// One carries, the others wait.
    #[default]
    ActiveBackup,
    /// By source address; needs nothing of the switch at the other end.
    BalanceSlb,
    /// By layer 4 flow; negotiated by LACP (IEEE 802.1AX), active, fast.
    BalanceTcp,
}

impl BondMode {
    /// The database's word (ovs-vswitchd.conf.db, Port `bond_mode`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::BalanceSlb => "balance-slb",
            Self::BalanceTcp => "balance-tcp",
        }
    }
}

/// A router on the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its address, in one of the host's underlay networks.
    pub address: IpAddr,
    /// Its Ethernet address; asked for on the wire when it is not given.
    #[serde(default)]
    pub mac: Option<Mac>,
}

impl HostConfig {
    /// Says what does not fit together, before anything is touched.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::Config(why));
        if self.bridge_mac.is_group() {
            return refuse(format!(
                "bridge_mac {} is a group address; use a unicast one",
                self.bridge_mac
            ));
        }
        if self.underlay.is_empty() {
            return refuse(
                "underlay is empty; give the address that ends this host's tunnels".to_owned(),
            );
        }
        for (at, uplink) in self.uplinks.iter().enumerate() {
            if uplink.is_empty() || uplink.len() > 15 {
                return refuse(format!(
                    "uplink '{uplink}' is not an interface name (1 to 15 bytes)"
                ));
            }
            if self.uplinks[..at].contains(uplink) {
                return refuse(format!("uplink {uplink} is named twice; name each once"));
            }
        }
        if self.uplinks.len() == 1 && self.bond == BondMode::BalanceTcp {
            return refuse(
                "bond balance-tcp needs two uplinks or more; name them, or use active-backup"
                    .to_owned(),
            );
        }
        for gateway in &self.gateway {
            if !self.on_link(gateway.address) {
                return refuse(format!(
                    "gateway {} is in none of the networks of `underlay`; correct one of them",
                    gateway.address
                ));
            }
        }
        for route in &self.routes {
            if self.gateway_for(route.address).is_none() {
                return refuse(format!(
                    "route {route} has no gateway of its family; add one to `gateway`"
                ));
            }
        }
        Ok(())
    }

    /// The address that ends the host's tunnels, its locator: inside the secure underlay where it has a part in it.
    pub fn locator(&self) -> Option<IpAddr> {
        let open = self.underlay.first().map(|own| own.address);
        let secured = self.secured.as_ref();
        secured.map(|secured| secured.address.address).or(open)
    }

    /// Whether an address is one inside the secure underlay.
    pub fn is_inside(&self, address: IpAddr) -> bool {
        let secured = self.secured.as_ref();
        secured.is_some_and(|secured| contains(&secured.address, address))
    }

    /// Whether an underlay address is reached without a gateway.
    pub fn on_link(&self, address: IpAddr) -> bool {
        self.is_inside(address) || self.underlay.iter().any(|own| contains(own, address))
    }

    /// The gateway of an address's family.
    pub fn gateway_for(&self, address: IpAddr) -> Option<&Gateway> {
        self.gateway
            .iter()
            .find(|gateway| gateway.address.is_ipv4() == address.is_ipv4())
    }

    /// The address that must be resolved to send to `address`: itself or its gateway; none when it
    /// is the host's own or cannot be reached.
    pub fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        let own = self.underlay.iter().map(|own| own.address);
        if own.chain(self.locator()).any(|own| own == address) {
            None
        } else if self.on_link(address) {
            Some(address)
        } else {
            self.gateway_for(address).map(|gateway| gateway.address)
        }
    }

    /// The host's first underlay address of a family.
    pub fn underlay_address(&self, v6: bool) -> Option<IpAddr> {
        self.underlay
            .iter()
            .map(|own| own.address)
            .find(|address| address.is_ipv6() == v6)
    }

    /// Whether tunnels of this host may run over IPv6, which costs 20 bytes more.
    pub fn underlay_has_v6(&self) -> bool {
        self.underlay_address(true).is_some()
    }
}

fn contains(network: &Cidr, address: IpAddr) -> bool {
    let prefix = u32::from(network.prefix);
    match (network.address, address) {
        (IpAddr::V4(own), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            (own.to_bits() ^ other.to_bits()) & mask == 0
        }
        (IpAddr::V6(own), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            (own.to_bits() ^ other.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// What the narrowest uplink leaves for members, and the way to refuse what does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtuBudget {
    /// The narrowest uplink.
    pub uplink: String,
    /// What it carries of tunnels' packets, bytes.
    pub carries: u16,
    /// What the secure underlay takes of it beside, bytes.
    pub taken: u16,
    /// Whether tunnels may run over IPv6.
    pub v6: bool,
}

impl MtuBudget {
    /// Largest IP packet of a member over this encapsulation, bytes; at most [`MOST_INNER_MTU`].
    pub fn inner(&self, encap: Encap) -> u16 {
        self.carries
            .saturating_sub(encap.overhead(self.v6))
            .min(MOST_INNER_MTU)
    }

    /// What the uplink carries in all, bytes.
    pub fn outer(&self) -> u16 {
        self.carries.saturating_add(self.taken)
    }

    /// Refuses an MTU that the uplinks cannot carry over this encapsulation.
    pub fn check(&self, inner: u16, encap: Encap) -> Result<()> {
        if inner <= self.inner(encap) {
            return Ok(());
        }
        let overhead = encap.overhead(self.v6);
        Err(Error::Mtu {
            inner,
            overhead,
            encap: encap.as_str(),
            needed: u32::from(inner) + u32::from(overhead),
            uplink: self.uplink.clone(),
            found: self.carries,
            most: self.inner(encap),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> HostConfig {
        HostConfig {
            host: HostName::new("north").unwrap(),
            rundir: "/run/x".into(),
            uplinks: vec!["eth0".into(), "eth1".into()],
            bond: BondMode::ActiveBackup,
            underlay: vec![
                "10.0.0.1/24".parse().unwrap(),
                "fd00::1/64".parse().unwrap(),
            ],
            gateway: vec![Gateway {
                address: "10.0.0.254".parse().unwrap(),
                mac: None,
            }],
            routes: vec!["10.9.0.0/16".parse().unwrap()],
            bridge_mac: "02:00:0a:00:00:01".parse().unwrap(),
            uplink_mtu: 0,
            secured: None,
        }
    }

    #[test]
    fn a_far_locator_is_reached_through_the_gateway_and_a_near_one_directly() {
        let config = config();
        let hop = |text: &str| {
            config
                .next_hop(text.parse().unwrap())
                .map(|hop| hop.to_string())
        };
        assert_eq!(hop("10.0.0.7").as_deref(), Some("10.0.0.7"));
        assert_eq!(hop("10.9.1.7").as_deref(), Some("10.0.0.254"));
        assert_eq!(hop("fd00::2").as_deref(), Some("fd00::2"));
        assert_eq!(hop("fd01::2"), None);
        assert_eq!(hop("10.0.0.1"), None);
    }

    #[test]
    fn a_route_without_a_gateway_of_its_family_is_refused() {
        let mut config = config();
        assert!(config.check().is_ok());
        config.routes.push("fd01::/48".parse().unwrap());
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("fd01::/48")
        );
    }

    #[test]
    fn a_gateway_outside_the_underlay_is_refused() {
        let mut config = config();
        config.gateway[0].address = "10.1.0.254".parse().unwrap();
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("10.1.0.254")
        );
    }

    #[test]
    fn a_network_that_is_too_wide_for_the_uplinks_is_refused_with_the_figures() {
        let budget = MtuBudget {
            uplink: "eth0".into(),
            carries: 1500,
            taken: 0,
            v6: false,
        };
        assert_eq!(budget.inner(Encap::Vxlan), 1450);
        assert_eq!(budget.inner(Encap::Gre), 1458);
        assert!(budget.check(1450, Encap::Geneve).is_ok());
        let said = budget.check(1500, Encap::Geneve).unwrap_err().to_string();
        for figure in ["1500", "1550", "50", "1450", "eth0"] {
            assert!(said.contains(figure), "{said}");
        }
    }

    #[test]
    fn a_wide_underlay_still_gives_members_an_ethernets_mtu() {
        let budget = MtuBudget {
            uplink: "eth0".into(),
            carries: 9000,
            taken: 0,
            v6: true,
        };
        assert_eq!(budget.inner(Encap::Vxlan), 1500);
    }
}
