//! All disks of one VM that is being received.

use super::sink::Sink;
use crate::AgentError;
use crate::relay::Opening;
use crate::relay::listener::Expectations;
use crate::vms::Vm;
use model::HostName;
use serde_json::json;

/// Where QEMU's NBD server listens, in the VM's folder.
const SOCKET: &str = "nbd";

/// The disks on their way; no longer expected when it is dropped.
pub(crate) struct Arrival {
    sinks: Vec<Sink>,
    openings: Vec<Opening>,
    expectations: Expectations,
}

impl Arrival {
    /// Opens the images of an incoming QEMU for writing and expects the source.
    pub(crate) async fn open(
        vm: &Vm,
        expectations: &Expectations,
        opening: &Opening,
        source: &HostName,
    ) -> Result<Self, AgentError> {
        let mut arrival = Self {
            sinks: Vec::new(),
            openings: Vec::new(),
            expectations: expectations.clone(),
        };
        let disks: Vec<_> = vm.disks().filter(|disk| disk.shared.is_none()).collect();
        if disks.is_empty() {
            return Ok(arrival);
        }
        let socket = vm.path(SOCKET);
        let address = json!({"type": "unix", "data": {"path": socket}});
        let args = json!({"addr": address});
        vm.qmp.execute("nbd-server-start", args).await?;
        for disk in disks {
            let export = json!({
                "type": "nbd", "id": format!("export-{}", disk.name), "node-name": vm.node(disk),
                "name": disk.name, "writable": true,
            });
            vm.qmp.execute("block-export-add", export).await?;
            let opening = Opening {
                disk: Some(disk.name.clone()),
                ..opening.clone()
            };
            let connections = expectations.keep(&opening, source.clone());
            arrival.openings.push(opening);
            let sink = Sink::open(&socket, &disk.name, connections).await?;
            arrival.sinks.push(sink);
        }
        Ok(arrival)
    }

    /// Returns when every disk is whole; at once when there is none. May be asked again.
    ///
    /// # Errors
    /// One sentence when a disk will never be whole.
    pub(crate) async fn whole(&self) -> Result<(), String> {
        for sink in &self.sinks {
            let mut progress = sink.progress();
            let now = progress
                .wait_for(|now| now.finished || now.failed.is_some())
                .await
                .map_err(|_| "a disk's writer has ended".to_owned())?;
            if let Some(why) = &now.failed {
                return Err(why.clone());
            }
        }
        Ok(())
    }

    /// Gives QEMU its images for itself.
    ///
    /// # Errors
    /// QEMU's words.
    pub(crate) async fn close(&self, vm: &Vm) -> Result<(), String> {
        if self.sinks.is_empty() {
            return Ok(());
        }
        let stopped = vm.qmp.execute("nbd-server-stop", json!({})).await;
        stopped.map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        for opening in &self.openings {
            self.expectations.forget(opening);
        }
    }
}
