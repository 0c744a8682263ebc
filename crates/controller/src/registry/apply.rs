//! A cluster brought to its description, or removed.

use super::state::{Described, Rows, State};
use super::told::Told;
use super::{Registry, mtu};
use crate::hosts::OrderError;
use crate::problems;
use api::Problem;
use control::Key;
use futures::future::join_all;
use migration::groups;
use model::event::What;
use model::news::{Answer, Hello};
use model::order::Order;
use model::vm::VmState;
use model::{Cluster, ClusterName, HostName, Member, MemberKind, Net, SecurityRule, VmName};
use store::Txn;

/// What a description asks for.
struct Wanted {
    described: Described,
    new: Vec<Member>,
    gone: Vec<Key>,
    /// VMs that are there already, with the host where each is.
    vms: Vec<(Member, HostName)>,
    /// Members that are there already and come after others than before.
    reordered: Vec<Member>,
    /// Members that are there already with other security rules.
    secured: Vec<(Key, Vec<SecurityRule>)>,
}

impl Registry {
    /// Creates the cluster, or brings it to this description: links new members and starts their
    /// VMs, starts VMs that have ended, then unlinks what is gone.
    ///
    /// # Errors
    /// What stands in the way; what was linked for it is unlinked again.
    pub async fn apply(&self, spec: Cluster) -> Result<(), Problem> {
        api::check::cluster(&spec)?;
        in_order(&spec.members)?;
        let _gate = self.enter_alone(&spec.name).await?;
        let state = self.inner.state.lock().await;
        let fresh = !state.clusters.contains_key(&spec.name);
        let Wanted {
            described,
            new,
            gone,
            vms,
            reordered,
            secured,
        } = state.wanted(&spec)?;
        drop(state);
        let cluster = &described.name;
        let linked = match new.is_empty() {
            true => self.describe(&described).await,
            false => self.link_all(&described, new).await.map(|(net, _)| net),
        };
        let net = match linked {
            Ok(net) => net,
            Err(problem) => {
                if fresh {
                    let left: Vec<String> = self
                        .retire(cluster)
                        .await
                        .err()
                        .iter()
                        .map(ToString::to_string)
                        .collect();
                    return Err(problems::with_remains(problem, &left));
                }
                return Err(problem);
            }
        };
        self.reorder(&net, reordered).await?;
        let mut changed = Ok(());
        for (key, security) in secured {
            changed = changed.and(self.secure_one(&key, security).await.map(drop));
        }
        let started = self.revive(&net, vms).await;
        let ended = match gone.is_empty() {
            true => Ok(()),
            false => self.unlink_all(cluster, &gone).await,
        };
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        changed.and(started).and(ended)
    }

    /// Ends the cluster's VMs, unlinks its members, forgets it.
    ///
    /// # Errors
    /// What stands in the way; members that could not be ended stay.
    pub async fn delete(&self, cluster: &ClusterName) -> Result<(), Problem> {
        let _gate = self.enter_alone(cluster).await?;
        self.known(cluster).await?;
        let state = self.inner.state.lock().await;
        let members = state.members_of(cluster);
        let keys: Vec<Key> = members
            .map(|kept| (kept.cluster.clone(), kept.member.name.clone()))
            .collect();
        drop(state);
        self.unlink_all(cluster, &keys).await?;
        self.retire(cluster).await?;
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        Ok(())
    }

    /// Keeps a cluster's description where no member is new.
    async fn describe(&self, described: &Described) -> Result<Net, Problem> {
        let hosts = &self.inner.hosts;
        let mut state = self.inner.state.lock().await;
        let view = state.ledger.view();
        let empty = view.members(&described.name).next().is_none();
        let mtu = match view.net(&described.name) {
            Some(net) if !empty => net.mtu,
            _ => {
                let all: Vec<Hello> = hosts
                    .connected()
                    .iter()
                    .filter_map(|host| hosts.info(host))
                    .collect();
                mtu::choose(described.encap, [], &all)?
            }
        };
        let net = Net {
            cluster: described.name.clone(),
            vni: described.vni,
            encap: described.encap,
            mtu,
        };
        let txn = Txn::new()
            .put_cluster(described)
            .map_err(|error| problems::store(&error))?;
        state.ledger.link(&net, &[], txn).await?;
        state
            .clusters
            .insert(described.name.clone(), described.clone());
        Ok(net)
    }

    /// Keeps what members come after.
    async fn reorder(&self, net: &Net, members: Vec<Member>) -> Result<(), Problem> {
        if members.is_empty() {
            return Ok(());
        }
        let mut state = self.inner.state.lock().await;
        let mut kept = Vec::new();
        for member in members {
            let key = (net.cluster.clone(), member.name.clone());
            if let Some(now) = state.members.get(&key) {
                let now = now.clone();
                kept.push((key, super::state::Kept { member, ..now }));
            }
        }
        let rows = kept
            .iter()
            .try_fold(Txn::new(), |txn, (_, now)| txn.put_member(now));
        let rows = rows.map_err(|error| problems::store(&error))?;
        state.ledger.link(net, &[], rows).await?;
        state.members.extend(kept);
        Ok(())
    }

    /// Forgets a cluster without members; one that was never made is fine.
    async fn retire(&self, cluster: &ClusterName) -> Result<(), Problem> {
        let hosts = &self.inner.hosts;
        let mut state = self.inner.state.lock().await;
        if state.ledger.view().net(cluster).is_none() {
            return Ok(());
        }
        let outside = state.outside_of(cluster);
        if !outside.is_empty() {
            state.ledger.unlink(&outside, Txn::new()).await?;
        }
        state
            .ledger
            .retire(cluster, Txn::new().delete_cluster(cluster))
            .await?;
        state.clusters.remove(cluster);
        let mut told = Told::default();
        for host in hosts.connected() {
            state.dismiss(hosts, &host, cluster, &mut told);
        }
        drop(state);
        told.outcome()
            .await
            .log("has not forgotten a cluster that is gone");
        Ok(())
    }

    /// Starts those VMs whose process has ended, where they are.
    async fn revive(&self, net: &Net, vms: Vec<(Member, HostName)>) -> Result<(), Problem> {
        let starts = vms.into_iter().map(|(member, host)| async move {
            if self.runs(&net.cluster, &member.name, &host).await? {
                return Ok(());
            }
            let here = Member { host, ..member };
            self.boot(net, &here).await.map(drop)
        });
        let failed = join_all(starts).await.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |error: OrderError| Err(problems::order(&error)))
    }

    /// Whether a VM's process is on a host.
    pub(super) async fn runs(
        &self,
        cluster: &ClusterName,
        vm: &VmName,
        host: &HostName,
    ) -> Result<bool, OrderError> {
        let Answer::Vms { vms } = self.inner.hosts.order(host, Order::ListVms).await? else {
            return Ok(false);
        };
        let here = vms
            .iter()
            .filter(|here| here.cluster == *cluster && here.vm == *vm);
        Ok(here.into_iter().any(|here| here.state != VmState::Gone))
    }
}

impl State {
    fn wanted(&self, spec: &Cluster) -> Result<Wanted, Problem> {
        let before = self.clusters.get(&spec.name);
        let vni = match (spec.vni, before) {
            (0, Some(before)) => before.vni,
            (0, None) => self.ledger.view().free_vni().ok_or_else(|| {
                Problem::refused(
                    "Every network identifier is taken.",
                    "Delete clusters that are not used.",
                )
            })?,
            (vni, _) => vni,
        };
        let described = Described {
            name: spec.name.clone(),
            vni,
            encap: spec.encap,
        };
        let mut wanted = Wanted {
            described,
            new: Vec::new(),
            gone: Vec::new(),
            vms: Vec::new(),
            reordered: Vec::new(),
            secured: Vec::new(),
        };
        for member in &spec.members {
            let key = (spec.name.clone(), member.name.clone());
            let there = self.members.get(&key).zip(self.ledger.view().get(&key));
            let Some((kept, entry)) = there else {
                wanted.new.push(member.clone());
                continue;
            };
            same(&kept.member, member, &entry.locator.host)?;
            if kept.member.after != member.after {
                let after = member.after.clone();
                wanted.reordered.push(Member {
                    after,
                    ..kept.member.clone()
                });
            }
            if kept.member.security != member.security {
                wanted.secured.push((key.clone(), member.security.clone()));
            }
            if matches!(member.kind, MemberKind::Vm { .. }) {
                wanted
                    .vms
                    .push((kept.member.clone(), entry.locator.host.clone()));
            }
        }
        let named = |name: &VmName| spec.members.iter().any(|member| member.name == *name);
        wanted.gone = self
            .members_of(&spec.name)
            .filter(|kept| !named(&kept.member.name))
            .map(|kept| (kept.cluster.clone(), kept.member.name.clone()))
            .collect();
        Ok(wanted)
    }
}

/// Refuses an order that no switchover can keep.
pub(super) fn in_order<'a>(members: impl IntoIterator<Item = &'a Member>) -> Result<(), Problem> {
    let order = groups::check(&groups::after(members));
    order.map_err(|error| {
        let text = error.to_string();
        let (what, way_out) = text.split_once("; ").unwrap_or((&text, ""));
        Problem::invalid(problems::sentence(what), problems::sentence(way_out))
    })
}

/// Refuses to change a member under its own name: its guest would be none the wiser.
fn same(kept: &Member, wanted: &Member, at: &HostName) -> Result<(), Problem> {
    let name = &kept.name;
    if wanted.host != kept.host && wanted.host != *at {
        return Err(Problem::conflict(
            format!(
                "Member '{name}' is on host '{at}', and the description says '{}'.",
                wanted.host
            ),
            "Move the cluster with `transhume migrate`, or keep the host that was given first.",
        ));
    }
    let as_kept = Member {
        host: kept.host.clone(),
        // What it comes after is the controller's own affair.
        after: kept.after.clone(),
        security: kept.security.clone(),
        ..wanted.clone()
    };
    if as_kept != *kept {
        return Err(Problem::conflict(
            format!("Member '{name}' is there already, with another description."),
            format!("Unlink '{name}' first, or choose another name."),
        ));
    }
    Ok(())
}
