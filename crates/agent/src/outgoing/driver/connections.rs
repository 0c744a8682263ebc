//! Connections through the VM's security rules: told to the target, before the VM comes there.
//!
//! They are read while the VM is on hold, again when its stop is scheduled and near, and once more when it has
//! stopped; each time only what is new is sent. So nearly all of them are there before the first peer
//! flips, and nobody waits for any of this. A VM without rules costs one look at its row.

use super::Driver;
use crate::relay::Frame;
use model::Flow;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Connections in one frame: about 200 KiB.
const PART: usize = 1000;

/// What the target was told.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<BTreeSet<Flow>>>);

impl Driver {
    /// Tells the target which connections there are that it does not know yet; does not wait for it.
    pub(super) fn tell_connections(&self) {
        let Some(pump) = &self.pump else { return };
        let (host, key) = (self.around.host.clone(), self.key());
        let (told, frames) = (self.connections.clone(), pump.frames.clone());
        tokio::spawn(async move {
            let mut told = told.0.lock().await;
            let all = match host.connections(&key).await {
                Ok(all) => all,
                Err(error) => {
                    tracing::warn!(%error, vm = %key.1, "its connections could not be read; those that the target does not know end");
                    return;
                }
            };
            let new: Vec<_> = all
                .into_iter()
                .filter(|one| told.insert(one.flow))
                .collect();
            for part in new.chunks(PART) {
                if frames
                    .send(Frame::Connections(part.to_vec()))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
    }
}
