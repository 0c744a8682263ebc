//! The guest watchdog: runs in a machine that others move, notices that it is at another place, and makes good what
//! depends on the place: its address (DHCP), its tunnel, its name in the DNS.
//!
//! | module | job |
//! |---|---|
//! | [`machine`] | what was seen and what is done about it; no I/O, no clock |
//! | [`config`] | what it is told when it starts |
//! | [`status`] | what it shows |
//! | [`edge`] | the kernel's news, probes, commands and updates: the only part that does anything |

pub mod config;
pub mod edge;
pub mod machine;
pub mod status;

pub use config::WatchdogConfig;
pub use edge::{WatchdogError, run};
pub use status::Status;
