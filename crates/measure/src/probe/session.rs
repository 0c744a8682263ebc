//! One TCP session: a record every few milliseconds, each echo checked against its place.

use super::log::TcpLog;
use super::{Config, ProbeError, Target, socket};
use crate::clock::now_ns;
use crate::recording::Ended;
use crate::wire::{LEN, Record};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Pause between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Session {
    stream: TcpStream,
    /// Bytes of a record that the kernel has not taken yet.
    unsent: Vec<u8>,
    /// Bytes of an echo that has not come whole yet.
    partial: Vec<u8>,
    /// When the next record is due, monotonic ns.
    due_ns: i64,
    interval_ns: i64,
}

impl Session {
    /// Connects, trying again while the VM refuses or does not answer, up to the time limit.
    pub(super) fn connect(target: &Target, config: &Config) -> Result<Self, ProbeError> {
        let address = target.echo();
        let limit = Duration::from_millis(config.connect_timeout_ms);
        let end = Instant::now() + limit;
        let fail = |source| ProbeError::Connect {
            name: target.name.clone(),
            address,
            source,
        };
        let stream = loop {
            let left = end.saturating_duration_since(Instant::now());
            match TcpStream::connect_timeout(&address, left.max(AGAIN)) {
                Ok(stream) => break stream,
                Err(source) if left <= AGAIN => return Err(fail(source)),
                Err(_) => std::thread::sleep(AGAIN),
            }
        };
        let prepare = || -> std::io::Result<()> {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let stamp = nix::sys::socket::sockopt::ReceiveTimestampns;
            Ok(nix::sys::socket::setsockopt(&stream, stamp, &true)?)
        };
        prepare().map_err(fail)?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
            partial: Vec::new(),
            due_ns: 0,
            interval_ns: i64::try_from(config.tcp_interval_ms).unwrap_or(i64::MAX / 1_000_000)
                * 1_000_000,
        })
    }

    /// Sends a record if one is due.
    pub(super) fn send(&mut self, log: &mut TcpLog) {
        let now = now_ns();
        if log.ended.is_some() || now < self.due_ns {
            return;
        }
        // From now, not from when it was due: a late round must not be followed by a burst.
        self.due_ns = now + self.interval_ns - self.interval_ns / 8;
        if self.unsent.is_empty() {
            match log.send(now) {
                Some(seq) => {
                    let record = Record {
                        seq,
                        sent_ns: now,
                        guest: 0,
                    };
                    self.unsent.extend_from_slice(&record.encode());
                }
                None => log.blocked += 1,
            }
        } else {
            log.blocked += 1;
        }
        match self.stream.write(&self.unsent) {
            Ok(taken) => drop(self.unsent.drain(..taken)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => end(log, e.to_string()),
        }
    }

    /// Reads every echo that has arrived.
    pub(super) fn receive(&mut self, log: &mut TcpLog, to_mono: impl Fn(Option<i64>) -> i64) {
        while log.ended.is_none() {
            // At most the rest of one record, so that each has the stamp of its own segment.
            let mut buffer = [0; LEN];
            let missing = LEN - self.partial.len();
            let message = match socket::receive(&self.stream, &mut buffer[..missing]) {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return end(log, e.to_string()),
            };
            if message.len == 0 {
                return end(log, "closed by the VM".to_owned());
            }
            self.partial.extend_from_slice(&buffer[..message.len]);
            if let Some(record) = Record::decode(&self.partial) {
                self.partial.clear();
                if !log.echo(record, to_mono(message.unix_ns)) {
                    return end(log, format!("echo {} came out of sequence", record.seq));
                }
            }
        }
    }
}

fn end(log: &mut TcpLog, reason: String) {
    log.ended = Some(Ended {
        at_ns: now_ns(),
        reason,
    });
}
