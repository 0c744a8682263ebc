//! Live migration: settings, start, progress. Typed views of the commands in the manual's chapter "Migration".

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{Event, Qmp, QmpError};

/// State of a migration (`MigrationStatus` of the manual).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub enum MigrationStatus {
    /// None was started.
    #[default]
    None,
    /// Connecting.
    Setup,
    /// An abort is under way.
    Cancelling,
    /// Aborted.
    Cancelled,
    /// Memory is copied while the guest runs.
    Active,
    /// The guest runs at the target and fetches memory.
    PostcopyActive,
    /// Post-copy lost its connection.
    PostcopyPaused,
    /// Post-copy is being repaired.
    PostcopyRecover,
    /// Stopped, waiting for `migrate-continue` (capability `pause-before-switchover`).
    PreSwitchover,
    /// The last memory and the device state are sent; the guest stands.
    Device,
    /// Waits for the guest to give up a device.
    WaitUnplug,
    /// Done: QEMU has sent everything and, with `return-path`, the target has loaded it.
    Completed,
    /// Failed; the guest goes on at the source.
    Failed,
    /// Any other, in QEMU's spelling.
    Other(String),
}

impl From<String> for MigrationStatus {
    fn from(status: String) -> Self {
        match status.as_str() {
            "none" => Self::None,
            "setup" => Self::Setup,
            "cancelling" => Self::Cancelling,
            "cancelled" => Self::Cancelled,
            "active" => Self::Active,
            "postcopy-active" => Self::PostcopyActive,
            "postcopy-paused" => Self::PostcopyPaused,
            "postcopy-recover" | "postcopy-recover-setup" => Self::PostcopyRecover,
            "pre-switchover" => Self::PreSwitchover,
            "device" => Self::Device,
            "wait-unplug" => Self::WaitUnplug,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Other(status),
        }
    }
}

impl MigrationStatus {
    /// Whether nothing more will happen.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Completed | Self::Failed)
    }
}

/// Memory part of [`MigrationInfo`]. Absent numbers are zero.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RamInfo {
    /// Bytes sent.
    pub transferred: u64,
    /// Bytes of guest memory still to send.
    pub remaining: u64,
    /// Bytes of guest memory in all.
    pub total: u64,
    /// Pages of zeroes, sent as a mark only.
    pub duplicate: u64,
    /// Pages sent whole.
    pub normal: u64,
    /// Bytes of the pages sent whole.
    pub normal_bytes: u64,
    /// Rounds over the memory so far.
    pub dirty_sync_count: u64,
    /// Pages that the guest dirties per second, measured at the last round.
    pub dirty_pages_rate: u64,
    /// Send rate, 10^6 bits per second.
    pub mbps: f64,
    /// Pages sent per second.
    pub pages_per_second: u64,
    /// Bytes of a page; 4096 on x86.
    pub page_size: u64,
    /// Bytes sent while the guest ran.
    pub precopy_bytes: u64,
    /// Bytes of memory sent while the guest stood.
    pub downtime_bytes: u64,
    /// Bytes sent over multifd channels.
    pub multifd_bytes: u64,
    /// Bytes sent after the switchover.
    pub postcopy_bytes: u64,
}

/// Answer of `query-migrate`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MigrationInfo {
    /// The state; [`MigrationStatus::None`] where QEMU names none.
    pub status: MigrationStatus,
    /// Memory; `None` before it starts, and always at the target.
    pub ram: Option<RamInfo>,
    /// How long the virtual CPUs stood, by QEMU's own clock, ms resolution; known when completed. What a peer
    /// sees is longer.
    #[serde(deserialize_with = "milliseconds")]
    pub downtime: Option<Duration>,
    /// What QEMU expects `downtime` to be, while active.
    #[serde(deserialize_with = "milliseconds")]
    pub expected_downtime: Option<Duration>,
    /// Time since the start.
    #[serde(deserialize_with = "milliseconds")]
    pub total_time: Option<Duration>,
    /// Time of the set-up.
    #[serde(deserialize_with = "milliseconds")]
    pub setup_time: Option<Duration>,
    /// Why it failed.
    pub error_desc: Option<String>,
    /// Reasons why the machine cannot migrate at all.
    pub blocked_reasons: Vec<String>,
    /// Where the target listens (`port` is a string), after `migrate-incoming` with port 0.
    pub socket_address: Vec<Value>,
}

fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<i64>::deserialize(from)?
        .map(|ms| Duration::from_millis(ms.try_into().unwrap_or(0))))
}

impl Event {
    /// The new state, if this is a `MIGRATION` event (capability `events`).
    pub fn migration_status(&self) -> Option<MigrationStatus> {
        if self.name != "MIGRATION" {
            return None;
        }
        Some(MigrationStatus::from(
            self.data.get("status")?.as_str()?.to_owned(),
        ))
    }

    /// The round that begins, from 1, if this is a `MIGRATION_PASS` event.
    pub fn migration_pass(&self) -> Option<u64> {
        if self.name != "MIGRATION_PASS" {
            return None;
        }
        self.data.get("pass")?.as_u64()
    }
}

impl Qmp {
    /// `query-migrate`
    ///
    /// # Errors
    /// As [`Qmp::query`].
    pub async fn query_migrate(&self) -> Result<MigrationInfo, QmpError> {
        self.query("query-migrate", Value::Null).await
    }

    /// `migrate-set-capabilities`. Those not named stay as they are.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; QEMU refuses all of them if it does not know one.
    pub async fn set_capabilities(&self, capabilities: &[(&str, bool)]) -> Result<(), QmpError> {
        let list: Vec<Value> = capabilities
            .iter()
            .map(|(name, state)| json!({"capability": name, "state": state}))
            .collect();
        self.execute("migrate-set-capabilities", json!({"capabilities": list}))
            .await
            .map(drop)
    }

    /// `migrate-set-parameters`; an object such as `{"downtime-limit": 300, "max-bandwidth": 25000000}` (ms,
    /// bytes/s).
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn set_parameters(&self, parameters: Value) -> Result<(), QmpError> {
        self.execute("migrate-set-parameters", parameters)
            .await
            .map(drop)
    }

    /// `migrate`: starts sending to `uri` (`unix:PATH`, `tcp:HOST:PORT`, `fd:NAME` after [`Qmp::getfd`]).
    /// Returns when it has begun.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn migrate(&self, uri: &str) -> Result<(), QmpError> {
        self.execute("migrate", json!({"uri": uri})).await.map(drop)
    }

    /// `migrate-incoming`: the target, started with `-incoming defer`, begins to listen on `uri`.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn migrate_incoming(&self, uri: &str) -> Result<(), QmpError> {
        self.execute("migrate-incoming", json!({"uri": uri}))
            .await
            .map(drop)
    }

    /// `migrate-continue` out of `pre-switchover`.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; QEMU refuses in any other state.
    pub async fn migrate_continue(&self) -> Result<(), QmpError> {
        self.execute("migrate-continue", json!({"state": "pre-switchover"}))
            .await
            .map(drop)
    }

    /// `migrate_cancel`: the guest goes on at the source. Does nothing where no migration runs; a
    /// migration that has completed stays so.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn migrate_cancel(&self) -> Result<(), QmpError> {
        self.execute("migrate_cancel", Value::Null).await.map(drop)
    }
}
