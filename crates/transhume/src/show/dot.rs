//! The topology for graphviz (dot(1)): sites as boxes around their hosts, tunnels as arrows.

use super::vm_state;
use crate::units;
use api::view::{Topology, TopologyHost, Tunnel};
use std::collections::BTreeSet;

pub(crate) fn dot(topology: &Topology) -> String {
    let mut text = String::from("digraph topology {\n  rankdir=LR;\n  node [shape=box];\n");
    for site in &topology.sites {
        let name = quoted(&format!("cluster_{}", site.name));
        let label = quoted(site.name.as_str());
        text.push_str(&format!("  subgraph {name} {{\n    label={label};\n"));
        for host in &site.hosts {
            let style = if host.up { "solid" } else { "dashed" };
            let (name, label) = (quoted(host.name.as_str()), quoted(&host_label(host)));
            text.push_str(&format!("    {name} [label={label}, style={style}];\n"));
        }
        text.push_str("  }\n");
    }
    let routers: BTreeSet<String> = topology
        .tunnels
        .iter()
        .filter(|tunnel| tunnel.to.is_none())
        .map(|tunnel| tunnel.address.to_string())
        .collect();
    for router in routers {
        let behind = topology
            .outside
            .iter()
            .filter(|one| one.router.to_string() == router);
        let mut label = format!("router {router}");
        behind.for_each(|one| label.push_str(&format!("\n{}/{}", one.cluster, one.name)));
        let (name, label) = (quoted(&router), quoted(&label));
        text.push_str(&format!("  {name} [label={label}, shape=ellipse];\n"));
    }
    topology
        .tunnels
        .iter()
        .for_each(|one| arrow(&mut text, one));
    for one in &topology.migrations {
        let said = format!(
            "{}: {} moves from {} to {}",
            one.id, one.cluster, one.from, one.to
        );
        let (name, label) = (quoted(one.id.as_str()), quoted(&said));
        text.push_str(&format!("  {name} [label={label}, shape=note];\n"));
    }
    text.push_str("}\n");
    text
}

fn host_label(host: &TopologyHost) -> String {
    let mut label = format!("{}\n{}", host.name, host.underlay);
    for member in &host.members {
        let state = member.vm.map_or("host itself", vm_state);
        label.push_str(&format!("\n{}/{} {state}", member.cluster, member.name));
    }
    label
}

fn arrow(text: &mut String, tunnel: &Tunnel) {
    let to = match &tunnel.to {
        Some(host) => host.to_string(),
        None => tunnel.address.to_string(),
    };
    let mut label = format!(
        "{} {}\n{}",
        tunnel.cluster,
        tunnel.carried,
        units::bytes(tunnel.sent.bytes as f64)
    );
    if let Some(now) = tunnel.sends {
        label.push_str(&format!("\n{}", units::bits(now.bits_s)));
    }
    let style = match tunnel.up {
        true => "",
        false => ", color=red, style=dashed",
    };
    let (from, to, label) = (quoted(tunnel.from.as_str()), quoted(&to), quoted(&label));
    text.push_str(&format!("  {from} -> {to} [label={label}{style}];\n"));
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hosts_are_nodes_in_their_sites_and_tunnels_arrows() {
        let sent = json!({"packets": 10, "bytes": 1_200_000});
        let value = json!({
            "sites": [{"name": "north", "provider": "kvm", "up": true, "hosts": [
                {"name": "north-1", "up": true, "underlay": "192.0.2.10", "members": []}]}],
            "networks": [],
            "tunnels": [
                {"from": "north-1", "to": "south-1", "address": "192.0.2.20", "cluster": "shop",
                 "carried": "vxlan", "up": false, "sent": sent},
                {"from": "north-1", "to": null, "address": "203.0.113.7", "cluster": "shop",
                 "carried": "gpe", "up": true, "sent": sent}],
        });
        let text = dot(&serde_json::from_value(value).unwrap());
        assert_eq!(
            text,
            r#"digraph topology {
  rankdir=LR;
  node [shape=box];
  subgraph "cluster_north" {
    label="north";
    "north-1" [label="north-1\n192.0.2.10", style=solid];
  }
  "203.0.113.7" [label="router 203.0.113.7", shape=ellipse];
  "north-1" -> "south-1" [label="shop vxlan\n1.2 MB", color=red, style=dashed];
  "north-1" -> "203.0.113.7" [label="shop gpe\n1.2 MB"];
}
"#
        );
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
    }
}
