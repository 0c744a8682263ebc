//! What dynamic DNS keeps in the store: who we are in markers, what was last published, and which zone is stopped.

use dns::publish::Published;
use dns::{DnsName, Publisher};
use std::sync::Arc;
use store::{Store, StoreError, StoreExt, Txn};

const OWNER: &str = "dns/owner";
const PUBLISHED: &str = "dns/published/";
const STOPPED: &str = "dns/stopped/";

/// The word that marks names of this controller; made once.
pub(super) async fn owner(store: &Arc<dyn Store>) -> Result<String, StoreError> {
    if let Some(row) = store.get_json::<String>(OWNER).await? {
        return Ok(row.value);
    }
    let owner = uuid::Uuid::new_v4().simple().to_string();
    store.swap_json(OWNER, None, &owner).await?;
    Ok(owner)
}

/// Gives a zone back what it had before a restart.
pub(super) async fn restore(
    store: &Arc<dyn Store>,
    zone: &DnsName,
    publisher: &mut Publisher,
) -> Result<(), StoreError> {
    let prefix = format!("{PUBLISHED}{zone}/");
    let (rows, _) = store.list_json::<Published>(&prefix).await?;
    for row in rows {
        let name = row
            .key
            .strip_prefix(&prefix)
            .and_then(|name| DnsName::new(name).ok());
        if let Some(name) = name {
            publisher.restore(name, row.value);
        }
    }
    if let Some(row) = store
        .get_json::<String>(&format!("{STOPPED}{zone}"))
        .await?
    {
        publisher.restore_stop(row.value);
    }
    Ok(())
}

pub(super) fn published(
    zone: &DnsName,
    name: &DnsName,
    published: &Published,
) -> Result<Txn, StoreError> {
    Txn::new().put_json(format!("{PUBLISHED}{zone}/{name}"), published)
}

pub(super) fn withdrawn(zone: &DnsName, name: &DnsName) -> Txn {
    Txn::new().delete(format!("{PUBLISHED}{zone}/{name}"))
}

pub(super) fn stopped(zone: &DnsName, why: &str) -> Result<Txn, StoreError> {
    Txn::new().put_json(format!("{STOPPED}{zone}"), why)
}

pub(super) fn goes_on(zone: &DnsName) -> Txn {
    Txn::new().delete(format!("{STOPPED}{zone}"))
}
