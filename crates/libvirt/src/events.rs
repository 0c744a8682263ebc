//! libvirt's event loop: one thread of the process, begun before the first connection.

use crate::{Error, Result};
use std::sync::OnceLock;

/// Begins the loop, once. Without it a connection hears no events.
pub(crate) fn begin() -> Result<()> {
    static BEGUN: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    BEGUN
        .get_or_init(|| {
            virt::event::event_register_default_impl()
                .map_err(|error| error.message().to_owned())?;
            std::thread::Builder::new()
                .name("libvirt-events".to_owned())
                .spawn(|| {
                    loop {
                        if let Err(error) = virt::event::event_run_default_impl() {
                            tracing::warn!(error = error.message(), "libvirt's event loop");
                            std::thread::sleep(std::time::Duration::from_millis(100));
                        }
                    }
                })
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(Error::Client)
}
