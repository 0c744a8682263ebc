//! The machine as a whole: version, run state, stop, cont, quit.

use serde::Deserialize;
use serde_json::Value;

use crate::{Qmp, QmpError, Version};

/// Whether and why a machine runs or not (`RunState` of the manual).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum RunState {
    /// The guest runs.
    Running,
    /// Stopped by `stop`.
    Paused,
    /// Started with `-S` and not yet run.
    Prelaunch,
    /// Waits for an incoming migration.
    InMigrate,
    /// Stopped by a migration that has completed.
    PostMigrate,
    /// Stopped by a migration that is finishing.
    FinishMigrate,
    /// The guest shut down.
    Shutdown,
    /// Any other, in QEMU's spelling (`internal-error`, `io-error`, ...).
    Other(String),
}

impl From<String> for RunState {
    fn from(state: String) -> Self {
        match state.as_str() {
            "running" => Self::Running,
            "paused" => Self::Paused,
            "prelaunch" => Self::Prelaunch,
            "inmigrate" => Self::InMigrate,
            "postmigrate" => Self::PostMigrate,
            "finish-migrate" => Self::FinishMigrate,
            "shutdown" => Self::Shutdown,
            _ => Self::Other(state),
        }
    }
}

/// Answer of `query-status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether virtual CPUs run.
    pub running: bool,
    /// The state in detail.
    pub status: RunState,
}

#[derive(Deserialize)]
struct VersionAnswer {
    qemu: Version,
}

impl Qmp {
    /// `query-version`
    ///
    /// # Errors
    /// As [`Qmp::query`].
    pub async fn query_version(&self) -> Result<Version, QmpError> {
        Ok(self
            .query::<VersionAnswer>("query-version", Value::Null)
            .await?
            .qemu)
    }

    /// `query-status`
    ///
    /// # Errors
    /// As [`Qmp::query`].
    pub async fn query_status(&self) -> Result<Status, QmpError> {
        self.query("query-status", Value::Null).await
    }

    /// `stop`: halts the virtual CPUs. Returns when they stand; the `STOP` event precedes the answer.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn stop(&self) -> Result<(), QmpError> {
        self.execute("stop", Value::Null).await.map(drop)
    }

    /// `cont`: lets the virtual CPUs run.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn cont(&self) -> Result<(), QmpError> {
        self.execute("cont", Value::Null).await.map(drop)
    }

    /// `quit`: ends the QEMU process. A connection that closes in place of an answer is success too.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn quit(&self) -> Result<(), QmpError> {
        if self.is_closed() {
            return Ok(());
        }
        match self.execute("quit", Value::Null).await {
            Ok(_) | Err(QmpError::Closed { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
