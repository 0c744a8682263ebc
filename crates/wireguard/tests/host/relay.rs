//! Someone in the middle: passes datagrams on like a NAT, and can change its port, listen, and meddle.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::stage::{PORT, Stage, outer};

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    rebind: AtomicBool,
    seen: Mutex<Vec<Vec<u8>>>,
}

/// Passes on what comes to its place to another one, and the answers back.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(stage: &Stage, place: u8, to: u8) -> Self {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let front = stage.udp(place, outer(place), PORT);
        let thread = stage.thread(place, move || run(&front, place, to, &inner));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Sends from another port from now on, as a NAT that has forgotten.
    pub(crate) fn rebind(&self) {
        self.shared.rebind.store(true, Ordering::Relaxed);
    }

    /// What has come to it first, from the side that began.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.shared.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn run(front: &UdpSocket, place: u8, to: u8, shared: &Shared) {
    let back = || {
        let socket = UdpSocket::bind((outer(place), 0)).expect("bind");
        socket.set_nonblocking(true).expect("nonblocking");
        socket
    };
    front.set_nonblocking(true).expect("nonblocking");
    let to = SocketAddr::new(outer(to), PORT);
    let mut behind = back();
    let mut client: Option<SocketAddr> = None;
    let mut buffer = vec![0; 1 << 16];
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.rebind.swap(false, Ordering::Relaxed) {
            behind = back();
        }
        let mut idle = true;
        match front.recv_from(&mut buffer) {
            Ok((length, from)) => {
                idle = false;
                client = Some(from);
                let mut seen = shared.seen.lock().expect("no panic");
                if seen.len() < 100 {
                    seen.push(buffer[..length].to_vec());
                }
                drop(seen);
                drop(behind.send_to(&buffer[..length], to));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        match behind.recv_from(&mut buffer) {
            Ok((length, _)) => {
                idle = false;
                if let Some(client) = client {
                    drop(front.send_to(&buffer[..length], client));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if idle {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
