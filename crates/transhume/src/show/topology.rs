//! The topology as a tree.

use super::flows::rate;
use super::{joined, state, up, vm_state};
use crate::units;
use api::view::{PlacedMember, Topology, Tunnel};
use model::flows::Rate;
use model::links::{PortRole, PortSeen};

pub(crate) fn topology(topology: &Topology) -> String {
    let mut text = String::new();
    for site in &topology.sites {
        text.push_str(&format!(
            "{}  {} site, {}\n",
            site.name,
            site.provider,
            up(site.up)
        ));
        for (index, host) in site.hosts.iter().enumerate() {
            let last = index + 1 == site.hosts.len();
            let title = format!("{}  {}, {}", host.name, host.underlay, up(host.up));
            branch(&mut text, "", last, &title);
            let mut below: Vec<String> = host.members.iter().map(member).collect();
            below.extend(host.ports.iter().filter_map(port));
            for (index, one) in below.iter().enumerate() {
                let indent = if last { "   " } else { "│  " };
                branch(&mut text, indent, index + 1 == below.len(), one);
            }
        }
    }
    if !topology.networks.is_empty() {
        text.push_str("networks\n");
    }
    for (index, network) in topology.networks.iter().enumerate() {
        let title = format!(
            "{}  {} {}, MTU {}: {}",
            network.cluster,
            network.encap.as_str(),
            network.vni,
            network.mtu,
            joined(&network.hosts, ", ")
        );
        branch(&mut text, "", index + 1 == topology.networks.len(), &title);
    }
    let outside = topology.outside.iter().map(|one| {
        let by = if one.gpe { "VXLAN-GPE" } else { "LISP" };
        let ips = joined(&one.ips, " ");
        format!(
            "{}/{}  {ips}, by {by} at {}",
            one.cluster, one.name, one.router
        )
    });
    part(&mut text, "tunnels", topology.tunnels.iter().map(tunnel));
    part(&mut text, "outside", outside);
    let migrations = topology.migrations.iter().map(|one| {
        let (from, to) = (&one.from, &one.to);
        format!(
            "{}  {} from {from} to {to}, {}",
            one.id,
            one.cluster,
            state(one.state)
        )
    });
    part(&mut text, "migrations", migrations);
    text
}

/// A title with branches; nothing where there are none. A second line of a branch is below the first.
fn part(text: &mut String, title: &str, all: impl Iterator<Item = String>) {
    let all: Vec<String> = all.collect();
    if !all.is_empty() {
        text.push_str(&format!("{title}\n"));
    }
    for (index, one) in all.iter().enumerate() {
        let last = index + 1 == all.len();
        let mut lines = one.lines();
        branch(text, "", last, lines.next().unwrap_or_default());
        let indent = if last { "   " } else { "│  " };
        lines.for_each(|line| text.push_str(&format!("{indent}   {line}\n")));
    }
}

fn tunnel(tunnel: &Tunnel) -> String {
    let to = match &tunnel.to {
        Some(host) => host.to_string(),
        None => format!("router {}", tunnel.address),
    };
    let (cluster, carried) = (&tunnel.cluster, &tunnel.carried);
    let mut text = format!(
        "{} to {to}  {cluster}, {carried}, {}",
        tunnel.from,
        up(tunnel.up)
    );
    text.push_str(&format!(
        ", {} sent",
        units::bytes(tunnel.sent.bytes as f64)
    ));
    if let Some(now) = tunnel.sends {
        text.push_str(&format!("\n{}", rate(now)));
    }
    if let Some(underlay) = &tunnel.underlay {
        text.push_str(&format!("\ninside {underlay}"));
    }
    if let Some(why) = &tunnel.why {
        text.push_str(&format!("\n{why}"));
    }
    text
}

/// Links to the underlay and tunnel ports; members are shown above.
fn port(port: &PortSeen) -> Option<String> {
    let role = match &port.role {
        PortRole::Uplink => "uplink".to_owned(),
        PortRole::Tunnels { encap } => format!("{} tunnels", encap.as_str()),
        PortRole::Gpe => "VXLAN-GPE".to_owned(),
        PortRole::Gateway { cluster } => format!("LISP gateway of {cluster}"),
        PortRole::Member { .. } | PortRole::Other => return None,
    };
    let now = |rate: Option<Rate>| {
        let now = rate.map(|rate| format!(" ({})", units::bits(rate.bits_s)));
        now.unwrap_or_default()
    };
    let dropped = match port.dropped {
        0 => String::new(),
        packets => format!(", {packets} dropped"),
    };
    let link = match &port.role {
        // A tunnel's port has no link; the switch's word for it means nothing.
        PortRole::Uplink => format!(", {}", up(port.up)),
        _ => String::new(),
    };
    Some(format!(
        "{}  {role}{link}, in {}{}, out {}{}{dropped}",
        port.name,
        units::bytes(port.received.bytes as f64),
        now(port.receives),
        units::bytes(port.sent.bytes as f64),
        now(port.sends),
    ))
}

fn branch(text: &mut String, indent: &str, last: bool, title: &str) {
    let fork = if last { "└─" } else { "├─" };
    text.push_str(&format!("{indent}{fork} {title}\n"));
}

fn member(member: &PlacedMember) -> String {
    format!(
        "{}/{}  {}, {}, epoch {}",
        member.cluster,
        member.name,
        member.vm.map_or("host itself", vm_state),
        joined(&member.ips, " "),
        member.epoch.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tree_shows_sites_hosts_members_and_networks() {
        let value = json!({
            "sites": [{"name": "north", "provider": "kvm", "up": true, "hosts": [
                {"name": "north-1", "up": true, "underlay": "192.0.2.10", "members": [
                    {"cluster": "shop", "name": "shop-1", "mac": "52:54:00:77:00:0b",
                     "ips": ["10.77.0.11", "fd77::11"], "epoch": 3, "vm": "running"},
                    {"cluster": "shop", "name": "gate", "mac": "52:54:00:77:00:64",
                     "ips": ["10.77.0.100"], "epoch": 1, "vm": null}]},
                {"name": "north-2", "up": false, "underlay": "192.0.2.11", "members": []}]}],
            "networks": [{"cluster": "shop", "vni": 7, "encap": "vxlan", "mtu": 1450,
                          "hosts": ["north-1"]}],
            "tunnels": [{"from": "north-1", "to": "south-1", "address": "192.0.2.20",
                         "cluster": "shop", "carried": "vxlan", "up": false,
                         "why": "the agent of south-1 is away",
                         "sent": {"packets": 9, "bytes": 1200}}],
            "migrations": [{"id": "m-0001", "cluster": "shop", "from": "north", "to": "south",
                            "state": "hold"}],
        });
        let text = topology(&serde_json::from_value(value).unwrap());
        assert_eq!(
            text,
            "\
north  kvm site, up
├─ north-1  192.0.2.10, up
│  ├─ shop/shop-1  running, 10.77.0.11 fd77::11, epoch 3
│  └─ shop/gate  host itself, 10.77.0.100, epoch 1
└─ north-2  192.0.2.11, down
networks
└─ shop  vxlan 7, MTU 1450: north-1
tunnels
└─ north-1 to south-1  shop, vxlan, down, 1.2 kB sent
      the agent of south-1 is away
migrations
└─ m-0001  shop from north to south, on hold
"
        );
    }
}
