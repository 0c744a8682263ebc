//! What can go wrong around a device.

use std::io;

use crate::wanted::Contradiction;

/// Why a device cannot be opened or told something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device or the socket cannot be used.
    #[error(transparent)]
    Offload(#[from] offload::Error),
    /// The device is there, but not as it has to be.
    #[error("cannot {what} of the device {name:?}: {source}; be root in its network namespace")]
    Device {
        /// Its name.
        name: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What is wanted contradicts itself.
    #[error(transparent)]
    Wanted(#[from] Contradiction),
    /// The thread cannot be started.
    #[error("cannot start the device's thread: {0}")]
    Thread(io::Error),
    /// The thread is gone.
    #[error("the device has stopped; open it again")]
    Stopped,
}
