//! What the store holds of the secure underlay: public keys and addresses, never a secret.

use model::underlay::Part;
use model::{HostName, SiteName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use store::{Store, StoreError, StoreExt};

const ROWS: &str = "underlay/host/";

/// A host's row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) host: HostName,
    pub(super) inner: IpAddr,
    pub(super) part: Option<(SiteName, Part)>,
}

pub(super) fn row(host: &HostName) -> String {
    format!("{ROWS}{host}")
}

pub(super) async fn load(store: &dyn Store) -> Result<Vec<Kept>, StoreError> {
    let (rows, _) = store.list_json::<Kept>(ROWS).await?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}
