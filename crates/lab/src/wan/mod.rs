//! The WAN: gateway of every site, and the delay, jitter, rate and loss between them.
//!
//! ```text
//!  north ──uplinks──▶ gateway ──▶ north up ──▶ south down ──▶ gateway ──uplinks──▶ south
//!                     ARP, ND     rate, queue, loss, delay    MAC, active link
//!                     TTL, route
//! ```
//!
//! The relay is one process of ours in the WAN's namespace. `shaper`, `paths`, `frames`,
//! `neighbours` and `gateway` are pure (time and frames in, frames out); `relay` is the loop
//! around them, `socket`, `links` and `control` its edges.
//!
//! The accesses of a site are shared by its management and its data network. A path from one site
//! to another crosses an `up` and a `down`, so a round trip crosses four: the default of 7.75 ms
//! each makes 31 ms. Frames count without their check sequence. Order is kept within each
//! direction of each access.

mod control;
mod frames;
mod gateway;
mod lacp;
mod links;
mod neighbours;
mod paths;
mod random;
mod relay;
mod shaper;
mod shaping;
mod socket;
mod start;
mod stats;

pub use control::{Client, WanError};
pub use paths::Paths;
pub use relay::{WanConfig, run};
pub use shaper::{Dropped, Shaper};
pub use shaping::{Change, Direction, Nanos, Shaping, ShapingError};
pub(crate) use start::{INSIDE_COMMAND, inside_main};
pub use start::{PROCESS, start};
pub use stats::{Flow, GatewayDrops, Lateness, PortStats, SiteStats, WanStats};
