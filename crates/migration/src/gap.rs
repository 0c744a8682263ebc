//! The network downtime of a switchover, predicted before anything is flipped.
//!
//! gap = drain + stop latency + one-way delay of the WAN + what the gang still has to send / link +
//! resume to first reply. All parts are measured or set beforehand; the last part is the cost of a
//! fresh QEMU process, which grows when more VMs than CPUs resume at once (TCG translates anew).

/// Parts of a predicted gap, ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// From the last packet that reaches the source until the stop.
    pub drain_ms: f64,
    /// From the release until the vCPUs stop.
    pub stop_ms: f64,
    /// One-way delay from source to target.
    pub one_way_ms: f64,
    /// Bytes of the whole gang after the stop, over the link they share.
    pub burst_ms: f64,
    /// From the resume to the first reply.
    pub first_reply_ms: f64,
}

/// What is known when a gap is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Drain, ms.
    pub drain_ms: f64,
    /// One-way delay between source and target, ms.
    pub one_way_ms: f64,
    /// Bytes on the wire that all VMs of the gang together are expected to have after the stop.
    pub burst_bytes: u64,
    /// The link they share, bytes a second.
    pub link: f64,
    /// VMs in the gang.
    pub vms: usize,
    /// CPUs of the target host.
    pub cpus: usize,
    /// True when the target translates (TCG).
    pub translated: bool,
}

/// Release to stop: one short pass of QEMU and the way through the relay, ms.
const STOP_MS: f64 = 4.0;
/// Load of the device state and resume, ms.
const RESUME_MS: f64 = 4.0;
/// Resume to first reply of one VM with a CPU of its own, ms: translated guests start with an empty
/// code cache.
const FIRST_REPLY_TCG_MS: f64 = 22.0;
const FIRST_REPLY_KVM_MS: f64 = 2.0;

impl Gap {
    /// Predicts.
    pub fn predict(known: Known) -> Self {
        let turns = (known.vms as f64 / known.cpus.max(1) as f64).max(1.0);
        let one = if known.translated {
            FIRST_REPLY_TCG_MS
        } else {
            FIRST_REPLY_KVM_MS
        };
        Self {
            drain_ms: known.drain_ms,
            stop_ms: STOP_MS,
            one_way_ms: known.one_way_ms,
            burst_ms: known.burst_bytes as f64 / known.link.max(1.0) * 1000.0,
            first_reply_ms: (RESUME_MS + one) * turns,
        }
    }

    /// The whole gap, ms.
    pub fn total_ms(&self) -> f64 {
        self.drain_ms + self.stop_ms + self.one_way_ms + self.burst_ms + self.first_reply_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_vms_on_one_link_add_their_remainders() {
        let known = Known {
            drain_ms: 8.0,
            one_way_ms: 15.5,
            burst_bytes: 1_000_000,
            link: 25e6,
            vms: 4,
            cpus: 2,
            translated: true,
        };
        let gap = Gap::predict(known);
        assert_eq!(gap.burst_ms, 40.0);
        let twice = Gap::predict(Known {
            burst_bytes: 2_000_000,
            ..known
        });
        assert_eq!(twice.total_ms() - gap.total_ms(), 40.0);
    }
}
