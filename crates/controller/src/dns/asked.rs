//! What is shown, and publishing by hand.

use super::zone::ZoneDesk;
use super::{Names, kept, now};
use crate::{lock, problems};
use api::Problem;
use api::view::{DnsPublish, DnsRecord, DnsState};
use dns::DnsName;
use dns::publish::{State, View};

impl Names {
    /// Every name of every zone, in order.
    pub fn show(&self) -> Vec<DnsRecord> {
        let of = |desk: &ZoneDesk| {
            let publisher = lock(&desk.publisher);
            let records = publisher.views().map(|view| record(&desk.zone.zone, &view));
            records.collect::<Vec<_>>()
        };
        self.inner.zones.iter().flat_map(of).collect()
    }

    /// Publishes again what is asked for, also where it was stopped.
    ///
    /// # Errors
    /// There is no such zone or name, or the store fails.
    pub async fn again(&self, wish: &DnsPublish) -> Result<Vec<DnsRecord>, Problem> {
        let name = wish
            .name
            .as_deref()
            .map(DnsName::new)
            .transpose()
            .map_err(|error| {
                Problem::invalid(
                    problems::sentence(&error.to_string()),
                    "See the names with `transhume dns list`.",
                )
            })?;
        let mut count = 0;
        for desk in &self.inner.zones {
            let holds =
                |name: &DnsName| lock(&desk.publisher).views().any(|view| view.name == name);
            if !name.as_ref().is_none_or(holds) {
                continue;
            }
            let stored = self.inner.store.txn(kept::goes_on(&desk.zone.zone)).await;
            stored.map_err(|error| problems::store(&error))?;
            count += lock(&desk.publisher).again(name.as_ref(), now());
            desk.wake.notify_one();
        }
        match &name {
            Some(name) if count == 0 => Err(Problem::not_found(
                format!("No member has the name '{name}'."),
                "See the names with `transhume dns list`.",
            )),
            _ => Ok(self.show()),
        }
    }
}

fn record(zone: &DnsName, view: &View<'_>) -> DnsRecord {
    let wanted = view.wanted;
    let published = view.published;
    DnsRecord {
        name: view.name.to_string(),
        zone: zone.to_string(),
        state: match view.state {
            State::Published => DnsState::Published,
            State::Pending => DnsState::Pending,
            State::Retrying => DnsState::Retrying,
            State::Stopped => DnsState::Stopped,
        },
        wanted: wanted
            .map(|content| content.addresses.iter().copied().collect())
            .unwrap_or_default(),
        ttl_seconds: wanted
            .or(published.map(|last| &last.content))
            .map_or(0, |content| content.ttl),
        epoch: view.epoch,
        published: published
            .map(|last| last.content.addresses.iter().copied().collect())
            .unwrap_or_default(),
        published_epoch: published.map(|last| last.epoch),
        published_unix_ms: published.map(|last| last.unix_ms),
        delay_ms: published.map(|last| last.delay_ms),
        message: view.why.clone().unwrap_or_default(),
    }
}
