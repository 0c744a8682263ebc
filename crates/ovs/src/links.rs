//! What ports and tunnels carry: counters of both bridges' ports, and of the rules that lead to each other
//! host.
//!
//! A tunnel port serves all hosts, so what goes to one of them is what its rules have counted. A rule that is
//! replaced by one with the same match goes on counting (OpenFlow 1.3.5 section 6.4): what was sent to a
//! member before it moved is then counted for its new host. Rates do not suffer from that.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::names::{INTEGRATION, UNDERLAY};
use control::explain::destinations;
use control::projection::{HostView, Kind, ORIGIN, rules};
use model::ClusterName;
use model::flows::{Counted, Rate};
use model::links::{Links, PortRole, PortSeen, TunnelSeen};
use openflow::PortNo;
use openflow::client::Client;
use openflow::message::{Port, PortState};
use openflow::multipart::PortStats;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

struct Reading {
    view: HostView,
    ports: Vec<(&'static str, Port, PortStats)>,
    tunnels: BTreeMap<(IpAddr, ClusterName), (String, Counted)>,
    at: Instant,
}

impl Host {
    /// Reads ports and tunnels; with `over`, twice, so far apart, for rates.
    ///
    /// # Errors
    /// The switch does not answer.
    pub async fn links(&self, over: Duration) -> Result<Links> {
        let mut first = None;
        if !over.is_zero() {
            first = Some(self.read_links().await?);
            tokio::time::sleep(over).await;
        }
        let last = self.read_links().await?;
        Ok(self.links_between(first, last))
    }

    async fn read_links(&self) -> Result<Reading> {
        let mut ports = Vec::new();
        for bridge in [UNDERLAY, INTEGRATION] {
            ports.extend(self.read_ports(bridge).await?);
        }
        let snapshot = self.snapshot(Some(ORIGIN)).await?;
        let counted: BTreeMap<u64, Counted> = snapshot
            .installed
            .iter()
            .map(|rule| {
                let counted = Counted {
                    packets: rule.packet_count,
                    bytes: rule.byte_count,
                };
                (rule.cookie, counted)
            })
            .collect();
        let view = snapshot.view;
        let made = tokio::task::spawn_blocking(move || {
            let tunnels = tunnels(&view, &counted);
            (view, tunnels)
        });
        let made = made.await.ok();
        let (view, tunnels) = made.ok_or(Error::NamespaceGone)?;
        Ok(Reading {
            view,
            ports,
            tunnels,
            at: snapshot.at,
        })
    }

    async fn read_ports(
        &self,
        bridge: &'static str,
    ) -> Result<Vec<(&'static str, Port, PortStats)>> {
        let socket = self.config().rundir.join(format!("{bridge}.mgmt"));
        let failed = |error| Error::openflow(format!("read the ports of {bridge}"), error);
        let client = Client::connect_unix(&socket).await.map_err(failed)?;
        let described = client.port_desc().await.map_err(failed)?;
        let counted = client.port_stats(PortNo::ANY).await.map_err(failed)?;
        let of = |port: Port| {
            let stats = counted.iter().find(|stats| stats.port_no == port.port_no);
            Some((bridge, port, *stats?))
        };
        Ok(described.into_iter().filter_map(of).collect())
    }

    fn links_between(&self, first: Option<Reading>, last: Reading) -> Links {
        let told = self.neighbours().told();
        let ms = first.as_ref().map_or(0.0, |first| {
            last.at.duration_since(first.at).as_secs_f64() * 1000.0
        });
        let ports = last.ports.iter().map(|(bridge, port, stats)| {
            let name = port.name.to_string();
            let before = first.as_ref().and_then(|first| {
                let mut same = first.ports.iter().filter(|(at, was, _)| {
                    at == bridge && was.port_no == port.port_no && was.name == port.name
                });
                same.next().map(|(_, _, stats)| stats)
            });
            let between = |of: fn(&PortStats) -> Counted| {
                before.and_then(|before| Rate::between(of(before), of(stats), ms))
            };
            PortSeen {
                role: self.role(&last.view, bridge, port, &name),
                name,
                up: !port.state.contains(PortState::LINK_DOWN),
                received: received(stats),
                sent: sent(stats),
                dropped: known(stats.rx_dropped) + known(stats.tx_dropped),
                receives: between(received),
                sends: between(sent),
            }
        });
        let tunnels = last.tunnels.iter().map(|((to, cluster), (carried, now))| {
            let before = first.as_ref().and_then(|first| {
                let key = (*to, cluster.clone());
                first.tunnels.get(&key).map(|(_, counted)| *counted)
            });
            TunnelSeen {
                to: *to,
                cluster: cluster.clone(),
                carried: carried.clone(),
                neighbour: self
                    .config()
                    .next_hop(*to)
                    .is_none_or(|hop| told.contains_key(&hop)),
                sent: *now,
                sends: before.and_then(|before| Rate::between(before, *now, ms)),
            }
        });
        Links {
            ports: ports.collect(),
            tunnels: tunnels.collect(),
        }
    }

    fn role(&self, view: &HostView, bridge: &str, port: &Port, name: &str) -> PortRole {
        if bridge == UNDERLAY {
            return match self.config().uplinks.iter().any(|uplink| uplink == name) {
                true => PortRole::Uplink,
                false => PortRole::Other,
            };
        }
        let number = u32::from(port.port_no);
        if let Some((encap, _)) = view.tunnels.iter().find(|(_, own)| **own == number) {
            return PortRole::Tunnels { encap: *encap };
        }
        if let Some(((cluster, vm), _)) = view.ports.iter().find(|(_, own)| **own == number) {
            return PortRole::Member {
                cluster: cluster.clone(),
                vm: vm.clone(),
            };
        }
        match view.gateways.iter().find(|(_, own)| **own == number) {
            Some((cluster, _)) => PortRole::Gateway {
                cluster: cluster.clone(),
            },
            None if view.gpe == Some(number) => PortRole::Gpe,
            None => PortRole::Other,
        }
    }
}

/// What the rules that lead to each host have counted.
fn tunnels(
    view: &HostView,
    counted: &BTreeMap<u64, Counted>,
) -> BTreeMap<(IpAddr, ClusterName), (String, Counted)> {
    let nets: BTreeMap<u32, &model::Net> = view.nets.values().map(|net| (net.vni, net)).collect();
    let mut all: BTreeMap<(IpAddr, ClusterName), (String, Counted)> = BTreeMap::new();
    for rule in rules(view).iter().filter(|rule| rule.table == ORIGIN) {
        let vni = rule.matching.iter().find_map(|field| match field {
            control::projection::Field::Vni(vni) => Some(*vni),
            _ => None,
        });
        let Some(net) = vni.and_then(|vni| nets.get(&vni)) else {
            continue;
        };
        let now = counted.get(&rule.cookie.0).copied().unwrap_or_default();
        let by_gpe = rule.cookie.kind() == Some(Kind::Origin)
            && view.gpe.is_some_and(|gpe| {
                let output = control::projection::Action::Output(gpe);
                rule.actions.contains(&output)
            });
        let to: BTreeSet<IpAddr> = destinations(rule).collect();
        for to in to {
            let carried = if by_gpe { "gpe" } else { net.encap.as_str() };
            let sum = all
                .entry((to, net.cluster.clone()))
                .or_insert_with(|| (carried.to_owned(), Counted::default()));
            sum.1.packets += now.packets;
            sum.1.bytes += now.bytes;
        }
    }
    all
}

fn received(stats: &PortStats) -> Counted {
    Counted {
        packets: known(stats.rx_packets),
        bytes: known(stats.rx_bytes),
    }
}

fn sent(stats: &PortStats) -> Counted {
    Counted {
        packets: known(stats.tx_packets),
        bytes: known(stats.tx_bytes),
    }
}

/// A counter that the switch does not have is all ones, OpenFlow 1.3.5 section 7.3.5.6.
fn known(counter: u64) -> u64 {
    match counter {
        u64::MAX => 0,
        counter => counter,
    }
}
