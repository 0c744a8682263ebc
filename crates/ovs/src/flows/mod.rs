//! The rules that are really installed, read back over OpenFlow, beside those that the directory asks for.
//!
//! Nothing is changed and no change of rules is held up: what should be there is taken from a copy of
//! what the host holds, and where that changed while the switch answered, both are read again.

mod compare;

pub use compare::compare;
pub(crate) use compare::hex;

use crate::error::Result;
use crate::host::Host;
use control::projection::HostView;
use model::ClusterName;
use model::flows::{Counted, FlowRow, Rate};
use openflow::multipart::{FlowStats, FlowStatsRequest};
use std::time::{Duration, Instant};

/// Attempts to read rules between two changes of the directory.
const ATTEMPTS: usize = 4;

/// Rules of a switch, explained and marked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// By table, then priority from the highest, then match.
    pub rows: Vec<FlowRow>,
    /// The directory changed while the switch was read, each time: marks may be of both.
    pub unsettled: bool,
}

/// Rules of a switch with what should be there, of the same moment if possible.
pub(crate) struct Snapshot {
    pub(crate) view: HostView,
    pub(crate) installed: Vec<FlowStats>,
    pub(crate) at: Instant,
    unsettled: bool,
}

impl Host {
    /// Reads the rules of `icint0`: of all tables or one, of all clusters or one. With `over`, twice, so far
    /// apart, for rates; the switch's own counters lag up to half a second behind.
    ///
    /// # Errors
    /// The switch does not answer.
    pub async fn read_flows(
        &self,
        cluster: Option<&ClusterName>,
        table: Option<u8>,
        over: Duration,
    ) -> Result<Reading> {
        let mut first = None;
        if !over.is_zero() {
            first = Some(self.snapshot(table).await?);
            tokio::time::sleep(over).await;
        }
        let last = self.snapshot(table).await?;
        // Thousands of rules are compared: not on a thread that others wait for.
        let cluster = cluster.cloned();
        let made = tokio::task::spawn_blocking(move || {
            let mut rows = compare(&last.view, &last.installed, table);
            if let Some(first) = first {
                let ms = last.at.duration_since(first.at).as_secs_f64() * 1000.0;
                let before = compare(&first.view, &first.installed, table);
                add_rates(&before, &mut rows, ms);
            }
            rows.retain(|row| cluster.is_none() || row.cluster == cluster);
            Reading {
                rows,
                unsettled: last.unsettled,
            }
        });
        // It does not panic, and nobody aborts it; at the end of the runtime there is no reader.
        Ok(made.await.unwrap_or_default())
    }

    pub(crate) async fn snapshot(&self, table: Option<u8>) -> Result<Snapshot> {
        let request = table.map_or_else(FlowStatsRequest::default, FlowStatsRequest::table);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (view, generation) = {
                let state = self.inner.state.lock().await;
                (state.held.view.clone(), state.generation)
            };
            let installed = self.inner.switch.flows(request.clone()).await?;
            let at = Instant::now();
            let settled = self.inner.state.lock().await.generation == generation;
            if settled || attempt == ATTEMPTS {
                return Ok(Snapshot {
                    view,
                    installed,
                    at,
                    unsettled: !settled,
                });
            }
        }
    }
}

/// Puts rates to the later one of two readings; a rule that is new, or whose counter began anew, has none.
fn add_rates(before: &[FlowRow], after: &mut [FlowRow], ms: f64) {
    let place = |row: &FlowRow| (row.table, row.priority, row.matching.clone());
    let counted = |row: &FlowRow| {
        row.counted.map(|counted| Counted {
            packets: counted.packets,
            bytes: counted.bytes,
        })
    };
    let known: std::collections::BTreeMap<_, _> = before
        .iter()
        .filter_map(|row| Some((place(row), counted(row)?)))
        .collect();
    for row in after {
        let now = counted(row);
        row.rate = known
            .get(&place(row))
            .zip(now)
            .and_then(|(then, now)| Rate::between(*then, now, ms));
    }
}
