//! A stream of numbered UDP packets between two namespaces, one every millisecond or so, and what
//! became of it. Sender and receiver are threads of their own, so that they keep time while
//! tokio's workers are busy.

use crate::error::{Error, Result};
use crate::netns::Netns;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the receiver waits for what is still on its way.
const TAIL: Duration = Duration::from_millis(300);

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Packets sent.
    pub sent: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Packets that arrived twice or more.
    pub duplicated: u64,
    /// Packets that arrived after a later one.
    pub reordered: u64,
    /// Longest time between two arrivals, milliseconds. The sender's own pauses are in it.
    pub longest_gap_ms: f64,
}

/// One packet's arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number, from 0.
    pub number: u64,
    /// When it arrived.
    pub at: Instant,
    /// At which of the receivers.
    pub receiver: usize,
}

/// A running stream.
pub struct Stream {
    sending: Arc<AtomicBool>,
    receiving: Arc<AtomicBool>,
    sender: JoinHandle<std::io::Result<u64>>,
    receivers: Vec<JoinHandle<std::io::Result<Vec<Arrival>>>>,
}

fn failed(source: std::io::Error) -> Error {
    Error::Packet {
        ifname: "a stream".to_owned(),
        what: "send and count UDP packets",
        source,
    }
}

impl Stream {
    /// Sends from `from`'s address to `to`'s, one packet every `every`.
    pub async fn start(
        from: (&Netns, SocketAddr),
        (to_netns, to): (&Netns, SocketAddr),
        every: Duration,
    ) -> Result<Self> {
        Self::start_to_many(from, &[to_netns], to, every).await
    }

    /// Sends to an address that several namespaces have; a packet counts wherever it arrives.
    pub async fn start_to_many(
        (from_netns, from): (&Netns, SocketAddr),
        to_netns: &[&Netns],
        to: SocketAddr,
        every: Duration,
    ) -> Result<Self> {
        let receiving = Arc::new(AtomicBool::new(true));
        let mut receivers = Vec::new();
        for (receiver, netns) in to_netns.iter().enumerate() {
            let sink = netns
                .run(move || UdpSocket::bind(to))
                .await?
                .map_err(failed)?;
            sink.set_read_timeout(Some(Duration::from_millis(20)))
                .map_err(failed)?;
            let _ =
                nix::sys::socket::setsockopt(&sink, nix::sys::socket::sockopt::RcvBuf, &(4 << 20));
            let go_on = Arc::clone(&receiving);
            receivers.push(std::thread::spawn(move || receive(&sink, receiver, &go_on)));
        }
        let source = from_netns
            .run(move || UdpSocket::bind(from))
            .await?
            .map_err(failed)?;
        source.connect(to).map_err(failed)?;
        let sending = Arc::new(AtomicBool::new(true));
        let go_on = Arc::clone(&sending);
        let sender = std::thread::spawn(move || send(&source, every, &go_on));
        Ok(Self {
            sending,
            receiving,
            sender,
            receivers,
        })
    }

    /// Ends it and counts.
    pub async fn stop(self) -> Result<Outcome> {
        Ok(self.stop_and_tell().await?.0)
    }

    /// Ends it, counts, and gives every arrival in the order of time.
    pub async fn stop_and_tell(self) -> Result<(Outcome, Vec<Arrival>)> {
        self.sending.store(false, Ordering::Relaxed);
        tokio::time::sleep(TAIL).await;
        self.receiving.store(false, Ordering::Relaxed);
        let panicked = |_| failed(std::io::Error::other("a thread of the stream ended early"));
        let sent = self.sender.join().map_err(panicked)?.map_err(failed)?;
        let mut got = Vec::new();
        for receiver in self.receivers {
            got.extend(receiver.join().map_err(panicked)?.map_err(failed)?);
        }
        got.sort_by_key(|arrival| arrival.at);
        Ok((count(sent, &got), got))
    }
}

fn receive(sink: &UdpSocket, receiver: usize, go_on: &AtomicBool) -> std::io::Result<Vec<Arrival>> {
    let mut got = Vec::new();
    let mut buffer = [0u8; 64];
    while go_on.load(Ordering::Relaxed) {
        match sink.recv(&mut buffer) {
            Ok(_) => {
                let number = buffer
                    .first_chunk::<8>()
                    .map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
                got.push(Arrival {
                    number,
                    at: Instant::now(),
                    receiver,
                });
            }
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn send(source: &UdpSocket, every: Duration, go_on: &AtomicBool) -> std::io::Result<u64> {
    let begun = Instant::now();
    let mut number = 0u64;
    let mut packet = [0u8; 64];
    while go_on.load(Ordering::Relaxed) {
        packet[..8].copy_from_slice(&number.to_be_bytes());
        match source.send(&packet) {
            Ok(_) => {}
            // An ICMP error of an earlier packet; this one was not sent, so it counts as lost.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        number += 1;
        let next = begun + every * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(number)
}

fn is_pause(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn count(sent: u64, got: &[Arrival]) -> Outcome {
    let mut seen = std::collections::BTreeSet::new();
    let mut outcome = Outcome {
        sent,
        ..Outcome::default()
    };
    let mut highest = None;
    let mut before: Option<Instant> = None;
    for &Arrival { number, at, .. } in got {
        if !seen.insert(number) {
            outcome.duplicated += 1;
        } else if highest.is_some_and(|highest| number < highest) {
            outcome.reordered += 1;
        }
        highest = highest.max(Some(number));
        if let Some(before) = before {
            let gap = at.duration_since(before).as_secs_f64() * 1e3;
            outcome.longest_gap_ms = outcome.longest_gap_ms.max(gap);
        }
        before = Some(at);
    }
    outcome.lost = sent.saturating_sub(seen.len() as u64);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_doubles_and_disorder_are_counted_apart() {
        let at = Instant::now();
        let got = [0, 1, 3, 2, 2, 5].map(|number| Arrival {
            number,
            at,
            receiver: 0,
        });
        let outcome = count(7, &got);
        assert_eq!(
            (outcome.lost, outcome.duplicated, outcome.reordered),
            (2, 1, 1)
        );
    }
}
