//! What ports and tunnels of all hosts carry.

use crate::Hosts;
use futures::future::join_all;
use model::HostName;
use model::flows::LONGEST_MS;
use model::links::Links;
use model::news::Answer;
use model::order::Order;
use std::collections::BTreeMap;
use std::time::Duration;

/// A host that says nothing for this long is left out.
const ASK_FOR: Duration = Duration::from_secs(5);

/// Asks every connected host.
pub(crate) async fn links(hosts: &Hosts, over_ms: u32) -> BTreeMap<HostName, Links> {
    let over_ms = over_ms.min(LONGEST_MS);
    let patience = ASK_FOR + Duration::from_millis(u64::from(over_ms));
    let asked = hosts.connected().into_iter().map(|host| async move {
        let answer = hosts.order(&host, Order::ReadLinks { over_ms });
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(Answer::Links { links })) => Some((host, *links)),
            Ok(Err(error)) => {
                tracing::warn!(%host, %error, "does not tell what its ports carry");
                None
            }
            _ => None,
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}
