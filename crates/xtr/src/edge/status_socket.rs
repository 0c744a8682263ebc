//! A Unix socket that gives the status as JSON to whoever connects.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::control::status::Status;
use crate::error::Error;
use crate::router::Shared;

const NAP: Duration = Duration::from_millis(100);
/// Nobody may keep us waiting longer.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn start(path: &Path, shared: Arc<Shared>) -> Result<JoinHandle<()>, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if UnixStream::connect(path).is_ok() {
        return Err(failed(io::Error::other("another router answers there")));
    }
    // A socket that nobody answers at was left by a router that was killed.
    drop(std::fs::remove_file(path));
    let listener = UnixListener::bind(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let run = move || {
        while !shared.stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = answer(stream, &shared.status()) {
                        tracing::debug!(%error, "status was not read to its end");
                    }
                }
                Err(_) => std::thread::sleep(NAP),
            }
        }
    };
    std::thread::Builder::new()
        .name("xtr-status".to_owned())
        .spawn(run)
        .map_err(Error::Thread)
}

fn answer(mut stream: UnixStream, status: &Status) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&serde_json::to_vec(status)?)
}

/// Asks a running router.
///
/// # Errors
/// None runs with this socket.
pub fn ask(path: &Path) -> Result<Status, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}
