//! A stream of numbered UDP packets with the time of sending inside: both ends are on one machine,
//! so the way of each packet is measured by one clock.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How long the receiver waits for the first packet, and after the last.
const FIRST: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_secs(2);

/// What became of a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Different packets that arrived.
    pub(crate) received: u64,
    /// Packets that arrived again.
    pub(crate) duplicated: u64,
    /// Packets that arrived after a later one.
    pub(crate) reordered: u64,
    /// Payload bytes.
    pub(crate) bytes: u64,
    /// From the first arrival to the last, in microseconds.
    pub(crate) lasted_us: u64,
    /// One-way delays in microseconds: least, median, 99 %, most.
    pub(crate) delay_us: [u64; 4],
}

pub(crate) fn send(address: &str, count: u64, bytes: usize, gap_us: u64) -> io::Result<()> {
    let any = if address.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let mut packet = vec![0; bytes.max(16)];
    let start = Instant::now();
    for number in 0..count {
        let due = start + Duration::from_micros(gap_us * number);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        packet[..8].copy_from_slice(&number.to_be_bytes());
        packet[8..16].copy_from_slice(&now().to_be_bytes());
        // A full buffer is a loss like any other.
        let _ = socket.send(&packet);
    }
    Ok(())
}

pub(crate) fn receive(address: &str, count: u64) -> io::Result<Tally> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(FIRST))?;
    println!("ready");
    let mut packet = [0; 9216];
    let mut seen = vec![false; count as usize];
    let (mut tally, mut delays) = (Tally::default(), Vec::new());
    let (mut first, mut last, mut highest) = (0, 0, None);
    while tally.received < count {
        let length = match socket.recv(&mut packet) {
            Ok(length) if length >= 16 => length,
            Ok(_) => continue,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        };
        let word = |at: usize| {
            packet[at..]
                .first_chunk()
                .map_or(0, |w| u64::from_be_bytes(*w))
        };
        let (number, sent, at) = (word(0), word(8), now());
        let Some(again) = seen.get_mut(number as usize) else {
            continue;
        };
        if std::mem::replace(again, true) {
            tally.duplicated += 1;
            continue;
        }
        if tally.received == 0 {
            first = at;
            socket.set_read_timeout(Some(QUIET))?;
        }
        last = at;
        tally.received += 1;
        tally.bytes += length as u64;
        tally.reordered += u64::from(highest > Some(number));
        highest = highest.max(Some(number));
        delays.push(at.saturating_sub(sent) / 1000);
    }
    tally.lasted_us = (last - first) / 1000;
    delays.sort_unstable();
    if let (Some(least), Some(most)) = (delays.first(), delays.last()) {
        let at = |share: usize| delays[delays.len() * share / 100];
        tally.delay_us = [*least, at(50), at(99), *most];
    }
    Ok(tally)
}

fn now() -> u64 {
    // The monotonic clock cannot fail; 0 would show as an absurd delay.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64
    })
}
