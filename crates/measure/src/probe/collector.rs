//! The thread that reads what has arrived and keeps the TCP sessions going.

use super::Shared;
use super::log::{Log, lock};
use super::session::Session;
use super::socket;
use crate::clock::{now_ns, offset_ns};
use crate::wire::{LEN, Record};
use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest time between two rounds.
const PERIOD: Duration = Duration::from_millis(10);

/// Errors read from one socket in one round; what is behind more waits for the next round.
const MAX_ERRORS: u32 = 100;

/// Time between two samples of the clocks' offset for the recording, ns.
const SAMPLE_NS: i64 = 1_000_000_000;

pub(super) fn run(shared: &Shared, streams: &[UdpSocket], mut sessions: Vec<Vec<Session>>) {
    let period = PERIOD.min(Duration::from_millis(shared.config.tcp_interval_ms));
    let mut sampled_ns = 0;
    loop {
        // Asked before the round, so that a last round follows the order to end.
        let last = !shared.collecting.load(Ordering::Acquire);
        let sending = shared.sending.load(Ordering::Acquire);
        let begin_ns = now_ns();
        let offset_ns = offset_ns();
        if begin_ns - sampled_ns >= SAMPLE_NS {
            sampled_ns = begin_ns;
            lock(&shared.clock).note(begin_ns, offset_ns);
        }
        let to_mono = |unix: Option<i64>| unix.map_or_else(now_ns, |unix| unix - offset_ns);
        for (index, stream) in streams.iter().enumerate() {
            let mut log = lock(&shared.logs[index]);
            drain(stream, &mut log, to_mono);
            for (session, log) in sessions[index].iter_mut().zip(&mut log.tcp) {
                session.receive(log, to_mono);
                if sending {
                    session.send(log);
                }
            }
        }
        shared.collected_ns.store(begin_ns, Ordering::Release);
        if last {
            return;
        }
        // At a tick of the UDP stream: what is sent together wakes a VM once.
        let now = now_ns();
        let period = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX);
        let tick = super::next_tick(begin_ns + period / 2, period).max(now);
        std::thread::sleep(Duration::from_nanos((tick - now).unsigned_abs()));
    }
}

fn drain(stream: &UdpSocket, log: &mut Log, to_mono: impl Fn(Option<i64>) -> i64) {
    // Longer than a record, so that a longer datagram is seen to be none.
    let mut buffer = [0; LEN + 1];
    let mut errors = 0;
    while errors < MAX_ERRORS {
        match socket::receive(stream, &mut buffer) {
            Ok(Some(message)) => {
                if let Some(drops) = message.drops {
                    log.socket_drops = drops;
                }
                let record = Record::decode(&buffer[..message.len]);
                log.receive(record, to_mono(message.unix_ns));
            }
            Ok(None) => return,
            // An ICMP error for something sent before; the loss shows as a missing reply.
            Err(_) => errors += 1,
        }
    }
}
