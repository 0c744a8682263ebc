//! The topology as a tree.

use super::{joined, up, vm_state};
use api::view::{PlacedMember, Topology};

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
            for (index, one) in host.members.iter().enumerate() {
                let indent = if last { "   " } else { "│  " };
                branch(
                    &mut text,
                    indent,
                    index + 1 == host.members.len(),
                    &member(one),
                );
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
    text
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
"
        );
    }
}
