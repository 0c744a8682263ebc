//! Back to the source.

use super::{Driver, next_peer};
use crate::outgoing::pump::Peer;
use model::news::Answer;
use std::time::{Duration, Instant};

impl Driver {
    /// Back to the source: what waited at the target first, then what waited in the gate, then open
    /// it; the migration is cancelled last.
    pub(super) async fn abort(&mut self) -> Result<Answer, String> {
        let patience = Instant::now() + Duration::from_secs(2);
        while self.gate.is_some()
            && !self.returned_all
            && self.pump.is_some()
            && Instant::now() < patience
        {
            match tokio::time::timeout(Duration::from_millis(100), next_peer(&mut self.pump)).await
            {
                Ok(Peer::Packets(packets)) => self.returned.extend(packets),
                Ok(Peer::PacketsEnd) => self.returned_all = true,
                Ok(Peer::Running) => {
                    return Err(format!("'{}' already runs at the target", self.job.vm));
                }
                Ok(Peer::Discarded(_) | Peer::Lost(_)) => break,
                Err(_) => {}
            }
        }
        let host = &self.around.host;
        let (key, ifname) = (self.key(), self.vm.record.ifname.clone());
        let mut replayed = self.returned.len() as u64;
        let mut queue = std::mem::take(&mut self.returned);
        if let Some(gate) = &self.gate {
            let waited = gate.drain().map_err(|error| error.to_string())?;
            replayed += waited.len() as u64;
            queue.extend(waited);
        }
        let io = host.tap_io();
        io.inject(&ifname, &queue)
            .await
            .map_err(|error| error.to_string())?;
        if self.gate.take().is_some() {
            let late = host
                .close_gate(&key)
                .await
                .map_err(|error| error.to_string())?;
            replayed += late.len() as u64;
            io.inject(&ifname, &late)
                .await
                .map_err(|error| error.to_string())?;
        }
        host.set_arrivals(&key, None)
            .await
            .map_err(|error| error.to_string())?;
        if self.stopped {
            self.pump = None;
        }
        self.vm.stay().await;
        self.pump = None;
        self.over = true;
        Ok(Answer::Queue { packets: replayed })
    }
}
