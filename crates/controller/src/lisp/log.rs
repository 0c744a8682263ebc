//! Lines of the server for the log: all of them, but no flood of rejections.

use crate::{clock, lock};
use mapping::Audit;
use model::Nanos;
use std::sync::Mutex;

/// Rejections that have a line of their own in a second; of further ones only the number is said.
const LINES: u32 = 200;

/// What was said in this second.
#[derive(Default)]
pub(super) struct Log(Mutex<Said>);

#[derive(Default)]
struct Said {
    since: Nanos,
    lines: u32,
    more: u64,
}

impl Log {
    pub(super) fn take(&self, audit: &[Audit]) {
        if audit.is_empty() {
            return;
        }
        let mut said = lock(&self.0);
        let now = clock::now();
        if now.ms_since(said.since) >= 1000.0 {
            if said.more > 0 {
                tracing::warn!(count = said.more, "more LISP messages were rejected");
            }
            *said = Said {
                since: now,
                ..Said::default()
            };
        }
        for line in audit {
            match line {
                Audit::Rejected { from, reason } if said.lines < LINES => {
                    said.lines += 1;
                    tracing::warn!(%from, %reason, "a LISP message was rejected");
                }
                Audit::Rejected { .. } => said.more += 1,
                Audit::Changed { eid } => tracing::debug!(%eid, "a mapping has changed"),
                Audit::Gone { eid } => tracing::debug!(%eid, "a mapping is gone"),
                Audit::Unacknowledged { eid, xtr_id } => {
                    let xtr = format!("{xtr_id:#x}");
                    tracing::warn!(%eid, %xtr, "a subscriber does not acknowledge");
                }
            }
        }
    }
}
