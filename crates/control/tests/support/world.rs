//! Hosts with rules, joined by tunnels.

use super::packet::{Packet, Tunnel};
use super::switch::{self, Table};
use control::projection::{HostView, Key, RuleSet, rules};
use control::{Arrivals, Directory};
use model::{ClusterName, Encap, HostName, Locator, Mac, Member, MemberKind, Net, VmName};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tunnel ports are the same numbers on every host.
pub const TUNNELS: [(Encap, u32); 3] = [(Encap::Vxlan, 1), (Encap::Gre, 2), (Encap::Geneve, 3)];
/// First port of an endpoint.
pub const FIRST_PORT: u32 = 10;
/// A queue port that no endpoint has.
pub const QUEUE: u32 = 9;
/// Longer than any path that a packet may take.
const HOPS: u32 = 4;

pub fn host(number: u8) -> HostName {
    HostName::new(format!("h{number}")).unwrap()
}

/// Odd hosts have IPv4 underlays, even ones IPv6.
pub fn locator(number: u8) -> Locator {
    let address = match number % 2 {
        1 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)),
        _ => IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            0,
            0,
            0,
            0,
            0,
            u16::from(number),
        )),
    };
    Locator {
        host: host(number),
        address,
    }
}

pub fn key(cluster: u8, vm: u8) -> Key {
    (
        ClusterName::new(format!("c{cluster}")).unwrap(),
        VmName::new(format!("m{vm}")).unwrap(),
    )
}

pub fn mac(vm: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, vm])
}

pub fn ipv4(vm: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, vm)
}

pub fn ipv6(vm: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(vm))
}

pub fn member(vm: u8) -> Member {
    let addresses = [format!("{}/24", ipv4(vm)), format!("{}/64", ipv6(vm))];
    Member {
        name: VmName::new(format!("m{vm}")).unwrap(),
        host: host(1),
        mac: mac(vm),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}

/// Clusters with members on hosts; the addresses are the same in every cluster.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For each cluster its encapsulation and its members' hosts; members count from 1.
    pub clusters: Vec<(Encap, Vec<u8>)>,
}

impl Plan {
    pub fn directory(&self) -> Directory {
        let mut directory = Directory::new();
        for (number, (encap, hosts)) in (1u8..).zip(&self.clusters) {
            let (cluster, _) = key(number, 1);
            let net = Net {
                cluster: cluster.clone(),
                vni: 100 + u32::from(number),
                encap: *encap,
                mtu: 1500,
            };
            directory.declare(net).unwrap();
            for (vm, host) in (1u8..).zip(hosts) {
                directory
                    .link(&cluster, &member(vm), locator(*host))
                    .unwrap();
            }
        }
        directory
    }

    pub fn keys(&self) -> Vec<(u8, u8)> {
        let clusters = (1u8..).zip(&self.clusters);
        clusters
            .flat_map(|(cluster, (_, hosts))| (1..=hosts.len() as u8).map(move |vm| (cluster, vm)))
            .collect()
    }
}

/// The port of every host's gateway.
pub const GATEWAY: u32 = 8;

/// Every host's VXLAN-GPE port.
pub const GPE: u32 = 7;

/// A cluster's member on no host of ours.
pub fn outside(directory: &mut Directory, cluster: u8, vm: u8, gpe: bool) {
    let address = Ipv4Addr::new(203, 0, 113, vm).into();
    let at = match gpe {
        true => Locator::outside_gpe(address),
        false => Locator::outside(address),
    };
    directory.link(&key(cluster, 1).0, &member(vm), at).unwrap();
}

/// A port number that is the same wherever the endpoint is.
pub fn port(cluster: u8, vm: u8) -> u32 {
    FIRST_PORT + u32::from(cluster) * 100 + u32::from(vm)
}

/// One host's view of a directory, every network known, every endpoint that is here with a port.
pub fn view(directory: &Directory, plan: &Plan, number: u8) -> HostView {
    let mut view = HostView::new(host(number), locator(number).address);
    view.tunnels = TUNNELS.into();
    view.nets = directory
        .nets()
        .map(|net| (net.cluster.clone(), net.clone()))
        .collect();
    view.entries = directory
        .entries()
        .map(|entry| (entry.key(), entry.clone()))
        .collect();
    for (cluster, vm) in plan.keys() {
        if view.entries[&key(cluster, vm)].locator.host == view.host {
            view.ports.insert(key(cluster, vm), port(cluster, vm));
        }
    }
    view
}

pub struct World {
    pub views: BTreeMap<u8, HostView>,
    rules: BTreeMap<u8, RuleSet>,
    pub tables: BTreeMap<u8, RefCell<Table>>,
}

impl World {
    pub fn new(views: BTreeMap<u8, HostView>) -> Self {
        let rules = views
            .iter()
            .map(|(number, view)| (*number, rules(view)))
            .collect();
        let tables = views
            .keys()
            .map(|number| (*number, RefCell::default()))
            .collect();
        Self {
            views,
            rules,
            tables,
        }
    }

    /// All hosts agree with the directory.
    pub fn agreed(plan: &Plan, hosts: u8) -> Self {
        let directory = plan.directory();
        Self::new(
            (1..=hosts)
                .map(|number| (number, view(&directory, plan, number)))
                .collect(),
        )
    }

    pub fn replace_rules(&mut self, number: u8, rules: RuleSet) {
        self.rules.insert(number, rules);
    }

    pub fn rules(&self, number: u8) -> &RuleSet {
        &self.rules[&number]
    }

    /// Puts a packet into a host's VXLAN-GPE port, as one of this network; returns as [`World::send`] does.
    pub fn arrive(&self, number: u8, vni: u32, packet: Packet) -> Vec<(u8, u32, Packet)> {
        let mut edge = Vec::new();
        let start = Packet {
            in_port: GPE,
            reg0: 0,
            reg1: 0,
            state: 0,
            tunnel: Tunnel {
                id: vni,
                src: Some(Ipv4Addr::new(203, 0, 113, 99).into()),
                ..Tunnel::default()
            },
            ..packet
        };
        self.step(number, start, 0, &mut edge);
        edge
    }

    /// Puts a packet into a host's port; returns every host, port and packet that comes out of
    /// the world's edge.
    pub fn send(&self, number: u8, in_port: u32, packet: Packet) -> Vec<(u8, u32, Packet)> {
        let mut edge = Vec::new();
        let start = Packet {
            in_port,
            reg0: 0,
            reg1: 0,
            state: 0,
            tunnel: Tunnel::default(),
            ..packet
        };
        self.step(number, start, 0, &mut edge);
        edge
    }

    fn step(&self, number: u8, packet: Packet, hops: u32, edge: &mut Vec<(u8, u32, Packet)>) {
        assert!(hops < HOPS, "a packet runs in circles: {packet:?}");
        for (port, sent) in switch::run_with(&self.rules[&number], &self.tables[&number], packet) {
            if !TUNNELS.iter().any(|(_, tunnel)| *tunnel == port) {
                edge.push((number, port, sent));
                continue;
            }
            let to = match (sent.tunnel.dst4, sent.tunnel.dst6) {
                (Some(ip), None) => IpAddr::V4(ip),
                (None, Some(ip)) => IpAddr::V6(ip),
                other => panic!("a tunnel needs exactly one destination: {other:?}"),
            };
            let from = self.views[&number].underlay;
            let Some((there, _)) = self.views.iter().find(|(_, view)| view.underlay == to) else {
                continue;
            };
            assert_ne!(*there, number, "a tunnel to itself: {sent:?}");
            let mut arriving = Packet {
                in_port: port,
                reg0: 0,
                reg1: 0,
                state: 0,
                ..sent
            };
            // The receiver sees the sender as source and itself as destination.
            let own = match to {
                IpAddr::V4(ip) => (Some(ip), None),
                IpAddr::V6(ip) => (None, Some(ip)),
            };
            arriving.tunnel = Tunnel {
                id: sent.tunnel.id,
                src: Some(from),
                dst4: own.0,
                dst6: own.1,
            };
            self.step(*there, arriving, hops + 1, edge);
        }
    }

    /// Changes a host's view, and its rules with it.
    pub fn change(&mut self, number: u8, change: impl FnOnce(&mut HostView)) {
        if let Some(view) = self.views.get_mut(&number) {
            change(view);
            let rules = rules(view);
            self.rules.insert(number, rules);
        }
    }

    pub fn set_arrivals(&mut self, number: u8, key: &Key, arrivals: Arrivals) {
        if let Some(view) = self.views.get_mut(&number) {
            view.arrivals.insert(key.clone(), arrivals);
            let rules = rules(view);
            self.rules.insert(number, rules);
        }
    }
}
