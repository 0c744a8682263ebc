//! Open vSwitch: change its configuration and wait until ovs-vswitchd has acted on it.
//!
//! As `ovs-vsctl` does: the transaction adds one to `next_cfg`, and ovs-vswitchd sets `cur_cfg` to it when it has
//! applied everything (`ovs-vswitchd.conf.db(5)`, table `Open_vSwitch`). Waiting is one more
//! request that the server answers when that comes true.

use std::time::{Duration, Instant};

use crate::{
    client::Client,
    error::{Error, OpErrorKind},
    monitor::{Monitor, MonitorSpec},
    op::{Condition, Mutate, Op, OpResult, Select, Wait},
    remote::Remote,
    row::Row,
};

/// Name of the database, and of its root table.
pub const DB: &str = "Open_vSwitch";

/// A client of the database of one Open vSwitch.
#[derive(Debug, Clone)]
pub struct Vswitch {
    client: Client,
    apply_timeout: Duration,
}

impl Vswitch {
    /// Connects to the database.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(remote: Remote) -> Result<Self, Error> {
        Ok(Self::new(Client::connect(remote).await?))
    }

    /// Uses a client; waits at most 30 s for ovs-vswitchd.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            apply_timeout: Duration::from_secs(30),
        }
    }

    /// With another limit for the wait.
    #[must_use]
    pub fn with_apply_timeout(mut self, limit: Duration) -> Self {
        self.apply_timeout = limit;
        self
    }

    /// The client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A transaction on the database, without waiting for ovs-vswitchd.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn transact(
        &self,
        ops: impl IntoIterator<Item = impl Into<Op>>,
    ) -> Result<Vec<OpResult>, Error> {
        self.client.transact(DB, ops).await
    }

    /// Reads rows.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn select(&self, select: Select) -> Result<Vec<Row>, Error> {
        self.client.select(DB, select).await
    }

    /// Monitors tables; see [`Client::monitor`]. Start from `MonitorSpec::new(vswitch::DB)`.
    ///
    /// # Errors
    /// As [`Client::monitor`].
    pub async fn monitor(&self, spec: MonitorSpec) -> Result<Monitor, Error> {
        self.client.monitor(spec).await
    }

    /// A transaction, and the wait until ovs-vswitchd has applied it. Gives the results of `ops`.
    ///
    /// Applied does not mean that each port works: a port that could not be opened has `ofport` -1 and a
    /// text in `error` of its `Interface` row, which hold by then.
    ///
    /// # Errors
    /// [`Error::NotApplied`] when ovs-vswitchd does not act in time: the change is in the database then;
    /// [`Error::NotInitialized`] when the root table is empty; else as [`Client::transact`].
    pub async fn transact_and_wait(
        &self,
        ops: impl IntoIterator<Item = impl Into<Op>>,
    ) -> Result<Vec<OpResult>, Error> {
        let mut ops: Vec<Op> = ops.into_iter().map(Into::into).collect();
        let count = ops.len();
        ops.push(Mutate::table(DB).add("next_cfg", 1).into());
        ops.push(Select::from(DB).columns(["next_cfg"]).into());
        let mut results = self.transact(ops).await?;
        let root = results
            .get(count + 1)
            .and_then(|result| result.rows.first());
        let next_cfg = root
            .ok_or(Error::NotInitialized)?
            .integer("next_cfg")
            .unwrap_or_default();
        results.truncate(count);
        self.wait_applied(next_cfg).await?;
        Ok(results)
    }

    /// Waits until ovs-vswitchd has applied configuration `next_cfg`, also over a lost connection.
    ///
    /// # Errors
    /// [`Error::NotApplied`]; else as [`Client::transact`].
    pub async fn wait_applied(&self, next_cfg: i64) -> Result<(), Error> {
        let waited = self.apply_timeout;
        let start = Instant::now();
        loop {
            let left = waited.saturating_sub(start.elapsed());
            let wait = Wait::on(DB, ["_uuid"])
                .when(Condition::new("cur_cfg", ">=", next_cfg))
                .until_not_equal([])
                .timeout(left);
            match self.transact([wait]).await {
                Ok(_) => return Ok(()),
                Err(Error::Transaction(e)) if e.kind == OpErrorKind::TimedOut => {
                    return Err(Error::NotApplied { next_cfg, waited });
                }
                Err(Error::Disconnected { .. }) if !left.is_zero() => {}
                Err(e) => return Err(e),
            }
        }
    }
}
