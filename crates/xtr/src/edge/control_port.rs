//! The control port's thread: datagrams and time to the core.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::Config;
use crate::error::Error;
use crate::router::Shared;
use offload::udp::{Socket, Use, unspecified};

/// How often the core is told the time.
const TICK: Duration = Duration::from_millis(50);
/// Datagrams between two looks at the clock.
const AT_ONCE: usize = 256;

/// Opens a socket for each family that we have a locator of.
pub(crate) fn open(config: &Config) -> Result<Vec<Socket>, Error> {
    let mut sockets: Vec<Socket> = Vec::new();
    for rloc in &config.rlocs {
        let any = SocketAddr::new(unspecified(rloc.address), config.control_port);
        if !sockets.iter().any(|known| known.is_ipv4() == any.is_ipv4()) {
            sockets.push(Socket::open(any, Use::Control)?);
        }
    }
    Ok(sockets)
}

pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, Error> {
    let run = move || {
        let mut buffer = vec![0; 1 << 16];
        let mut ticked = Instant::now();
        while !shared.stop.load(Ordering::Relaxed) {
            let fds = shared.sockets.iter().map(AsFd::as_fd);
            let mut waited: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            let left = TICK.saturating_sub(ticked.elapsed()).as_millis() as u16;
            if let Err(error) = poll(&mut waited, PollTimeout::from(left))
                && error != nix::Error::EINTR
            {
                tracing::warn!(%error, "cannot wait for control messages");
                std::thread::sleep(TICK);
            }
            for socket in &shared.sockets {
                for _ in 0..AT_ONCE {
                    let Ok(Some((length, from))) = socket.receive(&mut buffer) else {
                        break;
                    };
                    let datagram = buffer.get(..length).unwrap_or_default();
                    shared.with(|core, now, outcome| core.receive(from, datagram, now, outcome));
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                shared.with(|core, now, outcome| core.tick(now, outcome));
            }
        }
    };
    std::thread::Builder::new()
        .name("xtr-control".to_owned())
        .spawn(run)
        .map_err(Error::Thread)
}
