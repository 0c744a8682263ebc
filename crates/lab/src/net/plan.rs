//! The plan: names, addresses and MACs of every site, worked out once and written to `lab.json`.
//!
//! Pure values. Whoever sets up a site's OVS, agent or VMs reads here what its underlay is; nothing
//! is looked up at run time.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The sites of the default lab, in the order of their numbers (1, 2, 3).
pub const DEFAULT_SITES: &[&str] = &["north", "south", "office"];

/// The namespace of the WAN.
pub const WAN: &str = "wan";

/// MTU of the uplinks: 1500 inside and room for a tunnel header (VXLAN over IPv6 takes 70).
pub const DEFAULT_MTU: u16 = 1600;

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group (the broadcast address included).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a MAC address: six hexadecimal bytes with colons");
        let mut bytes = [0; 6];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().filter(|w| w.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(word, 16).map_err(|_| bad())?;
        }
        words
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or_else(bad)
    }
}

/// Which of a site's two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// `eth0` and `eth1`, bonded by the site's OVS: tunnels between hosts.
    Data,
    /// `mgmt0`, the kernel's: control connections and the migration stream.
    Mgmt,
}

/// A site's part in one network. Prefixes are /24 and /64; the WAN's relay is the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The site's IPv4 address.
    pub v4: Ipv4Addr,
    /// The site's IPv6 address.
    pub v6: Ipv6Addr,
    /// The site's MAC: of `mgmt0`, or the one to pin on `icbr0`.
    pub mac: Mac,
    /// The gateway's IPv4 address.
    pub gateway_v4: Ipv4Addr,
    /// The gateway's IPv6 address.
    pub gateway_v6: Ipv6Addr,
    /// The gateway's MAC; it never changes, so it may be set as a permanent neighbour.
    pub gateway_mac: Mac,
}

impl Attachment {
    /// Prefix length of the IPv4 network.
    pub const V4_PREFIX: u8 = 24;
    /// Prefix length of the IPv6 network.
    pub const V6_PREFIX: u8 = 64;

    fn new(network: Network, number: u8) -> Self {
        let net: u8 = match network {
            Network::Data => 10,
            Network::Mgmt => 20,
        };
        // Prefixes read as in the documentation: fd10:3::2 is host 2 of site 3.
        let high = match network {
            Network::Data => 0xfd10,
            Network::Mgmt => 0xfd20,
        };
        let site = u16::from_str_radix(&number.to_string(), 16).unwrap_or(u16::from(number));
        let v6 = |host| Ipv6Addr::new(high, site, 0, 0, 0, 0, 0, host);
        // 02: locally administered (IEEE 802).
        let mac = |host| Mac([0x02, net, 0, 0, number, host]);
        Self {
            v4: Ipv4Addr::new(10, net, number, 2),
            v6: v6(2),
            mac: mac(2),
            gateway_v4: Ipv4Addr::new(10, net, number, 1),
            gateway_v6: v6(1),
            gateway_mac: mac(1),
        }
    }

    /// Whether an IPv4 address is in this network.
    pub fn holds_v4(&self, address: Ipv4Addr) -> bool {
        address.octets()[..3] == self.v4.octets()[..3]
    }

    /// Whether an IPv6 address is in this network.
    pub fn holds_v6(&self, address: Ipv6Addr) -> bool {
        address.octets()[..8] == self.v6.octets()[..8]
    }
}

/// One uplink: a veth pair between the site and the WAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// Its network.
    pub network: Network,
    /// Its name in the site: `eth0`, `eth1`, `mgmt0`.
    pub site_end: String,
    /// Its name in the WAN's namespace.
    pub wan_end: String,
    /// The MAC of the site's end.
    pub mac: Mac,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePlan {
    /// Its name, also that of its network namespace.
    pub name: String,
    /// Its number, from 1.
    pub number: u8,
    /// The data network. Its address goes on `icbr0`, set by the agent, with a route to
    /// [`Plan::DATA_V4`] and [`Plan::DATA_V6`] by the gateway.
    pub data: Attachment,
    /// The management network. Its address is on `mgmt0`, with the default route.
    pub mgmt: Attachment,
    /// `eth0`, `eth1`, `mgmt0`.
    pub uplinks: Vec<Uplink>,
}

impl SitePlan {
    fn new(name: &str, number: u8) -> Self {
        let mgmt = Attachment::new(Network::Mgmt, number);
        let uplink = |network, site_end: &str, suffix, mac| Uplink {
            network,
            site_end: site_end.to_owned(),
            wan_end: format!("{name}-{suffix}"),
            mac,
        };
        let data_mac = |link| Mac([0x02, 0x0e, 0, 0, number, link]);
        let uplinks = vec![
            uplink(Network::Data, "eth0", "0", data_mac(0)),
            uplink(Network::Data, "eth1", "1", data_mac(1)),
            uplink(Network::Mgmt, "mgmt0", "m", mgmt.mac),
        ];
        let data = Attachment::new(Network::Data, number);
        Self {
            name: name.to_owned(),
            number,
            data,
            mgmt,
            uplinks,
        }
    }

    /// The site's part in a network.
    pub fn attachment(&self, network: Network) -> &Attachment {
        match network {
            Network::Data => &self.data,
            Network::Mgmt => &self.mgmt,
        }
    }
}

/// The whole network of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The sites, by number.
    pub sites: Vec<SitePlan>,
    /// The site in whose namespace the controller runs.
    pub controller_site: String,
    /// MTU of the uplinks.
    pub mtu: u16,
    /// Largest value of the TCP buffers in every namespace, in bytes: enough for twice the
    /// bandwidth-delay product of 1 Gbit/s at 60 ms.
    pub tcp_buffer_max: u32,
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A site's name.
    #[error(
        "{0:?} cannot be a site: use up to 12 lower-case letters, digits and '-', a letter first, and not `wan`"
    )]
    Name(String),
    /// A site given twice.
    #[error("site {0} is given twice: give each once")]
    Twice(String),
    /// None or too many.
    #[error("a lab has 1 to 99 sites, not {0}")]
    Count(usize),
    /// The controller's site.
    #[error("there is no site {0} for the controller: name one of the lab's sites")]
    Controller(String),
    /// The MTU.
    #[error("the uplinks cannot have an MTU of {0}: use 1280 to 9000")]
    Mtu(u16),
}

impl Plan {
    /// All data networks (one route at every site).
    pub const DATA_V4: &str = "10.10.0.0/16";
    /// All data networks, IPv6.
    pub const DATA_V6: &str = "fd10::/16";

    /// A plan for these sites; the controller lives at `controller_site`.
    pub fn new(sites: &[&str], controller_site: &str, mtu: u16) -> Result<Self, PlanError> {
        if sites.is_empty() || sites.len() > 99 {
            return Err(PlanError::Count(sites.len()));
        }
        if !(1280..=9000).contains(&mtu) {
            return Err(PlanError::Mtu(mtu));
        }
        let mut made: Vec<SitePlan> = Vec::new();
        for (number, name) in (1..).zip(sites) {
            if !is_site_name(name) {
                return Err(PlanError::Name((*name).to_owned()));
            }
            if made.iter().any(|site| site.name == *name) {
                return Err(PlanError::Twice((*name).to_owned()));
            }
            made.push(SitePlan::new(name, number));
        }
        if !sites.contains(&controller_site) {
            return Err(PlanError::Controller(controller_site.to_owned()));
        }
        let controller_site = controller_site.to_owned();
        Ok(Self {
            sites: made,
            controller_site,
            mtu,
            tcp_buffer_max: 16 << 20,
        })
    }

    /// The site of a name.
    pub fn site(&self, name: &str) -> Option<&SitePlan> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// Every namespace of the lab: the sites and the WAN.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.sites
            .iter()
            .map(|site| site.name.as_str())
            .chain([WAN])
    }
}

impl Default for Plan {
    /// `north`, `south` and `office`, the controller in `office`.
    fn default() -> Self {
        let sites = DEFAULT_SITES;
        let made: Vec<_> = (1..)
            .zip(sites)
            .map(|(n, name)| SitePlan::new(name, n))
            .collect();
        Self {
            sites: made,
            controller_site: "office".to_owned(),
            mtu: DEFAULT_MTU,
            tcp_buffer_max: 16 << 20,
        }
    }
}

/// The WAN's end of an uplink is named after the site, and interface names have 15 bytes.
fn is_site_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 12
        && name != WAN
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plan_is_what_the_documentation_says() {
        let plan = Plan::default();
        assert_eq!(
            plan,
            Plan::new(DEFAULT_SITES, "office", DEFAULT_MTU).unwrap()
        );
        let south = plan.site("south").unwrap();
        assert_eq!(south.data.v4.to_string(), "10.10.2.2");
        assert_eq!(south.mgmt.gateway_v4.to_string(), "10.20.2.1");
        assert_eq!(south.data.v6.to_string(), "fd10:2::2");
        assert_eq!(south.mgmt.gateway_v6.to_string(), "fd20:2::1");
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn sites_that_cannot_be_are_refused_with_the_reason() {
        let plan = |sites: &[&str]| Plan::new(sites, "a", 1600).unwrap_err();
        assert_eq!(plan(&[]), PlanError::Count(0));
        assert_eq!(plan(&["a", "a"]), PlanError::Twice("a".into()));
        assert_eq!(plan(&["b"]), PlanError::Controller("a".into()));
        for bad in ["", "wan", "A", "1a", "a/b", "abcdefghijklm"] {
            assert_eq!(plan(&["a", bad]), PlanError::Name(bad.into()));
        }
        assert_eq!(Plan::new(&["a"], "a", 100), Err(PlanError::Mtu(100)));
    }

    #[test]
    fn no_two_addresses_or_names_of_a_large_plan_are_equal() {
        let names: Vec<String> = (0..99).map(|n| format!("site{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = Plan::new(&names, "site0", 1600).unwrap();
        let mut seen = std::collections::HashSet::new();
        for site in &plan.sites {
            for a in [&site.data, &site.mgmt] {
                assert!(seen.insert(a.v4.to_string()) && seen.insert(a.gateway_v4.to_string()));
                assert!(seen.insert(a.v6.to_string()) && seen.insert(a.gateway_v6.to_string()));
                assert!(seen.insert(a.gateway_mac.to_string()));
            }
            for uplink in &site.uplinks {
                assert!(seen.insert(uplink.mac.to_string()), "{}", uplink.mac);
                assert!(seen.insert(uplink.wan_end.clone()) && uplink.wan_end.len() <= 15);
            }
        }
    }

    #[test]
    fn mac_addresses_round_trip_and_bad_ones_are_refused() {
        let mac = Mac([2, 0xab, 0, 1, 2, 0xff]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for bad in [
            "",
            "02:00",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:00:00",
            "2:0:0:0:0:0",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
