//! Numbered datagrams both ways while something happens, and how many of them were lost.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::stage::{Stage, inner};

/// Between two datagrams of one direction.
const PERIOD: Duration = Duration::from_micros(500);

pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<u64>>,
    receivers: Vec<JoinHandle<HashSet<u64>>>,
}

/// What came of one direction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

impl Stream {
    /// Between two places, until [`Stream::finish`].
    pub(crate) fn start(stage: &Stage, places: [u8; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for [from, to] in [places, [places[1], places[0]]] {
            let receiver = stage.udp(to, inner(to), 9000);
            receiver
                .set_read_timeout(Some(Duration::from_millis(500)))
                .expect("timeout");
            let sender = stage.udp(from, inner(from), 0);
            sender.connect((inner(to), 9000)).expect("connect");
            let stopped = Arc::clone(&stop);
            senders.push(std::thread::spawn(move || send(&sender, &stopped)));
            let stopped = Arc::clone(&stop);
            receivers.push(std::thread::spawn(move || receive(&receiver, &stopped)));
        }
        Self {
            stop,
            senders,
            receivers,
        }
    }

    /// Ends both directions, and waits until what is on the way has arrived.
    pub(crate) fn finish(self) -> Vec<Counted> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.senders.into_iter().map(JoinHandle::join);
        let received = self.receivers.into_iter().map(JoinHandle::join);
        let both = sent.zip(received).map(|(sent, received)| {
            let (sent, received) = (sent.expect("no panic"), received.expect("no panic"));
            assert!(received.iter().all(|number| *number < sent));
            let lost = sent - received.len() as u64;
            Counted { sent, lost }
        });
        both.collect()
    }
}

fn send(socket: &UdpSocket, stop: &AtomicBool) -> u64 {
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut payload = [0; 200];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        // The device may be away for a moment; then this one counts as sent, and lost.
        drop(socket.send(&payload));
        number += 1;
        std::thread::sleep(PERIOD);
    }
    number
}

fn receive(socket: &UdpSocket, stop: &AtomicBool) -> HashSet<u64> {
    let mut seen = HashSet::new();
    let mut buffer = [0; 2000];
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                let number = u64::from_be_bytes(*buffer.first_chunk().expect("8 bytes"));
                assert!(seen.insert(number), "{number} came twice");
            }
            Err(_) if stop.load(Ordering::Relaxed) => return seen,
            Err(_) => {}
        }
    }
}
