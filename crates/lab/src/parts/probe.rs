//! A probe in the client's namespace: the outside peer of the VMs.

use super::PartError;
use super::controller::CONTROLLER;
use super::waiting::{apart, until};
use crate::boxed::{BoxHandle, ProcessStatus, Program, SELF_EXE};
use crate::shop::CLIENT_SITE;
use measure::control::Client;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Its name among the box's processes.
pub const PROBE: &str = "probe";

pub(crate) const PROBE_COMMAND: &str = "__lab-probe";

const SOCKET: &str = "probe.sock";

const LIMIT: Duration = Duration::from_secs(10);

/// Starts a probe's process and connects to it. It goes before everything else, since what it is
/// late by would look like the network's doing.
///
/// # Errors
/// One runs already, or it ended.
pub async fn start(handle: &BoxHandle) -> Result<Client, PartError> {
    let socket = handle.folder().join(SOCKET);
    // Left by one that was killed; a second one that runs is refused by its name.
    let _ = std::fs::remove_file(&socket);
    let path = socket.to_string_lossy().into_owned();
    let program = Program::new(CLIENT_SITE, [SELF_EXE, PROBE_COMMAND, &path]).urgent();
    apart(handle, move |handle| handle.spawn(PROBE, &program)).await?;
    let what = "the probe does not answer";
    let socket = &socket;
    until(handle, PROBE, what, LIMIT, || async move {
        Client::connect(socket).await.ok()
    })
    .await
}

/// Ends a probe's process and waits until it is gone, so that the next one can start.
///
/// # Errors
/// It does not end, or the box does not answer.
pub async fn end(handle: &BoxHandle, probe: Client) -> Result<(), PartError> {
    probe.quit().await?;
    let what = "the probe does not end";
    until(handle, CONTROLLER, what, LIMIT, || async {
        let status = apart(handle, BoxHandle::status).await.ok()?;
        let mut probes = status.processes.iter().filter(|p| p.name == PROBE);
        (!probes.any(ProcessStatus::is_alive)).then_some(())
    })
    .await
}

/// The hidden subcommand: a socket; returns the exit code.
pub(crate) fn probe_main(args: &[OsString]) -> i32 {
    let [socket] = args else {
        eprintln!("a socket is needed");
        return 2;
    };
    match measure::control::serve_socket(Path::new(socket)) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}
