//! The network downtime of a switchover, predicted before anything is flipped.
//!
//! gap = drain + stop latency + one-way delay of the WAN + what the VMs that stop together still have
//! to send / link + resume to first reply. All parts are measured or set beforehand; the last part is
//! the cost of a fresh QEMU process, which grows when a gang has more VMs than the target has CPUs (TCG
//! translates anew) + what the target's load may add, as its agent measures it. VMs of a gang stop one after another, [`Gap::stagger_ms`] apart.

/// Parts of a predicted gap, ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// From the last packet that reaches the source until the stop.
    pub drain_ms: f64,
    /// From the release until the vCPUs stop.
    pub stop_ms: f64,
    /// One-way delay from source to target.
    pub one_way_ms: f64,
    /// Bytes after the stop of all VMs that stop together, over the link they share.
    pub burst_ms: f64,
    /// From the resume to the first reply.
    pub first_reply_ms: f64,
    /// What the target's load may add, as measured there.
    pub stall_ms: f64,
}

/// What is known when a gap is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Drain, ms.
    pub drain_ms: f64,
    /// One-way delay between source and target, ms.
    pub one_way_ms: f64,
    /// Bytes on the wire that all VMs that stop together are expected to have after the stop.
    pub burst_bytes: u64,
    /// The link they share, bytes a second.
    pub link: f64,
    /// VMs of the gang: they share the target's CPUs, also when they stop one after another.
    pub vms: usize,
    /// CPUs of the target host.
    pub cpus: usize,
    /// True when the target translates (TCG).
    pub translated: bool,
    /// Longest that an ordinary thread of the target waited for a CPU lately, ms.
    pub stall_ms: f64,
}

/// Release to stop: one short pass of QEMU and the way through the relay, ms.
const STOP_MS: f64 = 4.0;
/// Load of the device state and resume, ms.
const RESUME_MS: f64 = 4.0;
/// Resume to first reply of one VM with a CPU of its own, ms: translated guests start with an empty
/// code cache.
const FIRST_REPLY_TCG_MS: f64 = 36.0;
const FIRST_REPLY_KVM_MS: f64 = 2.0;
/// How much longer that takes for each further VM of the gang, over the CPUs: the others compute as well, here and,
/// until they stop, at the source. Fitted to gaps of one, two and four emulated VMs on two CPUs.
const CROWD: f64 = 1.1;
/// A reply waits for a CPU a few times at most, seldom for the longest time that was seen.
const STALLED: f64 = 0.5;

impl Gap {
    /// Predicts.
    pub fn predict(known: Known) -> Self {
        let further = known.vms.saturating_sub(1) as f64 / known.cpus.max(1) as f64;
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
            first_reply_ms: (RESUME_MS + one) * (1.0 + CROWD * further),
            stall_ms: known.stall_ms * STALLED,
        }
    }

    /// The whole gap, ms.
    pub fn total_ms(&self) -> f64 {
        self.drain_ms
            + self.stop_ms
            + self.one_way_ms
            + self.burst_ms
            + self.first_reply_ms
            + self.stall_ms
    }

    /// When the next VM may stop after one with this gap, ms: the one before it has had time to answer
    /// what waited for it.
    pub fn stagger_ms(&self) -> f64 {
        (self.total_ms() - self.stall_ms) * 2.6
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
            stall_ms: 0.0,
        };
        let gap = Gap::predict(known);
        assert_eq!(gap.burst_ms, 40.0);
        let twice = Gap::predict(Known {
            burst_bytes: 2_000_000,
            ..known
        });
        assert!((twice.total_ms() - gap.total_ms() - 40.0).abs() < 1e-6);
        let busy = Gap::predict(Known {
            stall_ms: 25.0,
            ..known
        });
        assert!((busy.total_ms() - gap.total_ms() - 12.5).abs() < 1e-6);
    }
}
