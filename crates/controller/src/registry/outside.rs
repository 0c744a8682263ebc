//! Endpoints on no host of ours: what other LISP sites register becomes rows of the directory, so that hosts
//! with a gateway reach them and answer for their addresses.
//!
//! Such a row has no member behind it: nothing is linked, started or moved. Its name and Ethernet address
//! follow from its IP address.

use super::Registry;
use super::state::State;
use crate::directory::LedgerError;
use control::Key;
use model::cluster::Cidr;
use model::event::What;
use model::{ClusterName, Locator, Mac, Member, MemberKind, Net, SiteName, VmName};
use std::collections::BTreeMap;
use std::net::IpAddr;
use store::Txn;

/// Begins every name of such a row.
const PREFIX: &str = "lisp-";
/// Locally administered; the rest follows from the address.
const ETHERNET: [u8; 2] = [0x02, 0x4c];

impl Registry {
    /// Takes note of where addresses of networks are reached outside, or that they no longer are. Networks
    /// are named by their identifiers, the LISP instance ids. What is no address of a network of ours, or
    /// one of its members', is left alone. Hosts are told; nobody is waited for.
    ///
    /// # Errors
    /// The store failed; what was done before stays.
    pub async fn reach_outside(
        &self,
        places: impl IntoIterator<Item = (u32, IpAddr, Option<Locator>)>,
    ) -> Result<(), LedgerError> {
        let mut state = self.inner.state.lock().await;
        for (vni, address, locator) in places {
            let known = state.ledger.view().nets().find(|net| net.vni == vni);
            let Some(net) = known.cloned() else {
                continue;
            };
            match self.reach(&mut state, &net, address, locator).await {
                Ok(()) => {}
                Err(LedgerError::Directory(error)) => {
                    tracing::warn!(%error, %address, cluster = %net.cluster, "an endpoint outside is left out")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn reach(
        &self,
        state: &mut State,
        net: &Net,
        address: IpAddr,
        locator: Option<Locator>,
    ) -> Result<(), LedgerError> {
        let key = (net.cluster.clone(), name(address));
        let before = state.ledger.view().get(&key);
        let before = before.map(|entry| entry.locator.clone());
        let hosts = &self.inner.hosts;
        let told = match (before, locator) {
            (None, None) => return Ok(()),
            (Some(before), Some(now)) if before == now => return Ok(()),
            (None, Some(now)) => {
                let member = member(&key, address, &now);
                let rows = state.ledger.link(net, &[(member, now)], Txn::new()).await?;
                state.spread(hosts, &key.0, None, &rows, &[])
            }
            (Some(_), Some(now)) => {
                let row = state.ledger.commit(&key, now, Txn::new()).await?;
                state.spread(hosts, &key.0, None, &[row], &[])
            }
            (Some(_), None) => {
                let gone = state
                    .ledger
                    .unlink(std::slice::from_ref(&key), Txn::new())
                    .await?;
                state.spread(hosts, &key.0, None, &[], &gone)
            }
        };
        tokio::spawn(async move { told.outcome().await.log("an endpoint outside was not told") });
        self.inner
            .events
            .emit(What::ClusterChanged { cluster: key.0 });
        Ok(())
    }

    /// Where addresses are reached outside, by network identifier and address.
    pub async fn outside(&self) -> BTreeMap<(u32, IpAddr), Locator> {
        let state = self.inner.state.lock().await;
        let view = state.ledger.view();
        let rows = view.entries().filter(|entry| entry.locator.is_outside());
        let all = rows.filter_map(|entry| {
            let vni = view.net(&entry.cluster)?.vni;
            Some(((vni, *entry.ips.first()?), entry.locator.clone()))
        });
        all.collect()
    }
}

impl State {
    /// The rows of a cluster that no host holds.
    pub(super) fn outside_of(&self, cluster: &ClusterName) -> Vec<Key> {
        let rows = self.ledger.view().members(cluster);
        let outside = rows.filter(|entry| entry.locator.is_outside());
        outside.map(model::Entry::key).collect()
    }
}

/// The site that stands for all others.
pub(super) fn site() -> Option<SiteName> {
    SiteName::new(PREFIX.trim_end_matches('-')).ok()
}

fn member(key: &Key, address: IpAddr, at: &Locator) -> Member {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    Member {
        name: key.1.clone(),
        host: at.host.clone(),
        mac: ethernet(address),
        addresses: vec![Cidr { address, prefix }],
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}

/// A name that is the same each time.
fn name(address: IpAddr) -> VmName {
    let digits = match address {
        IpAddr::V4(v4) => v4.octets().map(|byte| byte.to_string()).join("-"),
        // Too long for a name in full.
        IpAddr::V6(v6) => format!("{:032x}", u128::from(v6)),
    };
    let name = format!("{PREFIX}{digits}");
    VmName::new(name).unwrap_or_else(|_| unreachable!("digits, letters and dashes, 37 at most"))
}

/// An Ethernet address that is the same each time: of IPv6 the end, which tells hosts of a network apart.
fn ethernet(address: IpAddr) -> Mac {
    let end: [u8; 4] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => (u128::from(v6) as u32 ^ 0x8000_0000).to_be_bytes(),
    };
    let [a, b, c, d] = end;
    Mac([ETHERNET[0], ETHERNET[1], a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ethernet_addresses_follow_from_the_address() {
        let v4 = "10.77.0.200".parse().unwrap();
        assert_eq!(name(v4).as_str(), "lisp-10-77-0-200");
        assert_eq!(ethernet(v4), Mac([2, 0x4c, 10, 77, 0, 200]));
        let v6 = "fd00:77::7:200".parse().unwrap();
        assert_eq!(name(v6).as_str().len(), 37);
        assert_ne!(ethernet(v6), ethernet(v4));
    }
}
