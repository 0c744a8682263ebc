//! Members' ports: made, and removed without a trace.

use crate::bridged;
use crate::carried::secured;
use crate::database::PortRow;
use crate::error::{Error, Result, tunnel_name};
use crate::host::{Host, Inner, Ports};
use crate::names::{self, INTEGRATION};
use crate::ports::{
    Port, PortKind, free_internal, free_number, member_plan, tunnel_number, tunnel_plan,
};
use crate::tap;
use control::projection::Key;
use model::{ClusterName, Member, Net, VmName};
use std::collections::BTreeSet;
use std::time::Instant;

/// A port that was made for a member, or was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedPort {
    /// Its OpenFlow number on `icint0`.
    pub ofport: u32,
    /// Its interface.
    pub ifname: String,
    /// From the request until the switch has acknowledged the rules and the addresses are set,
    /// microseconds.
    pub micros: u64,
}

impl Ports {
    /// The port numbers that are taken.
    pub(crate) fn numbers(&self) -> BTreeSet<u32> {
        let members = self.members.values().map(|port| port.ofport);
        members
            .chain(self.gates.values().map(|gate| gate.ofport()))
            .chain(self.gateways.values().map(|gateway| gateway.ofport()))
            .collect()
    }
}

impl Host {
    /// Makes the internal port of a member that is the host itself, with its Ethernet address,
    /// addresses and MTU, up.
    pub async fn link_host(&self, net: &Net, member: &Member) -> Result<LinkedPort> {
        self.link_as(PortKind::Host, net, member).await
    }

    /// Makes a VM's tap with a long queue, or what takes the place of one that is not ours. Nothing leads to
    /// it until the directory says that the VM is here.
    pub async fn link_vm(&self, net: &Net, member: &Member) -> Result<LinkedPort> {
        let kind = match PortKind::of(member) {
            PortKind::Bridged => PortKind::Bridged,
            _ => PortKind::Vm,
        };
        self.link_as(kind, net, member).await
    }

    /// Makes the port that a member needs.
    pub async fn link(&self, net: &Net, member: &Member) -> Result<LinkedPort> {
        self.link_as(PortKind::of(member), net, member).await
    }

    async fn link_as(&self, kind: PortKind, net: &Net, member: &Member) -> Result<LinkedPort> {
        let begun = Instant::now();
        let inner = &self.inner;
        inner.budget.check(net.mtu, net.encap)?;
        let key = (net.cluster.clone(), member.name.clone());
        let mut ports = inner.ports.lock().await;
        if let Some(port) = ports.members.get(&key) {
            check_same(&key, port, kind, net, member)?;
            return Ok(linked(port, begun));
        }
        let ifname = match kind {
            PortKind::Host => free_internal(
                &ports
                    .members
                    .values()
                    .map(|port| port.ifname.clone())
                    .collect(),
            ),
            PortKind::Vm | PortKind::Bridged => names::tap(&key.0, &key.1),
        };
        let mut port = Port {
            kind,
            ifname,
            ofport: free_number(&ports.numbers())?,
            net: net.clone(),
            mac: member.mac,
            addresses: member.addresses.clone(),
        };
        if let Err(error) = inner.make_port(&key, &mut port).await {
            let last = !ports
                .members
                .values()
                .any(|other| other.net.encap == net.encap);
            if let Err(also) = inner.take_back(&key, &port, last).await {
                tracing::warn!(error = %also, ifname = port.ifname, "what was made of a port stays");
            }
            return Err(error);
        }
        let answer = linked(&port, begun);
        ports.members.insert(key, port);
        Ok(answer)
    }

    /// Removes a member's port with its rules and, when it was the last that needed it, the
    /// tunnel port of its encapsulation. Content when there is none.
    pub async fn unlink(&self, cluster: &ClusterName, vm: &VmName) -> Result<()> {
        let key = (cluster.clone(), vm.clone());
        self.close_gate(&key).await?;
        let inner = &self.inner;
        let mut ports = inner.ports.lock().await;
        let Some(port) = ports.members.get(&key).cloned() else {
            return Ok(());
        };
        let encap = port.net.encap;
        let last = ports
            .members
            .values()
            .filter(|port| port.net.encap == encap)
            .count()
            == 1;
        let gone = inner.take_back(&key, &port, last).await;
        if !matches!(gone, Err(Error::Database { .. } | Error::Netlink { .. })) {
            ports.members.remove(&key);
        }
        gone
    }
}

fn linked(port: &Port, begun: Instant) -> LinkedPort {
    LinkedPort {
        ofport: port.ofport,
        ifname: port.ifname.clone(),
        micros: begun.elapsed().as_micros() as u64,
    }
}

fn check_same(key: &Key, port: &Port, kind: PortKind, net: &Net, member: &Member) -> Result<()> {
    let found = if port.kind != kind {
        format!("a port of another kind ({})", port.ifname)
    } else if port.mac != member.mac {
        format!("{} with Ethernet address {}", port.ifname, port.mac)
    } else if port.addresses != member.addresses {
        format!("{} with other addresses", port.ifname)
    } else if port.net != *net {
        format!(
            "{} in network {} ({}, MTU {})",
            port.ifname,
            port.net.vni,
            port.net.encap.as_str(),
            port.net.mtu
        )
    } else {
        return Ok(());
    };
    Err(Error::LinkedOtherwise {
        cluster: key.0.clone(),
        vm: key.1.clone(),
        found,
    })
}

impl Inner {
    async fn make_port(&self, key: &Key, port: &mut Port) -> Result<()> {
        match port.kind {
            PortKind::Vm => {
                tap::make(&self.netns, &self.netlink, &port.ifname).await?;
            }
            PortKind::Bridged => {
                bridged::make(&self.netns, &self.netlink, key, port).await?;
            }
            PortKind::Host => {}
        }
        let encap = port.net.encap;
        let tunnel = self
            .state
            .lock()
            .await
            .held
            .view
            .tunnels
            .get(&encap)
            .copied();
        let mut plans = vec![member_plan(key, port)?];
        if tunnel.is_none() {
            plans.push(tunnel_plan(encap));
        }
        let ops = self.database.add_ports(INTEGRATION, &plans);
        let (ifname, tunnel_name) = (port.ifname.clone(), tunnel_name(encap));
        let kernel = async {
            self.database.commit("add a member's port", ops).await?;
            let settle = async {
                match port.kind {
                    PortKind::Host => self.settle_port(port).await,
                    // Done before the switch had it: otherwise the kernel would speak first.
                    PortKind::Vm | PortKind::Bridged => Ok(()),
                }
            };
            let names = [ifname.as_str(), tunnel_name.as_str()];
            let numbers = self.database.ofports(&names);
            tokio::try_join!(settle, numbers).map(|((), numbers)| numbers)
        };
        // Rules may speak of ports that do not exist yet: they get the numbers they ask for.
        let asked = [port.ofport, tunnel.unwrap_or(tunnel_number(encap))];
        let rules = self.install_port(key, port, asked);
        let (numbers, rules) = tokio::join!(kernel, rules);
        let numbers = numbers?;
        rules?;
        if let [number, tunnel] = numbers[..]
            && [number, tunnel] != asked
        {
            tracing::warn!(?asked, got = ?numbers, "ports did not get their numbers");
            port.ofport = number;
            self.install_port(key, port, [number, tunnel]).await?;
        }
        Ok(())
    }

    async fn install_port(&self, key: &Key, port: &Port, [number, tunnel]: [u32; 2]) -> Result<()> {
        let mut state = self.state.lock().await;
        state.generation += 1;
        let steps = state.held.set_port(key, &port.net, number, tunnel);
        self.send("install a member's rules", &steps).await
    }

    /// Sets what the kernel must know of a port. It is lost when ovs-vswitchd makes the port anew.
    pub(crate) async fn settle_port(&self, port: &Port) -> Result<()> {
        if port.kind != PortKind::Host {
            return tap::settle(&self.netns, &self.netlink, &port.ifname)
                .await
                .map(drop);
        }
        let name = port.ifname.clone();
        // No look for duplicates, and no host configuration taken from whoever is in the cluster.
        let settings = ["accept_dad", "accept_ra", "autoconf"]
            .map(|setting| (format!("ipv6/conf/{name}/{setting}"), "0"));
        self.netns
            .sysctls(settings.into())
            .await
            .or_else(tap::no_ipv6)?;
        let index = self.netlink.need_link(&port.ifname).await?.index;
        self.netlink.up(index).await?;
        for address in &port.addresses {
            self.netlink.add_address(index, *address).await?;
        }
        Ok(())
    }

    /// Removes rules, then rows and links; what the switch says about the rules comes last, because
    /// it does not hold up the rest.
    async fn take_back(&self, key: &Key, port: &Port, tunnel: bool) -> Result<()> {
        let known = secured(&self.state.lock().await.held.view, key);
        let sent = {
            let mut state = self.state.lock().await;
            state.generation += 1;
            let mut steps = state.held.remove_port(key);
            if tunnel {
                steps.extend(state.held.remove_tunnel(port.net.encap));
            }
            self.send("remove a member's rules", &steps).await
        };
        if let Some(port) = known
            && let Err(error) = self.forget_connections(key, port).await
        {
            tracing::warn!(%error, vm = %key.1, "connections of a member that has left stay known");
        }
        self.remove_rows(key, port, tunnel).await?;
        sent
    }

    /// Takes a port, and perhaps its encapsulation's tunnel port, out of the database, and its tap
    /// out of the kernel. By name, so that it also clears what a link that was cut off has left.
    async fn remove_rows(&self, key: &Key, port: &Port, tunnel: bool) -> Result<()> {
        let tunnel_name = tunnel_name(port.net.encap);
        let gone = |row: &&PortRow| row.name == port.ifname || tunnel && row.name == tunnel_name;
        let rows = self.database.ports().await?;
        let ops: Vec<_> = rows
            .iter()
            .filter(|row| row.bridge == INTEGRATION)
            .filter(gone)
            .map(|row| self.database.remove_port(INTEGRATION, row.uuid))
            .collect();
        if !ops.is_empty() {
            self.database.commit("remove a member's port", ops).await?;
        }
        match port.kind {
            PortKind::Vm => self.netlink.delete_link(&port.ifname).await,
            PortKind::Bridged => bridged::remove(&self.netlink, key, &port.ifname).await,
            PortKind::Host => Ok(()),
        }
    }
}
