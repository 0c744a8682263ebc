//! Members linked and, when anything fails, unlinked again.

use super::state::{Described, Kept, Remains, Rows, State};
use super::told::Told;
use super::{Registry, mtu, no_such_cluster};
use crate::hosts::OrderError;
use crate::problems;
use api::Problem;
use api::view::Placed;
use control::Key;
use futures::future::join_all;
use model::event::What;
use model::news::{Answer, Hello};
use model::order::Order;
use model::{ClusterName, Entry, HostName, Locator, Member, MemberKind, Net};
use std::time::Instant;
use store::Txn;

impl Registry {
    /// Links one member and, when it is a VM, starts it. Ends when every switch concerned has
    /// acknowledged.
    ///
    /// # Errors
    /// What stands in the way; nothing is half done.
    pub async fn link(&self, cluster: &ClusterName, member: Member) -> Result<Placed, Problem> {
        let begun = Instant::now();
        api::check::member(&member)?;
        let _gate = self.enter(cluster).await?;
        let described = self.inner.state.lock().await.clusters.get(cluster).cloned();
        let described = described.ok_or_else(|| no_such_cluster(cluster))?;
        let name = member.name.clone();
        {
            let state = self.inner.state.lock().await;
            let others = state.members_of(cluster).map(|kept| &kept.member);
            let others = others.filter(|other| other.name != name);
            super::apply::in_order(others.chain([&member]))?;
        }
        let (net, entries) = self.link_all(&described, vec![member]).await?;
        let linked = entries.into_iter().next();
        let entry = linked.ok_or_else(|| super::no_such_member(cluster, &name))?;
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        Ok(Placed {
            cluster: cluster.clone(),
            member: name,
            locator: entry.locator,
            epoch: entry.epoch,
            mtu: net.mtu,
            took_ms: begun.elapsed().as_secs_f64() * 1000.0,
        })
    }

    /// Links members, all or none. The caller has entered the gate.
    pub(super) async fn link_all(
        &self,
        described: &Described,
        members: Vec<Member>,
    ) -> Result<(Net, Vec<Entry>), Problem> {
        let hosts = &self.inner.hosts;
        let cluster = &described.name;
        let (vms, own): (Vec<Member>, Vec<Member>) = members
            .iter()
            .cloned()
            .partition(|member| matches!(member.kind, MemberKind::Vm { .. }));

        let mut state = self.inner.state.lock().await;
        let (net, placed) = state.prepare(self, described, &members)?;
        let mut txn = Txn::new()
            .put_cluster(described)
            .map_err(|error| problems::store(&error))?;
        let mut kept = Vec::with_capacity(members.len());
        for member in &members {
            let linked_at = [member.host.clone()].into();
            let row = Kept {
                cluster: cluster.clone(),
                member: member.clone(),
                linked_at,
            };
            txn = txn
                .put_member(&row)
                .map_err(|error| problems::store(&error))?;
            kept.push(row);
        }
        let before = state.ledger.view().net(cluster).cloned();
        let entries = state.ledger.link(&net, &placed, txn).await?;
        state.clusters.insert(cluster.clone(), described.clone());
        for row in kept {
            state
                .members
                .insert((cluster.clone(), row.member.name.clone()), row);
        }
        let mut links = Told::default();
        for member in &own {
            let order = Order::Link {
                net: net.clone(),
                member: member.clone(),
            };
            links.add(member.host.clone(), hosts.send(&member.host, order));
        }
        let changed = (before.as_ref() != Some(&net)).then_some(&net);
        let rows = rows_of(&entries, &own);
        let spread = match rows.is_empty() {
            true => Told::default(),
            false => state.spread(hosts, cluster, changed, &rows, &[]),
        };
        drop(state);

        let starts = join_all(vms.iter().map(|vm| self.boot(&net, vm)));
        let (links, spread, starts) = tokio::join!(links.outcome(), spread.outcome(), starts);
        let linked = links.0.into_iter().find_map(|(_, result)| result.err());
        let started = starts.into_iter().find_map(Result::err);
        let mut failure = linked.or(started).or_else(|| spread.failure().cloned());
        if failure.is_none() && !vms.is_empty() {
            let mut state = self.inner.state.lock().await;
            let rows = rows_of(&entries, &vms);
            let spread = state.spread(hosts, cluster, changed, &rows, &[]);
            drop(state);
            failure = spread.outcome().await.failure().cloned();
        }
        match failure {
            None => Ok((net, entries)),
            Some(error) => {
                let remains = self.undo(cluster, &members).await;
                Err(problems::with_remains(problems::order(&error), &remains))
            }
        }
    }

    /// Makes a VM's port and starts it there.
    pub(super) async fn boot(&self, net: &Net, member: &Member) -> Result<Answer, OrderError> {
        let hosts = &self.inner.hosts;
        let link = Order::Link {
            net: net.clone(),
            member: member.clone(),
        };
        hosts.order(&member.host, link).await?;
        let start = Order::StartVm {
            cluster: net.cluster.clone(),
            member: member.clone(),
        };
        hosts.order(&member.host, start).await
    }

    /// Takes back what was linked, past every error; returns what is left.
    async fn undo(&self, cluster: &ClusterName, members: &[Member]) -> Vec<String> {
        let ends = members.iter().map(|member| async move {
            let result = self
                .inner
                .hosts
                .order(&member.host, end_of(cluster, member))
                .await;
            (member, result)
        });
        let mut left = Vec::new();
        let mut remains = Vec::new();
        for (member, result) in join_all(ends).await {
            if let Err(error) = result {
                left.push(format!("'{}' ({error})", member.name));
                remains.push(Remains {
                    host: member.host.clone(),
                    cluster: cluster.clone(),
                    member: member.clone(),
                });
            }
        }
        let keys: Vec<Key> = members
            .iter()
            .map(|member| (cluster.clone(), member.name.clone()))
            .collect();
        if let Err(problem) = self.forget(cluster, &keys, remains).await {
            left.push(problem.to_string());
        }
        left
    }
}

impl State {
    /// Checks everything that can be checked before anything is touched: the net, and where each
    /// member will be.
    fn prepare(
        &self,
        registry: &Registry,
        described: &Described,
        members: &[Member],
    ) -> Result<(Net, Vec<(Member, Locator)>), Problem> {
        let hosts = &registry.inner.hosts;
        let mut needed: Vec<Hello> = Vec::with_capacity(members.len());
        for member in members {
            let key = (described.name.clone(), member.name.clone());
            if let Some(left) = self.remains_of(&key) {
                return Err(may_be_left(left));
            }
            needed.push(self.connected(registry, &member.host)?);
        }
        let empty = self.ledger.view().members(&described.name).next().is_none();
        let mtu = match self.ledger.view().net(&described.name) {
            Some(net) if !empty => net.mtu,
            _ => {
                let others: Vec<Hello> = hosts
                    .connected()
                    .iter()
                    .filter_map(|host| hosts.info(host))
                    .collect();
                mtu::choose(described.encap, &needed, &others)?
            }
        };
        for host in &needed {
            mtu::check(host, described.encap, mtu)?;
        }
        let net = Net {
            cluster: described.name.clone(),
            vni: described.vni,
            encap: described.encap,
            mtu,
        };
        let placed = members.iter().zip(needed).map(|(member, hello)| {
            (
                member.clone(),
                Locator {
                    host: hello.host,
                    address: hello.underlay,
                },
            )
        });
        Ok((net, placed.collect()))
    }

    /// A host that is connected, or why it is not there.
    pub(super) fn connected(&self, registry: &Registry, host: &HostName) -> Result<Hello, Problem> {
        if let Some(hello) = registry.inner.hosts.info(host) {
            return Ok(hello);
        }
        Err(match self.hosts.contains_key(host) {
            true => problems::order(&OrderError::NotConnected { host: host.clone() }),
            false => Problem::not_found(
                format!("There is no host '{host}'."),
                "See the hosts with `transhume host list`.",
            ),
        })
    }
}

/// The order that ends a member on a host.
pub(super) fn end_of(cluster: &ClusterName, member: &Member) -> Order {
    let (cluster, vm) = (cluster.clone(), member.name.clone());
    match member.kind {
        MemberKind::Vm { .. } => Order::StopVm { cluster, vm },
        MemberKind::Host => Order::Unlink { cluster, vm },
    }
}

fn rows_of(entries: &[Entry], members: &[Member]) -> Vec<Entry> {
    let meant = |entry: &&Entry| members.iter().any(|member| member.name == entry.vm);
    entries.iter().filter(meant).cloned().collect()
}

fn may_be_left(left: &Remains) -> Problem {
    let Remains {
        host,
        cluster,
        member,
    } = left;
    Problem::conflict(
        format!(
            "An earlier '{}' of cluster '{cluster}' may still be on host '{host}', which was away when it was ended.",
            member.name
        ),
        format!("Start the agent of '{host}': what is left is removed when it dials in."),
    )
}
