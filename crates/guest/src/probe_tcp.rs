//! A TCP session to a peer's echo port: one 64-byte record in each interval, the next only after the
//! last came back whole. A session that breaks is counted and opened again.

use crate::json::Json;
use crate::probe_udp::at;
use crate::sys;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

const SIZE: usize = 64;
const RETRY: u64 = 100_000_000;
/// A connection attempt that takes longer begins anew: the peer may just have booted.
const PATIENCE: u64 = 1_000_000_000;

enum State {
    Idle {
        until: u64,
    },
    Connecting {
        stream: TcpStream,
        since: u64,
    },
    Open {
        stream: TcpStream,
        next_at: u64,
        waiting: Option<Waiting>,
    },
}

struct Waiting {
    since: u64,
    record: [u8; SIZE],
    got: usize,
}

/// One session and its account.
pub(crate) struct TcpSession {
    peer: SocketAddr,
    interval: u64,
    state: State,
    seq: u64,
    connects: u64,
    lost: u64,
    records: u64,
    bad_records: u64,
    stall: u64,
    stall_at: u64,
}

impl TcpSession {
    /// A session with a record every `interval` ns.
    pub(crate) fn new(peer: SocketAddr, interval: u64) -> TcpSession {
        TcpSession {
            peer,
            interval,
            state: State::Idle { until: 0 },
            seq: 0,
            connects: 0,
            lost: 0,
            records: 0,
            bad_records: 0,
            stall: 0,
            stall_at: 0,
        }
    }

    pub(crate) fn reset(&mut self, now: u64) {
        (self.connects, self.lost, self.records, self.bad_records) = (0, 0, 0, 0);
        (self.stall, self.stall_at) = (0, 0);
        if let State::Open {
            waiting: Some(w), ..
        } = &mut self.state
        {
            w.since = now;
        }
    }

    /// When [`TcpSession::tick`] wants to be called; `None` while only the socket can bring news.
    pub(crate) fn next_due(&self) -> Option<u64> {
        match &self.state {
            State::Idle { until } => Some(*until),
            State::Connecting { since, .. } => Some(since + PATIENCE),
            State::Open {
                next_at,
                waiting: None,
                ..
            } => Some(*next_at),
            State::Open { .. } => None,
        }
    }

    /// Time has passed: connect, give up connecting, or send the next record. Gives the socket to
    /// watch (writable) when a new one was opened.
    pub(crate) fn tick(&mut self, now: u64) -> Option<&TcpStream> {
        match &mut self.state {
            State::Idle { until } if now >= *until => {
                self.state = match sys::connect(self.peer) {
                    Ok(stream) => State::Connecting { stream, since: now },
                    Err(_) => State::Idle { until: now + RETRY },
                };
                if let State::Connecting { stream, .. } = &self.state {
                    return Some(stream);
                }
            }
            State::Connecting { since, .. } if now >= *since + PATIENCE => {
                self.state = State::Idle { until: now }
            }
            State::Open {
                stream,
                next_at,
                waiting: waiting @ None,
            } if now >= *next_at => {
                *next_at = (now / self.interval + 1) * self.interval;
                self.seq += 1;
                let record = record(self.seq);
                // One record at a time fits every send buffer, so a short write is a broken session.
                if stream.write(&record).is_ok_and(|n| n == SIZE) {
                    *waiting = Some(Waiting {
                        since: now,
                        record,
                        got: 0,
                    });
                } else {
                    self.broken(now);
                }
            }
            _ => {}
        }
        None
    }

    /// The socket has news. Gives it back when from now on only reads matter.
    pub(crate) fn ready(&mut self, now: u64) -> Option<&TcpStream> {
        match std::mem::replace(&mut self.state, State::Idle { until: now + RETRY }) {
            State::Connecting { stream, since } => {
                match (stream.take_error(), stream.peer_addr()) {
                    (Ok(None), Ok(_)) => {
                        self.connects += 1;
                        self.state = State::Open {
                            stream,
                            next_at: now,
                            waiting: None,
                        };
                        if let State::Open { stream, .. } = &self.state {
                            return Some(stream);
                        }
                    }
                    (Ok(None), Err(_)) => self.state = State::Connecting { stream, since },
                    _ => {}
                }
            }
            mut open @ State::Open { .. } => {
                let alive = self.read(&mut open, now);
                self.state = open;
                if !alive {
                    self.broken(now);
                }
            }
            idle => self.state = idle,
        }
        None
    }

    fn read(&mut self, open: &mut State, now: u64) -> bool {
        let State::Open {
            stream, waiting, ..
        } = open
        else {
            return true;
        };
        let mut buffer = [0; SIZE];
        loop {
            let want = waiting.as_ref().map_or(1, |w| SIZE - w.got);
            match stream.read(&mut buffer[..want]) {
                Ok(0) => return false,
                Ok(n) => {
                    let Some(w) = waiting.as_mut() else {
                        self.bad_records += 1;
                        return false;
                    };
                    if buffer[..n] != w.record[w.got..w.got + n] {
                        self.bad_records += 1;
                        return false;
                    }
                    w.got += n;
                    if w.got == SIZE {
                        self.records += 1;
                        if now - w.since > self.stall {
                            (self.stall, self.stall_at) = (now - w.since, w.since);
                        }
                        *waiting = None;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn broken(&mut self, now: u64) {
        self.lost += 1;
        self.state = State::Idle { until: now + RETRY };
    }

    pub(crate) fn write(&mut self, j: &mut Json, now: u64, unix_ms: u64) {
        if let State::Open {
            waiting: Some(w), ..
        } = &self.state
            && now - w.since > self.stall
        {
            (self.stall, self.stall_at) = (now - w.since, w.since);
        }
        j.text("peer", &self.peer.ip().to_string());
        j.value("open", matches!(self.state, State::Open { .. }));
        j.value("connects", self.connects);
        j.value("lost", self.lost);
        j.value("records", self.records);
        j.value("bad_records", self.bad_records);
        j.ms("longest_stall_ms", self.stall);
        j.value("longest_stall_at_unix_ms", at(self.stall_at, now, unix_ms));
    }
}

/// A record that no other record looks like, wherever the stream is cut.
fn record(seq: u64) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    for (i, word) in out.chunks_exact_mut(8).enumerate() {
        let value = if i == 0 {
            seq
        } else {
            seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(i as u32 * 7)
        };
        word.copy_from_slice(&value.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pump(session: &mut TcpSession, clock: &mut u64, until: impl Fn(&TcpSession) -> bool) {
        for _ in 0..10_000 {
            if until(session) {
                return;
            }
            *clock += 5_000_000;
            session.tick(*clock);
            session.ready(*clock);
            std::thread::yield_now();
        }
        panic!("the session never got there");
    }

    #[test]
    fn records_come_back_and_a_closed_session_is_counted_and_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for records in [3, 2] {
                let (mut s, _) = listener.accept().unwrap();
                let mut buffer = [0; SIZE];
                for _ in 0..records {
                    s.read_exact(&mut buffer).unwrap();
                    s.write_all(&buffer).unwrap();
                }
            }
        });
        let (mut session, mut clock) = (TcpSession::new(peer, 10_000_000), 0);
        pump(&mut session, &mut clock, |s| s.records == 5 && s.lost >= 1);
        server.join().unwrap();
        assert_eq!((session.connects, session.bad_records), (2, 0));
    }

    #[test]
    fn an_echo_that_is_not_what_was_sent_breaks_the_session() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut s, _) = listener.accept().unwrap();
            let mut buffer = [0; SIZE];
            s.read_exact(&mut buffer).unwrap();
            buffer[40] ^= 1;
            s.write_all(&buffer).unwrap();
        });
        let (mut session, mut clock) = (TcpSession::new(peer, 10_000_000), 0);
        pump(&mut session, &mut clock, |s| s.lost == 1);
        server.join().unwrap();
        assert_eq!((session.bad_records, session.records), (1, 0));
    }
}
