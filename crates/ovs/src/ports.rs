//! The ports of `icint0`: what they are, which numbers and names they get, and how they are known
//! again after a restart.
//!
//! A port asks for its OpenFlow number, so that it keeps it when ovs-vswitchd starts again.

use crate::database::{InterfacePlan, PortPlan, PortRow};
use crate::error::{Error, Result, tunnel_name};
use crate::names;
use control::projection::Key;
use model::cluster::Cidr;
use model::{ClusterName, Encap, Mac, Member, MemberKind, Net, VmName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of members' ports and gates; tunnels are below, OpenFlow's reserved numbers above.
const NUMBERS: std::ops::Range<u32> = 16..0xff00;

/// `external_ids` value of a tunnel port.
pub(crate) const TUNNEL: &str = "tunnel";
/// `external_ids` value of a gate.
pub(crate) const GATE: &str = "gate";

/// What stands behind a member's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// An internal port with the member's addresses: the host itself.
    Host,
    /// A tap for a VM.
    Vm,
    /// A bridge for a VM whose tap is not ours.
    Bridged,
}

impl PortKind {
    /// The kind that a member needs.
    pub fn of(member: &Member) -> Self {
        match member.kind {
            MemberKind::Vm { ref spec } if spec.libvirt.is_some() => Self::Bridged,
            MemberKind::Vm { .. } => Self::Vm,
            MemberKind::Host => Self::Host,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Vm => "vm",
            Self::Bridged => "bridged",
        }
    }
}

/// What must be known of a port to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) net: Net,
    pub(crate) mac: Mac,
    pub(crate) addresses: Vec<Cidr>,
}

/// A member's port on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What stands behind it.
    pub kind: PortKind,
    /// Its interface.
    pub ifname: String,
    /// Its OpenFlow number on `icint0`.
    pub ofport: u32,
    /// The member's network.
    pub net: Net,
    /// The member's Ethernet address.
    pub mac: Mac,
    /// The member's addresses.
    pub addresses: Vec<Cidr>,
}

/// The ports of ours on `icint0`, as the database had them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) members: BTreeMap<Key, Port>,
    pub(crate) tunnels: BTreeMap<Encap, u32>,
    pub(crate) gpe: Option<u32>,
    /// Ports that nobody needs: gates of an agent that has ended, and what cannot be read.
    pub(crate) stale: Vec<PortRow>,
}

/// Sorts what the database has.
pub(crate) fn read(rows: &[PortRow]) -> Found {
    let mut found = Found::default();
    for row in rows
        .iter()
        .filter(|row| row.bridge == names::INTEGRATION && row.name != names::INTEGRATION)
    {
        let number = row
            .interfaces
            .first()
            .and_then(|interface| interface.requested.or(interface.ofport));
        match row.purpose() {
            Some(TUNNEL) => {
                let encap = [Encap::Vxlan, Encap::Gre, Encap::Geneve]
                    .into_iter()
                    .find(|encap| tunnel_name(*encap) == row.name);
                if row.name == names::GPE {
                    found.gpe = number;
                    continue;
                }
                if let Some((encap, number)) = encap.zip(number) {
                    found.tunnels.insert(encap, number);
                    continue;
                }
            }
            Some(kind @ ("host" | "vm" | "bridged")) => {
                if let Some((key, port)) = number.and_then(|number| read_member(row, kind, number))
                {
                    found.members.insert(key, port);
                    continue;
                }
            }
            // Somebody else's port, made by hand: not ours to remove.
            None => continue,
            Some(_) => {}
        }
        found.stale.push(row.clone());
    }
    found
}

fn read_member(row: &PortRow, kind: &str, ofport: u32) -> Option<(Key, Port)> {
    let cluster = ClusterName::new(row.ids.get(names::CLUSTER)?.as_str()).ok()?;
    let vm = VmName::new(row.ids.get(names::MEMBER)?.as_str()).ok()?;
    let detail: Detail = serde_json::from_str(row.ids.get(names::DETAIL)?).ok()?;
    let kind = match kind {
        "host" => PortKind::Host,
        "bridged" => PortKind::Bridged,
        _ => PortKind::Vm,
    };
    let port = Port {
        kind,
        ifname: row.name.clone(),
        ofport,
        net: detail.net,
        mac: detail.mac,
        addresses: detail.addresses,
    };
    Some(((cluster, vm), port))
}

/// The number of an encapsulation's tunnel port.
pub(crate) fn tunnel_number(encap: Encap) -> u32 {
    match encap {
        Encap::Vxlan => 1,
        Encap::Gre => 2,
        Encap::Geneve => 3,
    }
}

/// The smallest number that is not taken.
pub(crate) fn free_number(taken: &BTreeSet<u32>) -> Result<u32> {
    NUMBERS
        .into_iter()
        .find(|number| !taken.contains(number))
        .ok_or(Error::PortsExhausted)
}

/// The first `vintN` that is not taken.
pub(crate) fn free_internal(taken: &BTreeSet<String>) -> String {
    let mut number = 0;
    loop {
        let name = names::internal(number);
        if !taken.contains(&name) {
            return name;
        }
        number += 1;
    }
}

/// The tunnel port of an encapsulation: where packets go to, and their network, is said by the
/// rules.
pub(crate) fn tunnel_plan(encap: Encap) -> PortPlan {
    let name = tunnel_name(encap);
    let options = [("remote_ip", "flow"), ("key", "flow")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let interface = InterfacePlan {
        name: name.clone(),
        kind: encap.as_str(),
        options: options.into(),
        ofport: Some(tunnel_number(encap)),
        ..Default::default()
    };
    PortPlan {
        name,
        interfaces: vec![interface],
        ids: [(names::KIND.to_owned(), TUNNEL.to_owned())].into(),
        ..Default::default()
    }
}

/// The number of the VXLAN-GPE port.
pub(crate) const GPE_NUMBER: u32 = 4;

/// The port to routers of other LISP sites that speak VXLAN-GPE (UDP port 4790). It is one of layer 3; its
/// packets get an Ethernet header of zeroes, which the rules fill in (ovs-vswitchd.conf.db(5), `packet_type`).
pub(crate) fn gpe_plan() -> PortPlan {
    let options = [
        ("remote_ip", "flow"),
        ("key", "flow"),
        ("exts", "gpe"),
        ("packet_type", "legacy_l3"),
        ("dst_port", "4790"),
    ];
    let interface = InterfacePlan {
        name: names::GPE.to_owned(),
        kind: "vxlan",
        options: options
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ofport: Some(GPE_NUMBER),
        ..Default::default()
    };
    PortPlan {
        name: names::GPE.to_owned(),
        interfaces: vec![interface],
        ids: [(names::KIND.to_owned(), TUNNEL.to_owned())].into(),
        ..Default::default()
    }
}

/// A member's port.
pub(crate) fn member_plan(key: &Key, port: &Port) -> Result<PortPlan> {
    let detail = Detail {
        net: port.net.clone(),
        mac: port.mac,
        addresses: port.addresses.clone(),
    };
    let detail =
        serde_json::to_string(&detail).map_err(|error| Error::Config(error.to_string()))?;
    let internal = port.kind == PortKind::Host;
    let interface = InterfacePlan {
        name: port.ifname.clone(),
        kind: if internal { "internal" } else { "" },
        ofport: Some(port.ofport),
        mac: internal.then_some(port.mac),
        mtu: Some(port.net.mtu),
        ..Default::default()
    };
    let ids = [
        (names::KIND, port.kind.as_str()),
        (names::CLUSTER, key.0.as_str()),
        (names::MEMBER, key.1.as_str()),
        (names::DETAIL, detail.as_str()),
    ];
    Ok(PortPlan {
        name: port.ifname.clone(),
        interfaces: vec![interface],
        ids: ids
            .map(|(id, value)| (id.to_owned(), value.to_owned()))
            .into(),
        ..Default::default()
    })
}

/// A gate's port.
pub(crate) fn gate_plan(ifname: &str, ofport: u32) -> PortPlan {
    let interface = InterfacePlan {
        name: ifname.to_owned(),
        ofport: Some(ofport),
        ..Default::default()
    };
    PortPlan {
        name: ifname.to_owned(),
        interfaces: vec![interface],
        ids: [(names::KIND.to_owned(), GATE.to_owned())].into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::InterfaceRow;

    fn port() -> (Key, Port) {
        let key = (
            ClusterName::new("shop").unwrap(),
            VmName::new("web").unwrap(),
        );
        let port = Port {
            kind: PortKind::Host,
            ifname: "vint0".into(),
            ofport: 16,
            net: Net {
                cluster: key.0.clone(),
                vni: 7,
                encap: Encap::Gre,
                mtu: 1400,
            },
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addresses: vec!["10.77.0.1/24".parse().unwrap()],
        };
        (key, port)
    }

    #[test]
    fn a_port_is_known_again_after_a_restart() {
        let (key, port) = port();
        let plan = member_plan(&key, &port).unwrap();
        let row = PortRow {
            name: plan.name,
            bridge: names::INTEGRATION.into(),
            ids: plan.ids,
            interfaces: vec![InterfaceRow {
                name: "vint0".into(),
                requested: Some(16),
                ..Default::default()
            }],
            ..Default::default()
        };
        let found = read(&[row]);
        assert_eq!(found.members.get(&key), Some(&port));
        assert!(found.stale.is_empty());
    }

    #[test]
    fn a_gate_of_an_earlier_life_is_stale_and_a_foreign_port_is_left_alone() {
        let row = |ids: BTreeMap<String, String>| PortRow {
            name: "x".into(),
            bridge: names::INTEGRATION.into(),
            ids,
            ..Default::default()
        };
        let gate = row(gate_plan("x", 20).ids);
        let foreign = row(BTreeMap::new());
        assert_eq!(read(&[gate, foreign]).stale.len(), 1);
    }
}
