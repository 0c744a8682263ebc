//! Rules as a host's switch has them, beside what the directory asks for.
//!
//! Asked with [`crate::order::Order::ReadFlows`]. A host may have 20,000 rules, several megabytes, and the
//! connection that they would come by carries the orders of migrations too: an answer holds a part of
//! about [`PART`] bytes, and names the reading that the next part is asked of.

use crate::{ClusterName, VmName};
use serde::{Deserialize, Serialize};

/// About the largest part that is sent at once, bytes: some 10 ms of a link of 200 Mbit/s.
pub const PART: usize = 256 << 10;

/// The longest time between the two readings of a rate, ms.
pub const LONGEST_MS: u32 = 60_000;

/// Which rules are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsAsked {
    /// Only those of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Only those of this table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u8>,
    /// Read twice, this far apart, for rates, ms; once when 0. At most [`LONGEST_MS`].
    #[serde(default)]
    pub over_ms: u32,
    /// Go on with an earlier reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPart>,
}

/// Where a reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPart {
    /// The reading.
    pub reading: u64,
    /// The first row.
    pub from: u32,
}

/// A part of a reading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowsPart {
    /// Rows, by table, then priority from the highest.
    pub rows: Vec<FlowRow>,
    /// Where it goes on; none at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPart>,
    /// The directory changed while the switch was read: marks may be of both.
    #[serde(default)]
    pub unsettled: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRow {
    /// Table.
    pub table: u8,
    /// Priority; of the rules of one table that match, the highest decides.
    pub priority: u16,
    /// Which packets, as `ovs-ofctl` writes it.
    #[serde(rename = "match")]
    pub matching: String,
    /// What happens to them; `drop` for nothing.
    pub actions: String,
    /// Cookie, hexadecimal.
    pub cookie: String,
    /// What it is for.
    pub purpose: String,
    /// The cluster that it serves, where it serves one.
    #[serde(default)]
    pub cluster: Option<ClusterName>,
    /// The member that it serves, where it serves one.
    #[serde(default)]
    pub member: Option<VmName>,
    /// Whether it is as the directory asks.
    pub mark: FlowMark,
    /// What the directory asks to be done instead, where it was changed.
    #[serde(default)]
    pub wanted: Option<String>,
    /// What it has counted; none for a rule that is missing.
    #[serde(default)]
    pub counted: Option<FlowCounted>,
    /// What passes now; none without a second reading.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// What a rule has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCounted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Since when, ms.
    pub age_ms: u64,
}

/// What passes, between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Packets a second.
    pub packets_s: f64,
    /// Bits a second.
    pub bits_s: f64,
}

/// Packets and bytes at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Rate {
    /// From two readings, the later one `ms` after the other; none when the counter began anew between
    /// them, or no time has passed.
    pub fn between(before: Counted, after: Counted, ms: f64) -> Option<Self> {
        let packets = after.packets.checked_sub(before.packets)?;
        let bytes = after.bytes.checked_sub(before.bytes)?;
        (ms > 0.0).then(|| Self {
            packets_s: packets as f64 * 1000.0 / ms,
            bits_s: bytes as f64 * 8000.0 / ms,
        })
    }
}

/// How an installed rule compares with what the directory asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowMark {
    /// As the directory asks.
    AsAsked,
    /// Asked for and not installed.
    Missing,
    /// Installed, and does something else than the directory asks.
    Changed,
    /// Ours by its cookie; the directory does not ask for it (any more).
    LeftOver,
    /// Somebody else's.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_began_anew_has_no_rate() {
        let of = |packets, bytes| Counted { packets, bytes };
        let rate = Rate::between(of(10, 1000), of(30, 3000), 500.0).unwrap();
        assert_eq!((rate.packets_s, rate.bits_s), (40.0, 32_000.0));
        assert_eq!(Rate::between(of(10, 1000), of(3, 300), 500.0), None);
        assert_eq!(Rate::between(of(1, 1), of(1, 1), 0.0), None);
    }
}
