//! Members unlinked.

use super::link::end_of;
use super::state::{Remains, Rows};
use super::{Registry, no_such_cluster, no_such_member};
use crate::hosts::OrderError;
use crate::problems;
use api::Problem;
use control::Key;
use futures::future::join_all;
use model::event::What;
use model::{ClusterName, HostName, Member, MemberKind, VmName};
use std::collections::{BTreeMap, BTreeSet};
use store::Txn;

impl Registry {
    /// Ends one member's VM, if it is one, and unlinks it. On a host that is away it is ended as
    /// soon as the host dials in.
    ///
    /// # Errors
    /// What stands in the way; the member stays as it is.
    pub async fn unlink(&self, cluster: &ClusterName, member: &VmName) -> Result<(), Problem> {
        let _gate = self.enter_alone(cluster).await?;
        let key = (cluster.clone(), member.clone());
        self.unlink_all(cluster, &[key]).await?;
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        Ok(())
    }

    /// Unlinks members, past every error; those that could not be ended stay. The caller has the
    /// gate alone.
    pub(super) async fn unlink_all(
        &self,
        cluster: &ClusterName,
        keys: &[Key],
    ) -> Result<(), Problem> {
        let mut ends: Vec<(Key, Member, HostName)> = Vec::new();
        let state = self.inner.state.lock().await;
        if !state.clusters.contains_key(cluster) {
            return Err(no_such_cluster(cluster));
        }
        for key in keys {
            let missing = || no_such_member(&key.0, &key.1);
            let kept = state.members.get(key).ok_or_else(missing)?;
            let entry = state.ledger.view().get(key).ok_or_else(missing)?;
            let mut at = BTreeSet::from([entry.locator.host.clone()]);
            if kept.member.kind == MemberKind::Host {
                at.extend(kept.linked_at.iter().cloned());
            }
            ends.extend(
                at.into_iter()
                    .map(|host| (key.clone(), kept.member.clone(), host)),
            );
        }
        drop(state);

        let answers = ends.into_iter().map(|(key, member, host)| async move {
            let result = self.inner.hosts.order(&host, end_of(&key.0, &member)).await;
            (key, member, host, result)
        });
        let mut remains = Vec::new();
        let mut failed: BTreeMap<Key, OrderError> = BTreeMap::new();
        for (key, member, host, result) in join_all(answers).await {
            match result {
                Ok(_) => {}
                Err(error) if error.is_away() => {
                    remains.push(Remains {
                        host,
                        cluster: key.0,
                        member,
                    });
                }
                Err(error) => {
                    failed.insert(key, error);
                }
            }
        }
        remains
            .retain(|left| !failed.contains_key(&(left.cluster.clone(), left.member.name.clone())));
        let ended: Vec<Key> = keys
            .iter()
            .filter(|key| !failed.contains_key(*key))
            .cloned()
            .collect();
        self.forget(cluster, &ended, remains).await?;
        let failed: Vec<OrderError> = failed.into_values().collect();
        problems::orders(&failed).map_or(Ok(()), Err)
    }

    /// Takes members out of the directory and tells every host that had them.
    pub(super) async fn forget(
        &self,
        cluster: &ClusterName,
        keys: &[Key],
        remains: Vec<Remains>,
    ) -> Result<(), Problem> {
        if keys.is_empty() {
            return Ok(());
        }
        let hosts = &self.inner.hosts;
        let mut state = self.inner.state.lock().await;
        let mut txn = Txn::new();
        for key in keys {
            txn = txn.delete_member(key);
        }
        for left in &remains {
            txn = txn
                .put_remains(left)
                .map_err(|error| problems::store(&error))?;
        }
        let gone = state.ledger.unlink(keys, txn).await?;
        for key in keys {
            state.members.remove(key);
            state.due.forget(key);
        }
        state.remains.extend(remains);
        let mut told = state.spread(hosts, cluster, None, &[], &gone);
        for host in hosts.connected() {
            state.dismiss(hosts, &host, cluster, &mut told);
        }
        drop(state);
        told.outcome()
            .await
            .log("has not forgotten members that are gone");
        Ok(())
    }
}
