//! A trickle while the user has paused the migration, and full rate again.

use super::Driver;
use super::copy::BESIDE_MEMORY;
use migration::hold::{Hold, PAGE};
use model::news::Answer;
use serde_json::json;

/// Enough that both ends see that the stream lives, bytes a second: QEMU looks at its limits every 100 ms,
/// and less than a page in that time is nothing.
const TRICKLE: u64 = 20 * PAGE;

/// Bytes left after a pass that the switchover can carry, at this rate in bulk, bytes a second.
pub(super) fn acceptable(bulk_rate: u64) -> u64 {
    (bulk_rate / 4).max(1 << 20)
}

impl Driver {
    /// What the VM's disks may use, bytes a second.
    pub(super) fn mirror_rate(&self) -> u64 {
        let bulk = self.job.how.bulk_rate;
        match (self.slow, self.sending) {
            (true, _) => TRICKLE,
            (false, true) => bulk / BESIDE_MEMORY,
            (false, false) => bulk,
        }
    }

    /// Sends at a trickle, or as fast as may be again. The guest does not notice either.
    pub(super) async fn pace(&mut self, slow: bool) -> Result<Answer, String> {
        if self.armed.is_some() || self.stopped || self.pump.is_none() {
            return Err(format!(
                "'{}' is armed, has stopped, or is not sent any more; its pace is not changed",
                self.job.vm
            ));
        }
        if slow == self.slow {
            return Ok(Answer::Done);
        }
        let bulk = self.job.how.bulk_rate;
        let rate = match slow {
            true => TRICKLE,
            false => bulk.saturating_mul(8),
        };
        let set = json!({"max-bandwidth": rate});
        let set = self.vm.qmp.set_parameters(set).await;
        set.map_err(|error| error.to_string())?;
        self.slow = slow;
        if let Some(pump) = &self.pump {
            // What QEMU has handed over already would go on at full rate for seconds.
            pump.pace(Some(if slow { TRICKLE } else { bulk }));
        }
        if let Some(mirrors) = &self.mirrors {
            mirrors.pace(Some(self.mirror_rate()));
        }
        if !slow {
            // What it dirtied meanwhile is still to be sent.
            self.held = false;
            self.job.how.hold_rate = self.most_hold_rate;
            self.hold = Hold::new(self.most_hold_rate, acceptable(bulk));
        }
        Ok(Answer::Done)
    }
}
