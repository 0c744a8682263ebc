//! Sites, their hosts and what is on them, as one tree.

use super::{Cluster, Endpoint, Host, OutsideMember, Site, Tunnel, Underway, Vm};
use crate::schema;
use model::links::PortSeen;
use model::vm::VmState;
use model::{ClusterName, Encap, Epoch, HostName, Mac, SiteName, VmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use utoipa::ToSchema;

/// Everything, from sites down to members, and the networks across.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Topology {
    /// The sites, by name.
    pub sites: Vec<TopologySite>,
    /// The clusters' networks, by name.
    pub networks: Vec<Network>,
    /// What each host sends to each other one.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// Endpoints on no host of ours.
    #[serde(default)]
    pub outside: Vec<OutsideMember>,
    /// Migrations that have not ended.
    #[serde(default)]
    pub migrations: Vec<Underway>,
}

/// A site and its hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopologySite {
    /// Name.
    #[schema(value_type = String, example = "north")]
    pub name: SiteName,
    /// What kind of cloud it is.
    pub provider: String,
    /// Whether at least one of its hosts is connected.
    pub up: bool,
    /// Its hosts.
    pub hosts: Vec<TopologyHost>,
}

/// A host and what is on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopologyHost {
    /// Name.
    #[schema(value_type = String, example = "north-1")]
    pub name: HostName,
    /// Whether its agent is connected.
    pub up: bool,
    /// Underlay address of its tunnels.
    #[schema(value_type = String, example = "192.0.2.10")]
    pub underlay: IpAddr,
    /// The members whose locator is this host.
    pub members: Vec<PlacedMember>,
    /// Its switch's ports; none while its agent is away.
    #[serde(default)]
    #[schema(value_type = Vec<schema::PortSeen>, required = false)]
    pub ports: Vec<PortSeen>,
}

/// A member at its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlacedMember {
    /// Its cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// Name.
    #[schema(value_type = String, example = "shop-1")]
    pub name: VmName,
    /// Ethernet address.
    #[schema(value_type = String, example = "52:54:00:77:00:0b")]
    pub mac: Mac,
    /// Addresses.
    #[schema(value_type = Vec<String>)]
    pub ips: Vec<IpAddr>,
    /// The version of its place.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// What the VM does; none for a host that is a member itself.
    #[schema(value_type = Option<schema::VmState>)]
    pub vm: Option<VmState>,
}

/// The overlay network of a cluster: every two of its hosts have a tunnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// The cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// Virtual network identifier.
    pub vni: u32,
    /// How frames travel between the hosts.
    #[schema(value_type = schema::Encap)]
    pub encap: Encap,
    /// Largest IP packet of a member, bytes.
    pub mtu: u16,
    /// The hosts with a member.
    #[schema(value_type = Vec<String>)]
    pub hosts: Vec<HostName>,
}

impl Topology {
    /// Puts the separate answers together. Members whose host is unknown are left out.
    pub fn assemble(
        sites: Vec<Site>,
        hosts: Vec<Host>,
        clusters: Vec<Cluster>,
        vms: Vec<Vm>,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let state = |endpoint: &Endpoint| {
            vms.iter()
                .find(|vm| vm.cluster == endpoint.entry.cluster && vm.name == endpoint.entry.vm)
                .map(|vm| vm.state)
        };
        let networks = clusters
            .into_iter()
            .map(|cluster| {
                let hosts: BTreeSet<HostName> = endpoints
                    .iter()
                    .filter(|endpoint| endpoint.entry.cluster == cluster.spec.name)
                    .filter(|endpoint| !endpoint.entry.locator.is_outside())
                    .map(|endpoint| endpoint.entry.locator.host.clone())
                    .collect();
                Network {
                    cluster: cluster.spec.name,
                    vni: cluster.spec.vni,
                    encap: cluster.spec.encap,
                    mtu: cluster.mtu,
                    hosts: hosts.into_iter().collect(),
                }
            })
            .collect();
        let on = |host: &HostName| -> Vec<PlacedMember> {
            endpoints
                .iter()
                .filter(|endpoint| endpoint.entry.locator.host == *host)
                .map(|endpoint| PlacedMember {
                    cluster: endpoint.entry.cluster.clone(),
                    name: endpoint.entry.vm.clone(),
                    mac: endpoint.entry.mac,
                    ips: endpoint.entry.ips.clone(),
                    epoch: endpoint.entry.epoch,
                    vm: state(endpoint),
                })
                .collect()
        };
        let sites = sites
            .into_iter()
            .map(|site| TopologySite {
                hosts: hosts
                    .iter()
                    .filter(|host| host.site == site.name)
                    .map(|host| TopologyHost {
                        name: host.name.clone(),
                        up: host.up,
                        underlay: host.underlay,
                        members: on(&host.name),
                        ports: Vec::new(),
                    })
                    .collect(),
                name: site.name,
                provider: site.provider,
                up: site.up,
            })
            .collect();
        let outside = endpoints
            .iter()
            .filter(|endpoint| endpoint.entry.locator.is_outside());
        Self {
            sites,
            networks,
            tunnels: Vec::new(),
            outside: outside.map(OutsideMember::of).collect(),
            migrations: Vec::new(),
        }
    }
}
