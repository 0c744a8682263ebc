//! `icbr0`: the bridge that carries the tunnels, its bond of uplinks, and the host's own addresses.
//!
//! Database part ([`plan`]): bridge with a pinned Ethernet address, forwarding by itself; one
//! uplink as a plain port, several as `icbond0`. Kernel part ([`settle`]): addresses and routes on
//! the bridge's own port. The kernel part is lost whenever that port is made anew, so it is checked
//! after each start of ovs-vswitchd. The uplinks themselves say nothing:
//! otherwise their kernel stack answers ARP for the bridge's address with another MAC.

use crate::config::{BondMode, HostConfig, LEAST_INNER_MTU, MtuBudget};
use crate::database::{Database, InterfacePlan, PortPlan, PortRow};
use crate::error::{Error, Result};
use crate::names::{BOND, UNDERLAY};
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::tap::no_ipv6;
use crate::unixctl::Unixctl;
use model::Encap;
use ovsdb::{Op, Row};
use std::time::{Duration, Instant};

/// Reads what the uplinks carry, and refuses a host that cannot carry the smallest useful packet.
pub(crate) async fn budget(netlink: &Netlink, config: &HostConfig) -> Result<MtuBudget> {
    let mut narrowest: Option<(String, u16)> = None;
    for uplink in &config.uplinks {
        let found = u16::try_from(netlink.need_link(uplink).await?.mtu).unwrap_or(u16::MAX);
        if found < config.uplink_mtu {
            return Err(Error::Config(format!(
                "uplink {uplink} carries {found} bytes, uplink_mtu says {}; raise the link's MTU, or lower uplink_mtu",
                config.uplink_mtu
            )));
        }
        if narrowest.as_ref().is_none_or(|(_, least)| found < *least) {
            narrowest = Some((uplink.clone(), found));
        }
    }
    let (uplink, found) = narrowest.unwrap_or_else(|| ("the host".to_owned(), u16::MAX));
    let outer = if config.uplink_mtu == 0 {
        found
    } else {
        config.uplink_mtu
    };
    let secured = config.secured.as_ref();
    let carries = secured.map_or(outer, |secured| secured.leaves(outer));
    let budget = MtuBudget {
        uplink,
        carries,
        taken: outer.saturating_sub(carries),
        v6: config.underlay_has_v6(),
    };
    for encap in [Encap::Vxlan, Encap::Gre, Encap::Geneve] {
        budget.check(LEAST_INNER_MTU, encap)?;
    }
    Ok(budget)
}

/// What must change in the database so that the bridge is as configured. Its own interface carries what the
/// uplinks do: the switch's tunnels do not pass it, but who tries how large a packet may be does.
pub(crate) fn plan(
    database: &Database,
    config: &HostConfig,
    carries: u16,
    bridges: &[String],
    ports: &[PortRow],
) -> Vec<Op> {
    let exists = bridges.iter().any(|name| name == UNDERLAY);
    let columns = Row::new()
        .with("datapath_type", "netdev")
        .with("fail_mode", "standalone")
        .with("other_config", [("hwaddr", config.bridge_mac.to_string())]);
    let mut ops = database.bridge(exists, UNDERLAY, columns);

    let wanted = uplink_port(config);
    let mut present = false;
    for port in ports
        .iter()
        .filter(|port| port.bridge == UNDERLAY && port.name != UNDERLAY)
    {
        let same = wanted.as_ref().is_some_and(|wanted| {
            port.name == wanted.name
                && port.interfaces.len() == wanted.interfaces.len()
                && wanted
                    .interfaces
                    .iter()
                    .all(|plan| port.interfaces.iter().any(|row| row.name == plan.name))
        });
        if same {
            present = true;
        } else {
            ops.push(database.remove_port(UNDERLAY, port.uuid));
        }
    }
    match wanted {
        Some(wanted) if present => ops.push(database.update_port(&wanted.name, wanted.columns)),
        Some(wanted) => ops.extend(database.add_ports(UNDERLAY, &[wanted])),
        None => {}
    }
    if !config.uplinks.is_empty() {
        ops.push(database.request_mtu(UNDERLAY, carries));
    }
    ops
}

fn uplink_port(config: &HostConfig) -> Option<PortPlan> {
    let interfaces: Vec<_> = config
        .uplinks
        .iter()
        .map(|name| InterfacePlan {
            name: name.clone(),
            ..Default::default()
        })
        .collect();
    match config.uplinks.as_slice() {
        [] => None,
        [only] => Some(PortPlan {
            name: only.clone(),
            interfaces,
            ..Default::default()
        }),
        _ => Some(PortPlan {
            name: BOND.to_owned(),
            interfaces,
            columns: bond(config.bond),
            ..Default::default()
        }),
    }
}

/// Carrier loss moves the traffic at once, and so does its return: no delay either way.
fn bond(mode: BondMode) -> Row {
    let row = Row::new()
        .with("bond_mode", mode.as_str())
        .with("bond_updelay", 0)
        .with("bond_downdelay", 0);
    match mode {
        BondMode::ActiveBackup | BondMode::BalanceSlb => row
            .with("lacp", "off")
            .with("other_config", [("bond-detect-mode", "carrier")]),
        // A switch that does not (yet) speak LACP still carries the traffic of one uplink.
        BondMode::BalanceTcp => row.with("lacp", "active").with(
            "other_config",
            [
                ("bond-detect-mode", "carrier"),
                ("lacp-time", "fast"),
                ("lacp-fallback-ab", "true"),
            ],
        ),
    }
}

/// Makes links, addresses and routes as configured, and waits until ovs-vswitchd has seen them.
pub(crate) async fn settle(
    netns: &Netns,
    netlink: &Netlink,
    control: &Unixctl,
    config: &HostConfig,
) -> Result<()> {
    let own: Vec<_> = config.underlay.iter().map(|cidr| cidr.address).collect();
    for uplink in &config.uplinks {
        netns
            .sysctl(format!("ipv6/conf/{uplink}/disable_ipv6"), "1")
            .await
            .or_else(no_ipv6)?;
        netns
            .sysctl(format!("ipv4/conf/{uplink}/arp_ignore"), "1")
            .await?;
        let index = netlink.need_link(uplink).await?.index;
        netlink.remove_addresses(index, &own).await?;
        netlink.up_silent(index).await?;
    }
    netns
        .sysctl(format!("ipv4/conf/{UNDERLAY}/arp_ignore"), "1")
        .await?;
    for (setting, value) in [("accept_dad", "0"), ("accept_ra", "0")] {
        netns
            .sysctl(format!("ipv6/conf/{UNDERLAY}/{setting}"), value)
            .await
            .or_else(no_ipv6)?;
    }
    let index = netlink.need_link(UNDERLAY).await?.index;
    netlink.up(index).await?;
    netlink.keep_addresses(index, &config.underlay).await?;
    for address in &config.underlay {
        netlink.add_address(index, *address).await?;
    }
    for route in &config.routes {
        if let Some(gateway) = config.gateway_for(route.address) {
            netlink.add_route(*route, gateway.address, index).await?;
        }
    }
    wait_for_routes(control, config).await
}

/// ovs-vswitchd copies the kernel's routes when it is told of a change. A tunnel packet before that
/// would be dropped.
async fn wait_for_routes(control: &Unixctl, config: &HostConfig) -> Result<()> {
    let begun = Instant::now();
    let inside = config.secured.as_ref().map(|secured| &secured.address);
    let networks = config.underlay.iter().chain(&config.routes).chain(inside);
    for network in networks {
        let address = network.address.to_string();
        loop {
            // A refusal means that there is no route yet.
            match control.run("ovs/route/lookup", &[&address]).await {
                Ok(_) => break,
                Err(Error::ControlRefused { .. }) if begun.elapsed() < Duration::from_secs(2) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
