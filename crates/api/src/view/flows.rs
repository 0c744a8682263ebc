//! What switches hold and carry: one host's rules, and what is added to the tree.

use super::{Endpoint, Topology, TopologyHost};
use crate::schema;
use model::flows::{Counted, FlowRow, Rate};
use model::links::Links;
use model::migration::Migration;
use model::{ClusterName, HostName, MigrationId, SiteName, VmName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use utoipa::ToSchema;

/// The rules of a host's switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flows {
    /// The host.
    #[schema(value_type = String, example = "north-1")]
    pub host: HostName,
    /// The directory changed while the switch was read: marks may be of both.
    pub unsettled: bool,
    /// By table, then priority from the highest; those that are missing among them.
    #[schema(value_type = Vec<schema::FlowRow>)]
    pub rules: Vec<FlowRow>,
}

/// What one host sends to another, or to a router outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tunnel {
    /// The host that sends.
    #[schema(value_type = String, example = "north-1")]
    pub from: HostName,
    /// The host that it is sent to; none for a router outside.
    #[schema(value_type = Option<String>)]
    pub to: Option<HostName>,
    /// The underlay address that it is sent to.
    #[schema(value_type = String, example = "192.0.2.20")]
    pub address: IpAddr,
    /// The network whose packets they are.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// How they are carried: `vxlan`, `gre`, `geneve`, `gpe`.
    pub carried: String,
    /// Whether a packet would get through, as far as both ends know.
    pub up: bool,
    /// Why not, or why nobody knows.
    #[serde(default)]
    pub why: Option<String>,
    /// What secures and carries it between the sites, where the controller knows.
    #[serde(default)]
    pub underlay: Option<String>,
    /// What has been sent, by the rules that lead there now.
    #[schema(value_type = schema::Counted)]
    pub sent: Counted,
    /// What is sent now; none without a second reading.
    #[serde(default)]
    #[schema(value_type = Option<schema::Rate>)]
    pub sends: Option<Rate>,
}

/// An endpoint on no host of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutsideMember {
    /// Its cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// Name.
    #[schema(value_type = String, example = "branch")]
    pub name: VmName,
    /// Addresses.
    #[schema(value_type = Vec<String>)]
    pub ips: Vec<IpAddr>,
    /// The router that it is reached by.
    #[schema(value_type = String, example = "203.0.113.7")]
    pub router: IpAddr,
    /// By VXLAN-GPE; else by LISP's own data packets.
    pub gpe: bool,
}

impl OutsideMember {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let entry = &endpoint.entry;
        Self {
            cluster: entry.cluster.clone(),
            name: entry.vm.clone(),
            ips: entry.ips.clone(),
            router: entry.locator.address,
            gpe: entry.locator.is_gpe(),
        }
    }
}

/// A migration that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Underway {
    /// Its name.
    #[schema(value_type = String, example = "m-0001")]
    pub id: MigrationId,
    /// The cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// Where it comes from.
    #[schema(value_type = String, example = "north")]
    pub from: SiteName,
    /// Where it goes.
    #[schema(value_type = String, example = "south")]
    pub to: SiteName,
    /// How far it is.
    #[schema(value_type = schema::State)]
    pub state: model::migration::State,
}

impl Topology {
    /// Adds what the hosts say of their ports and tunnels. Between two members of a network there is a
    /// tunnel even if the host that sends does not say anything now.
    pub fn add_links(&mut self, links: &BTreeMap<HostName, Links>) {
        let hosts: BTreeMap<HostName, (IpAddr, bool)> = self
            .hosts()
            .map(|host| (host.name.clone(), (host.underlay, host.up)))
            .collect();
        let at = |address: IpAddr| {
            let mut found = hosts.iter().filter(|(_, (own, _))| *own == address);
            found.next().map(|(name, (_, up))| (name.clone(), *up))
        };
        let mut tunnels = Vec::new();
        for (from, seen) in links {
            for tunnel in &seen.tunnels {
                let peer = at(tunnel.to);
                let why = match (&peer, tunnel.neighbour) {
                    (_, false) => Some("its neighbour on the underlay does not answer".to_owned()),
                    (Some((peer, false)), _) => Some(format!("the agent of {peer} is away")),
                    _ => None,
                };
                tunnels.push(Tunnel {
                    from: from.clone(),
                    to: peer.map(|(name, _)| name),
                    address: tunnel.to,
                    cluster: tunnel.cluster.clone(),
                    carried: tunnel.carried.clone(),
                    up: why.is_none(),
                    why,
                    underlay: None,
                    sent: tunnel.sent,
                    sends: tunnel.sends,
                });
            }
        }
        let silent = self.networks.iter().flat_map(|network| {
            let all: BTreeSet<&HostName> = network.hosts.iter().collect();
            let from = all
                .clone()
                .into_iter()
                .filter(|host| !links.contains_key(*host));
            from.flat_map(move |from| {
                let others = all.clone().into_iter().filter(move |to| *to != from);
                others.map(move |to| (network, from, to))
            })
        });
        for (network, from, to) in silent {
            let Some((address, _)) = hosts.get(to) else {
                continue;
            };
            tunnels.push(Tunnel {
                from: from.clone(),
                to: Some(to.clone()),
                address: *address,
                cluster: network.cluster.clone(),
                carried: network.encap.as_str().to_owned(),
                up: false,
                why: Some(format!("the agent of {from} does not answer")),
                underlay: None,
                sent: Counted::default(),
                sends: None,
            });
        }
        tunnels.sort_by(|a, b| (&a.from, &a.to, &a.cluster).cmp(&(&b.from, &b.to, &b.cluster)));
        self.tunnels = tunnels;
        for host in self.sites.iter_mut().flat_map(|site| &mut site.hosts) {
            if let Some(seen) = links.get(&host.name) {
                host.ports = seen.ports.clone();
            }
        }
    }

    /// Adds the migrations that have not ended.
    pub fn add_migrations(&mut self, all: &[Migration]) {
        let under_way = all.iter().filter(|one| !one.state.is_final());
        self.migrations = under_way
            .map(|one| Underway {
                id: one.id.clone(),
                cluster: one.cluster.clone(),
                from: one.from.clone(),
                to: one.to.clone(),
                state: one.state,
            })
            .collect();
    }

    fn hosts(&self) -> impl Iterator<Item = &TopologyHost> {
        self.sites.iter().flat_map(|site| &site.hosts)
    }
}
