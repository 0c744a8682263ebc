//! What the relay counts, as its control socket tells it.

use serde::{Deserialize, Serialize};

use super::shaping::Shaping;

/// One direction of one access.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Packets that came through.
    pub packets: u64,
    /// Their bytes (Ethernet frames without check sequence).
    pub bytes: u64,
    /// Packets dropped because too much waited for the line.
    pub dropped_queue: u64,
    /// Packets lost by `loss`.
    pub dropped_loss: u64,
    /// Bytes that wait for the line.
    pub backlog_bytes: u64,
    /// The same as time.
    pub backlog_ms: f64,
    /// Packets waiting or under way.
    pub under_way: u64,
}

/// Packets of one site that the gateway dropped, by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayDrops {
    /// Not addressed to the gateway, or of a protocol that is not routed.
    pub not_for_us: u64,
    /// Malformed, or with a wrong IPv4 header checksum.
    pub malformed: u64,
    /// TTL or hop limit used up.
    pub expired: u64,
    /// No site has the destination.
    pub no_route: u64,
    /// Nobody at this (destination) site answered for the address.
    pub no_neighbour: u64,
    /// All links of this (destination) site's network were down.
    pub no_link: u64,
    /// The kernel refused the frame (to this destination site).
    pub not_sent: u64,
}

/// One uplink as the relay sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStats {
    /// Its name in the site.
    pub site_end: String,
    /// Whether it has carrier.
    pub up: bool,
    /// Frames from the site.
    pub received: u64,
    /// Frames to the site.
    pub sent: u64,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteStats {
    /// Its name.
    pub site: String,
    /// Shaping from the site.
    pub up_shaping: Shaping,
    /// Shaping to the site.
    pub down_shaping: Shaping,
    /// From the site.
    pub up: Flow,
    /// To the site.
    pub down: Flow,
    /// What its gateway dropped.
    pub drops: GatewayDrops,
    /// Its uplinks.
    pub ports: Vec<PortStats>,
}

/// How far behind their time packets left, over all sites: the relay's own error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Packets counted.
    pub packets: u64,
    /// Half of them were at most this late, in microseconds (upper edge of a bucket).
    pub p50_us: u64,
    /// 99 in 100.
    pub p99_us: u64,
    /// The worst.
    pub max_us: u64,
}

/// Everything the relay counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WanStats {
    /// By site, in the plan's order.
    pub sites: Vec<SiteStats>,
    /// The relay's error since the last reset.
    pub lateness: Lateness,
    /// Frames that the kernel dropped because the relay read too slowly.
    pub kernel_drops: u64,
    /// Times the relay woke up.
    pub wakeups: u64,
    /// CPU time the relay has used, in milliseconds.
    pub cpu_ms: u64,
}

impl WanStats {
    /// The stats of a site.
    pub fn site(&self, name: &str) -> Option<&SiteStats> {
        self.sites.iter().find(|site| site.site == name)
    }
}

/// A histogram of lateness with four buckets an octave.
#[derive(Debug, Clone)]
pub(crate) struct LatenessLog {
    buckets: [u64; 128],
    packets: u64,
    max_ns: u64,
}

impl LatenessLog {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [0; 128],
            packets: 0,
            max_ns: 0,
        }
    }

    pub(crate) fn add(&mut self, ns: u64) {
        self.buckets[bucket(ns)] += 1;
        self.packets += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn summary(&self) -> Lateness {
        let at = |share: f64| {
            let wanted = (self.packets as f64 * share).ceil() as u64;
            let mut seen = 0;
            let found = self.buckets.iter().position(|n| {
                seen += n;
                seen >= wanted
            });
            found.map_or(0, |b| upper_edge(b).min(self.max_ns) / 1000)
        };
        Lateness {
            packets: self.packets,
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: self.max_ns / 1000,
        }
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.max(4);
    let octave = ns.ilog2();
    let quarter = (ns >> (octave - 2)) & 3;
    ((octave as usize - 2) * 4 + quarter as usize).min(127)
}

fn upper_edge(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket as u32 / 4 + 2, bucket as u64 % 4);
    ((5 + quarter) << (octave - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_below_the_edge_of_its_bucket_and_within_a_quarter_of_it() {
        for ns in (4..10_000).chain([1_000_000, 123_456_789]) {
            let edge = upper_edge(bucket(ns));
            assert!(ns <= edge && edge <= ns + ns / 4, "{ns} {edge}");
        }
    }

    #[test]
    fn the_summary_names_median_and_worst() {
        let mut log = LatenessLog::new();
        for us in 1..=100 {
            log.add(us * 1000);
        }
        let summary = log.summary();
        assert_eq!((summary.packets, summary.max_us), (100, 100));
        assert!((50..=63).contains(&summary.p50_us), "{summary:?}");
        assert!((99..=100).contains(&summary.p99_us), "{summary:?}");
    }
}
