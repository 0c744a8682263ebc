//! One zone: what is due is sent, what is answered is kept and told.

use super::{Names, kept, now};
use crate::{clock, lock};
use dns::config::Zone;
use dns::edge::Sender;
use dns::publish::Told;
use dns::{DnsName, Publisher};
use model::event::What;
use std::sync::Mutex;
use store::StoreError;
use tokio::sync::Notify;

/// A zone and what is known of its names.
pub(super) struct ZoneDesk {
    pub(super) zone: Zone,
    pub(super) publisher: Mutex<Publisher>,
    /// Something has become due.
    pub(super) wake: Notify,
}

impl ZoneDesk {
    pub(super) fn new(zone: Zone, publisher: Publisher) -> Self {
        Self {
            zone,
            publisher: Mutex::new(publisher),
            wake: Notify::new(),
        }
    }
}

impl Names {
    /// Sends a zone's updates, one after the other, for ever.
    pub(super) async fn publish(self, number: usize, mut sender: Sender) {
        let Some(desk) = self.inner.zones.get(number) else {
            return std::future::pending().await;
        };
        loop {
            let job = lock(&desk.publisher).next(now());
            let Some(job) = job else {
                let wake = lock(&desk.publisher).wake();
                let later = async {
                    match wake {
                        Some(at) => tokio::time::sleep(at.saturating_sub(now())).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = desk.wake.notified() => {}
                    () = later => {}
                }
                continue;
            };
            let answer = sender.carry(&job).await;
            let told = lock(&desk.publisher).answered(job.ticket, answer, now(), clock::unix_ms());
            for told in told {
                self.say(&desk.zone.zone, &told);
                if let Err(error) = self.keep(&desk.zone.zone, &told).await {
                    tracing::error!(%error, "what was published is not kept");
                }
            }
        }
    }

    async fn keep(&self, zone: &DnsName, told: &Told) -> Result<(), StoreError> {
        let txn = match told {
            Told::Published { name, published } => kept::published(zone, name, published)?,
            Told::Withdrawn { name } => kept::withdrawn(zone, name),
            Told::Stopped { why } => kept::stopped(zone, why)?,
            Told::NameTrouble { .. } | Told::ZoneTrouble { .. } => return Ok(()),
        };
        self.inner.store.txn(txn).await.map(drop)
    }

    fn say(&self, zone: &DnsName, told: &Told) {
        let (name, published, message) = match told {
            Told::Published { name, published } => {
                let addresses = published.content.addresses.iter();
                let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
                let message = format!(
                    "leads to {} after {} ms",
                    addresses.join(", "),
                    published.delay_ms
                );
                (Some(name), true, message)
            }
            Told::Withdrawn { name } => (Some(name), true, "is taken away".to_owned()),
            Told::NameTrouble { name, why } => (Some(name), false, why.clone()),
            Told::ZoneTrouble { why } | Told::Stopped { why } => (None, false, why.clone()),
        };
        let name = name.unwrap_or(zone).to_string();
        match published {
            true => tracing::info!(name, "{message}"),
            false => tracing::warn!(name, "not published: {message}"),
        }
        self.inner.events.emit(What::Dns {
            name,
            published,
            message,
        });
    }
}
