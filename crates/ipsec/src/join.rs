//! Joins the tunnels with a switch that sits beside the kernel's routing.
//!
//! A switch that makes its own tunnels between inner addresses (Open vSwitch with its userspace datapath)
//! looks routes up for itself and sends frames; the IPsec device takes packets. Two rules at the very
//! entrance of the kernel (nftables' `fwd`, family netdev) carry packets between the two. The kernel's
//! own routing, which would deliver what is for the inner address, an address of the host, never sees
//! them: no rule of the routing tables is moved, nothing is made a router, no reverse path is checked, and
//! a firewall that forwards nothing (as Docker sets it up) is no obstacle.

use crate::config::{Config, DEVICE, Switch};
use crate::error::Result;
use daemon::Host;

/// Packets that the port holds while the switch is busy, and the tunnel while charon is.
const QUEUE: &str = "10000";

/// Makes the join. Again after the tunnel's device was new: rules belong to devices.
pub(crate) async fn make(host: &Host, config: &Config, switch: &Switch) -> Result<()> {
    let (inner, mac) = (config.inner.to_string(), mac(switch.mac));
    let port = switch.port.as_str();
    // The other end is a switch: it is told all addresses, and asks nothing.
    let set = ["link", "set", port, "arp", "off", "txqueuelen", QUEUE, "up"];
    host.run("ip", &set).await?;
    host.run("ip", &["link", "set", DEVICE, "txqueuelen", QUEUE])
        .await?;
    let neighbour = [
        "neigh",
        "replace",
        &inner,
        "lladdr",
        &mac,
        "dev",
        port,
        "nud",
        "permanent",
    ];
    host.run("ip", &neighbour).await?;
    host.run_with("nft", &["-f", "-"], &rules(config, switch))
        .await?;
    Ok(())
}

/// Undoes it. What is not there is no error: devices take their rules with them.
pub(crate) async fn undo(host: &Host, config: &Config, switch: &Switch) {
    let _ = host
        .run("nft", &["delete", "table", "netdev", &table(switch)])
        .await;
    let (inner, port) = (config.inner.to_string(), &switch.port);
    let _ = host.run("ip", &["neigh", "del", &inner, "dev", port]).await;
}

/// The rules as one transaction that replaces former ones.
fn rules(config: &Config, switch: &Switch) -> String {
    let (table, port, inner) = (table(switch), &switch.port, config.inner);
    let family = if inner.is_ipv4() { "ip" } else { "ip6" };
    format!(
        r#"table netdev {table} {{ }}
delete table netdev {table}
table netdev {table} {{
  chain from-tunnels {{
    type filter hook ingress device "{DEVICE}" priority 0; policy accept;
    {family} daddr {inner} fwd {family} to {inner} device "{port}"
  }}
  chain from-switch {{
    type filter hook ingress device "{port}" priority 0; policy drop;
    {family} saddr {inner} fwd {family} to {family} daddr device "{DEVICE}"
  }}
}}
"#
    )
}

/// nftables takes no hyphens everywhere, so none is in the name.
fn table(switch: &Switch) -> String {
    let name: String = switch
        .port
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("ipsec_{name}")
}

fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
