//! A host that shall have no access any more.

use super::Registry;
use super::state::Rows;
use crate::hosts::HostChange;
use crate::problems;
use crate::underlay::Underlay;
use api::Problem;
use model::HostName;
use model::event::What;
use store::Txn;

impl Registry {
    /// What hosts' tunnels run in.
    pub fn underlay(&self) -> &Underlay {
        &self.inner.underlay
    }

    /// Whether a host may be forgotten. One that is lost may be forgotten with members on it; they stay members.
    ///
    /// # Errors
    /// There is no such host, or it has members and shall not be forgotten with them.
    pub async fn may_remove(&self, host: &HostName, with_members: bool) -> Result<(), Problem> {
        let state = self.inner.state.lock().await;
        if !state.hosts.contains_key(host) {
            return Err(Problem::not_found(
                format!("There is no host '{host}'."),
                "See the hosts with `transhume host list`.",
            ));
        }
        let here = state.ledger.view().entries();
        let members = here.filter(|entry| entry.locator.host == *host).count();
        match members {
            0 => Ok(()),
            _ if with_members => Ok(()),
            _ => Err(Problem::conflict(
                format!("Host '{host}' has {members} members of clusters."),
                "Move them away with `transhume migrate`, or unlink them; `--with-members` cuts a lost or stolen host off as it is.",
            )),
        }
    }

    /// Forgets a host, whose certificate was withdrawn: its connection ends, and the others' tunnels take nothing
    /// from it any more.
    ///
    /// # Errors
    /// The store fails; the host is cut off all the same.
    pub async fn remove_host(&self, host: &HostName) -> Result<(), Problem> {
        let mut state = self.inner.state.lock().await;
        state.hosts.remove(host);
        self.inner.hosts.expel(host);
        let forgotten = self.inner.underlay.forget(host).await;
        let stored = self.inner.store.txn(Txn::new().delete_host(host)).await;
        drop(state);
        self.inner.hosts.announce(HostChange::Down(host.clone()));
        self.inner
            .events
            .emit(What::HostDown { host: host.clone() });
        tracing::warn!(%host, "was removed; its certificate and its keys are good for nothing");
        forgotten.map_err(|error| problems::store(&error))?;
        stored.map_err(|error| problems::store(&error))?;
        Ok(())
    }
}
