//! A member's security rules, replaced while it runs.

use super::{Registry, no_such_cluster, no_such_member};
use crate::problems;
use crate::registry::state::Rows;
use api::Problem;
use control::Key;
use model::event::What;
use model::{ClusterName, Entry, Member, SecurityRule, VmName};
use store::Txn;

impl Registry {
    /// A member's security rules.
    ///
    /// # Errors
    /// There is no such member.
    pub async fn security(
        &self,
        cluster: &ClusterName,
        member: &VmName,
    ) -> Result<Vec<SecurityRule>, Problem> {
        self.known(cluster).await?;
        let key = (cluster.clone(), member.clone());
        let entry = self.entry(&key).await;
        let entry = entry.ok_or_else(|| no_such_member(cluster, member))?;
        Ok(entry.security)
    }

    /// Gives a member other security rules, all of them. Ends when every switch concerned has
    /// acknowledged them, and connections that only the old ones allowed are cut.
    ///
    /// # Errors
    /// What stands in the way. The rules are kept when a host fails to take them: it gets them when
    /// it dials in again.
    pub async fn secure(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        security: Vec<SecurityRule>,
    ) -> Result<Vec<SecurityRule>, Problem> {
        let _gate = self.enter(cluster).await?;
        let described = self.cluster(cluster).await;
        let described = described.ok_or_else(|| no_such_cluster(cluster))?;
        let with_rules = Member {
            security,
            ..described
                .members
                .iter()
                .find(|one| one.name == *member)
                .cloned()
                .ok_or_else(|| no_such_member(cluster, member))?
        };
        api::check::security(&with_rules, &described.members)?;
        let key = (cluster.clone(), member.clone());
        let entry = self.secure_one(&key, with_rules.security).await?;
        self.inner.events.emit(What::ClusterChanged {
            cluster: cluster.clone(),
        });
        Ok(entry.security)
    }

    /// The same without a look at them. The caller has entered the gate.
    pub(super) async fn secure_one(
        &self,
        key: &Key,
        security: Vec<SecurityRule>,
    ) -> Result<Entry, Problem> {
        let missing = || no_such_member(&key.0, &key.1);
        let mut state = self.inner.state.lock().await;
        let mut kept = state.members.get(key).cloned().ok_or_else(missing)?;
        kept.member.security = security.clone();
        let along = Txn::new()
            .put_member(&kept)
            .map_err(|error| problems::store(&error))?;
        let entry = state.ledger.secure(key, security, along).await?;
        state.members.insert(key.clone(), kept);
        let told = state.spread(
            &self.inner.hosts,
            &key.0,
            None,
            std::slice::from_ref(&entry),
            &[],
        );
        drop(state);
        match told.outcome().await.failure() {
            None => Ok(entry),
            Some(error) => Err(problems::order(error)),
        }
    }
}
