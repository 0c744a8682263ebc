//! Keys that take each other's place, one host at a time.

use super::{Underlay, UnderlayError};
use crate::hosts::OrderError;
use crate::lock;
use control::underlay::turn::{Next, next};
use model::HostName;
use model::news::Answer;
use model::order::Order;
use std::time::Duration;
use store::{StoreExt, Txn};

/// The key that a host is turned away from, while that is under way.
const TURNS: &str = "underlay/turn/";

/// How long others may take to hear of a key.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// Why a key was not replaced, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The host takes no part.
    #[error("host '{0}' takes no part in the secure underlay")]
    NoPart(HostName),
    /// It did not do a step.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Others have not heard of the new key; both keys are good until they have.
    #[error(
        "host '{away}' has not taken the new key of host '{host}'; both keys are good until it dials in and this is done again, or it is removed with `transhume host remove {away}`"
    )]
    NotTold {
        /// Whose key it is.
        host: HostName,
        /// Who has not taken it.
        away: HostName,
    },
    /// What it answered is refused.
    #[error(transparent)]
    Underlay(#[from] UnderlayError),
}

impl Underlay {
    /// Replaces a host's key while packets flow; goes on where it was interrupted.
    ///
    /// # Errors
    /// See [`TurnError`]; the host is reached all the same, by one key or two.
    pub async fn turn(&self, host: &HostName) -> Result<String, TurnError> {
        let _alone = self.0.turning.lock().await;
        let keys = self.keys(host)?;
        let row = format!("{TURNS}{host}");
        let begun = self.0.store.get_json::<String>(&row).await;
        let begun = begun.map_err(UnderlayError::from)?.map(|row| row.value);
        let from = match begun.filter(|from| keys.contains(from)) {
            Some(interrupted) => interrupted,
            None => keys.first().cloned().unwrap_or_default(),
        };
        let put = self.0.store.put_json(&row, &from).await;
        put.map_err(UnderlayError::from)?;
        loop {
            let keys = self.keys(host)?;
            match next(&keys, &from, self.missing(host).is_none()) {
                Next::Done => {
                    let gone = self.0.store.txn(Txn::new().delete(&row)).await;
                    gone.map_err(UnderlayError::from)?;
                    tracing::info!(%host, "its key was replaced");
                    return Ok(keys.first().cloned().unwrap_or_default());
                }
                Next::Wait => self.told_all(host).await?,
                Next::Do(step) => {
                    let answer = self.0.hosts.order(host, Order::TurnKey { step }).await?;
                    if let Answer::Keys { keys } = answer {
                        self.now_has(host, keys).await?;
                    }
                    self.tell();
                }
            }
        }
    }

    fn keys(&self, host: &HostName) -> Result<Vec<String>, TurnError> {
        let mesh = lock(&self.0.mesh);
        let part = mesh.part(host);
        let keys = part.map(|part| part.keys.clone());
        keys.ok_or_else(|| TurnError::NoPart(host.clone()))
    }

    async fn now_has(&self, host: &HostName, keys: Vec<String>) -> Result<(), UnderlayError> {
        {
            let mut mesh = lock(&self.0.mesh);
            let kept = mesh.kept(host).and_then(|(_, part)| part);
            if let Some((site, part)) = kept {
                mesh.take(host, &site, model::underlay::Part { keys, ..part })?;
            }
        }
        Ok(self.keep(host).await?)
    }

    /// A host that has not taken this one's keys as they are.
    fn missing(&self, host: &HostName) -> Option<HostName> {
        let told = lock(&self.0.told);
        let mesh = lock(&self.0.mesh);
        let part = mesh.part(host)?;
        let knows = |other: &HostName| {
            let Some((peers, true)) = told.get(other) else {
                return false;
            };
            let known = peers.peers.iter().find(|peer| peer.host == *host);
            known.is_some_and(|peer| peer.part.keys == part.keys)
        };
        let mut others = mesh.hosts().filter(|other| *other != host);
        others.find(|other| !knows(other)).cloned()
    }

    async fn told_all(&self, host: &HostName) -> Result<(), TurnError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        while let Some(away) = self.missing(host) {
            if tokio::time::Instant::now() > until || !self.0.hosts.is_connected(&away) {
                return Err(TurnError::NotTold {
                    host: host.clone(),
                    away,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
