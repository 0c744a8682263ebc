//! `icsec0`: where tunnels go in and out when what they carry is protected.
//!
//! Its own interface has the host's address inside the secure underlay, so the switch's tunnels leave through it;
//! its ports lead to what encrypts. Which of them a peer's packets take is said by the peer's Ethernet address
//! alone: whoever encrypts for it has that address ([`Host::reach`]). The encrypted packets leave as the
//! host's own, over `icbr0`.

use crate::config::{HostConfig, Secured};
use crate::database::{Database, InterfacePlan, PortPlan, PortRow};
use crate::error::Result;
use crate::host::Host;
use crate::names::SECURE;
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::tap::no_ipv6;
use model::Mac;
use ovsdb::{Op, Row};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What must change in the database so that the bridge and its ports are as configured.
pub(crate) fn plan(
    database: &Database,
    config: &HostConfig,
    carries: u16,
    bridges: &[String],
    ports: &[PortRow],
) -> Vec<Op> {
    let Some(secured) = &config.secured else {
        return Vec::new();
    };
    let exists = bridges.iter().any(|name| name == SECURE);
    let columns = Row::new()
        .with("datapath_type", "netdev")
        .with("fail_mode", "standalone")
        .with("other_config", [("hwaddr", secured.mac().to_string())]);
    let mut ops = database.bridge(exists, SECURE, columns);
    let there = |name: &str| {
        ports
            .iter()
            .any(|port| port.bridge == SECURE && port.name == name)
    };
    let wireguard = InterfacePlan {
        name: secured.wireguard.clone(),
        ..Default::default()
    };
    // Internal: its queue holds packets, where that of a pair of links holds a socket's buffer.
    let esp = secured.esp.as_ref().map(|name| InterfacePlan {
        name: name.clone(),
        kind: "internal",
        mac: Some(secured.esp_mac()),
        mtu: Some(carries),
        ..Default::default()
    });
    let wanted = std::iter::once(wireguard).chain(esp);
    let missing: Vec<PortPlan> = wanted
        .filter(|interface| !there(&interface.name))
        .map(|interface| PortPlan {
            name: interface.name.clone(),
            interfaces: vec![interface],
            ..Default::default()
        })
        .collect();
    if !missing.is_empty() {
        ops.extend(database.add_ports(SECURE, &missing));
    }
    ops.push(database.request_mtu(SECURE, carries));
    ops
}

/// Makes the address and its route.
pub(crate) async fn settle(netns: &Netns, netlink: &Netlink, secured: &Secured) -> Result<()> {
    netns
        .sysctl(format!("ipv6/conf/{SECURE}/disable_ipv6"), "1")
        .await
        .or_else(no_ipv6)?;
    let index = netlink.need_link(SECURE).await?.index;
    netlink.up(index).await?;
    netlink.keep_addresses(index, &[secured.address]).await?;
    netlink.add_address(index, secured.address).await
}

impl Host {
    /// Says which Ethernet address stands for each peer inside the secure underlay. Others than these are not
    /// reached.
    ///
    /// # Errors
    /// The kernel or the switch refuses; what could be said is said.
    pub async fn reach(&self, peers: BTreeMap<IpAddr, Mac>) -> Result<()> {
        let inner = &self.inner;
        let index = inner.netlink.need_link(SECURE).await?.index;
        let gone = inner.neighbours.fix(peers.clone());
        for address in gone {
            // One that is not there any more is as good as removed.
            let _ = inner.netlink.forget_neighbour(index, address).await;
        }
        for (address, mac) in &peers {
            inner.netlink.set_neighbour(index, *address, *mac).await?;
        }
        inner.neighbours.tell_fixed().await
    }
}
