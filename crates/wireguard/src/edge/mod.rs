//! What carries packets between the core and the kernel: a device, a socket, and one thread.

mod inside;
mod link;
mod worker;

pub(crate) use inside::Inside;
pub(crate) use worker::{Command, Worker};
