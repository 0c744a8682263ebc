//! What other sites register becomes rows of the directory, so that hosts lead to it: an address with all its
//! bits, in an instance that is a network of ours.

use super::{Lisp, now};
use crate::lock;
use lisp::{Eid, EidAddress, Record};
use std::net::IpAddr;

impl Lisp {
    /// Has the directory say of these identifiers what the Map-Server says.
    pub(super) async fn reach(&self, eids: impl IntoIterator<Item = Eid>) {
        let Some(registry) = self.inner.registry.get() else {
            return;
        };
        let eids: Vec<Eid> = eids.into_iter().collect();
        if eids.is_empty() {
            return;
        }
        let described = self.inner.described.lock().await;
        let places: Vec<_> = {
            let server = lock(&self.inner.server);
            let own = lock(&self.inner.directory);
            let foreign = eids.into_iter().filter(|eid| !own.contains(eid));
            let places = foreign.filter_map(|eid| {
                let mapping = server.mapping(eid, now());
                let at = mapping.as_ref().and_then(best);
                let at = at.map(|address| match described.speaks_gpe(eid) {
                    true => model::Locator::outside_gpe(address),
                    false => model::Locator::outside(address),
                });
                Some((eid.instance(), single(eid)?, at))
            });
            places.collect()
        };
        drop(described);
        if places.is_empty() {
            return;
        }
        if let Err(error) = registry.reach_outside(places).await {
            tracing::error!(%error, "what other LISP sites register does not reach the directory");
        }
    }

    /// After a restart: what is not registered any more is not reached any more.
    pub(super) async fn reach_again(&self) {
        let Some(registry) = self.inner.registry.get() else {
            return;
        };
        let before = registry.outside().await;
        let eids = before.keys().map(|(vni, ip)| Eid::host(*vni, *ip));
        self.reach(eids.collect::<Vec<_>>()).await;
    }
}

/// The one address that an identifier means.
fn single(eid: Eid) -> Option<IpAddr> {
    let whole = eid.length() == eid.address().width();
    match eid.address() {
        EidAddress::Ipv4(ip) if whole => Some(IpAddr::V4(ip)),
        EidAddress::Ipv6(ip) if whole => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

/// The locator that is used first.
fn best(record: &Record) -> Option<IpAddr> {
    let usable = record.locators.iter();
    let usable = usable.filter(|locator| locator.priority < 255);
    let known = usable.filter_map(|locator| Some((locator.priority, locator.address.ip()?)));
    known
        .min_by_key(|(priority, _)| *priority)
        .map(|(_, ip)| ip)
}
