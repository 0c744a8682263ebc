//! The OpenFlow connection to `icint0`: kept open, made again, and the rules read back over it.
//!
//! `<rundir>/icint0.mgmt` is the bridge's management socket; it speaks what the bridge's
//! `protocols` say. What should be installed is not known here.

use crate::error::{Error, Result};
use control::projection::{Change, Cookie};
use openflow::FlowMod;
use openflow::client::{Client, ClientError};
use openflow::multipart::{FlowStats, FlowStatsRequest};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The protocols that the bridge has to offer; 1.3 is spoken.
pub(crate) const PROTOCOLS: [&str; 2] = ["OpenFlow13", "OpenFlow14"];

/// Messages that are sent together.
#[derive(Debug, Clone)]
pub(crate) struct Batch(Vec<FlowMod>);

/// The connection, or its absence.
#[derive(Debug)]
pub(crate) struct Switch {
    path: PathBuf,
    client: Mutex<Option<Client>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no connection to {0}; ovs-vswitchd is down, or starting")]
struct NotConnected(PathBuf);

impl Switch {
    pub(crate) fn new(rundir: &Path) -> Self {
        Self {
            path: rundir.join("icint0.mgmt"),
            client: Mutex::new(None),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, what: &str) -> Result<Client> {
        let client = self.slot().clone();
        client.ok_or_else(|| Error::openflow(what, NotConnected(self.path.clone())))
    }

    /// Opens the connection where there is none that works.
    pub(crate) async fn connect(&self) -> Result<()> {
        if self
            .slot()
            .as_ref()
            .is_some_and(|client| client.close_reason().is_none())
        {
            return Ok(());
        }
        let client = Client::connect_unix(&self.path).await;
        let client = client.map_err(|error| Error::openflow("connect", error))?;
        *self.slot() = Some(client);
        Ok(())
    }

    /// Waits until the connection is over; at once when there is none.
    pub(crate) async fn closed(&self) {
        let client = self.slot().clone();
        if let Some(client) = client {
            client.closed().await;
            *self.slot() = None;
        }
    }

    /// The steps as messages.
    pub(crate) fn encode(&self, steps: &[Change]) -> Batch {
        Batch(steps.iter().map(Change::flow_mod).collect())
    }

    /// One write, one barrier; gives back when the switch has done all of it.
    pub(crate) async fn send(&self, what: &'static str, batch: Batch) -> Result<()> {
        let client = self.client(what)?;
        client
            .send_batch(batch.0)
            .await
            .map_err(|error| refused(what, error))
    }

    /// The same for messages that are no step of the directory's; nothing happens when there are none.
    pub(crate) async fn send_messages(
        &self,
        what: &'static str,
        messages: Vec<FlowMod>,
    ) -> Result<()> {
        match messages.is_empty() {
            true => Ok(()),
            false => self.send(what, Batch(messages)).await,
        }
    }

    /// All of it at the same instant, or nothing.
    pub(crate) async fn send_bundle(&self, what: &'static str, batch: Batch) -> Result<()> {
        let client = self.client(what)?;
        client
            .commit_bundle(batch.0)
            .await
            .map_err(|error| refused(what, error))
    }

    /// Rules with their counters, everybody's.
    pub(crate) async fn flows(&self, request: FlowStatsRequest) -> Result<Vec<FlowStats>> {
        let what = "read the rules back";
        let client = self.client(what)?;
        let rules = client.dump_flows(request).await;
        rules.map_err(|error| refused(what, error))
    }

    /// Table and cookie of every rule of ours.
    pub(crate) async fn installed(&self) -> Result<Vec<(u8, Cookie)>> {
        let what = "read the rules back";
        let client = self.client(what)?;
        let (cookie, mask) = Cookie::OURS;
        let rules = client
            .dump_flows(FlowStatsRequest::default().cookie(cookie, mask))
            .await
            .map_err(|error| refused(what, error))?;
        Ok(rules
            .iter()
            .map(|rule| (rule.table_id, Cookie(rule.cookie)))
            .collect())
    }
}

fn refused(what: &'static str, error: ClientError) -> Error {
    Error::openflow(what, error)
}
