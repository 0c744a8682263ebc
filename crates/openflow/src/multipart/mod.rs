//! Statistics and descriptions, which may come in many messages (OpenFlow 1.3.5, 7.3.5).
//!
//! The bodies are here; putting the parts together is the business of [`crate::connection`].

mod flow;
mod group;
mod meter;
mod queue;
mod reply;
mod request;
mod switch;
mod table_features;

pub use flow::{AggregateStats, FlowStats, FlowStatsRequest};
pub use group::{BucketCounter, GroupDesc, GroupFeatures, GroupStats};
pub use meter::{MeterBandStats, MeterConfig, MeterFeatures, MeterStats};
pub use queue::{QueueStats, QueueStatsRequest};
pub use reply::{MultipartReply, MultipartReplyBody};
pub use request::{MultipartRequest, MultipartRequestBody};
pub use switch::{PortStats, SwitchDesc, TableStats};
pub use table_features::{FeatureId, TableFeatures, TableProperty};

use crate::message::version;
use crate::wire::flags;

flags! {
    /// Flags of a part.
    pub struct MultipartFlags: u16 {
        /// More parts follow.
        MORE = 1,
    }
}

/// Kinds whose layout OpenFlow 1.4 has changed (port and queue statistics, table features, port
/// descriptions); they are kept as bytes there.
const CHANGED_IN_14: [u16; 5] = [4, 5, 12, 13, 16];

fn is_opaque(kind: u16, version: u8) -> bool {
    version != version::OF13 && CHANGED_IN_14.contains(&kind)
}
