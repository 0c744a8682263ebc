//! What `transhume lab` does beyond network and WAN: a whole lab with controller, agents and
//! cluster, up and down.
//!
//! Here: options, and the order of things. Not here: how a part is started ([`crate::parts`]), what
//! the cluster is ([`crate::shop`]), how any of it is printed (the binary).

mod up;

pub use ovs::config::BondMode as Bond;
pub use up::{Standing, Step, UpOptions, up};
pub(crate) use up::{all_answer, end, interrupted};
