//! A worker's thread: waits for TUN queues and sockets, and lets packets go their way.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::forward::Forwarder;
use crate::error::Error;
use offload::udp::Socket;

/// How long a worker sleeps at most: so late it notices that it shall end.
const NAP: u16 = 200;
/// How often it looks at its limits.
const TICK: Duration = Duration::from_secs(1);

/// Starts a worker that ends when `stop` is true.
///
/// # Errors
/// [`Error::Thread`].
pub fn start(
    name: String,
    mut forwarder: Forwarder,
    sockets: Vec<Socket>,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, Error> {
    let run = move || {
        let mut ticked = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let ready = wait(&forwarder, &sockets);
            let (from_tun, from_locators) = ready.split_at(forwarder.ports().len());
            for (port, ready) in from_tun.iter().enumerate() {
                if *ready {
                    forwarder.from_tun(port);
                }
            }
            for (socket, ready) in sockets.iter().zip(from_locators) {
                if *ready {
                    forwarder.from_locators(socket);
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                forwarder.tick();
            }
        }
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(Error::Thread)
}

/// Which ports and sockets have something, in that order.
fn wait(forwarder: &Forwarder, sockets: &[Socket]) -> Vec<bool> {
    let ports = forwarder.ports().iter().map(|port| port.queue.as_fd());
    let mut waited: Vec<PollFd<'_>> = ports
        .chain(sockets.iter().map(AsFd::as_fd))
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let done = poll(&mut waited, PollTimeout::from(NAP));
    if let Err(error) = done
        && error != nix::Error::EINTR
    {
        tracing::warn!(%error, "cannot wait for packets");
        std::thread::sleep(Duration::from_millis(u64::from(NAP)));
    }
    let has = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
    waited.iter().map(has).collect()
}
