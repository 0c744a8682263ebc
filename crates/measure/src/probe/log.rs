//! What the two threads write down, in bounded memory: the newest `max_packets` of each stream.

use super::{Config, TargetStatus};
use crate::recording::{Ended, Late, Reply, TcpRecord, UdpRecord};
use crate::wire::Record;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Late sends kept; at one a millisecond it is more than a minute of nothing else.
const MAX_LATE: usize = 100_000;

/// Locks what a panicking thread may have left: the logs are valid after every single step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log of one target.
pub(super) struct Log {
    max: usize,
    first_seq: u64,
    sent_ns: VecDeque<i64>,
    replies: VecDeque<Reply>,
    answered: u64,
    last_reply_ns: Option<i64>,
    last_rtt_ns: i64,
    pub(super) skipped: u64,
    pub(super) send_errors: u64,
    pub(super) socket_drops: u64,
    pub(super) foreign: u64,
    pub(super) tcp: Vec<TcpLog>,
}

impl Log {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            max: config.max_packets,
            first_seq: 0,
            sent_ns: VecDeque::new(),
            replies: VecDeque::new(),
            answered: 0,
            last_reply_ns: None,
            last_rtt_ns: 0,
            skipped: 0,
            send_errors: 0,
            socket_drops: 0,
            foreign: 0,
            tcp: Vec::new(),
        }
    }

    /// Notes a packet about to be sent and returns its sequence number.
    pub(super) fn send(&mut self, at_ns: i64) -> u64 {
        if self.sent_ns.len() == self.max {
            self.sent_ns.pop_front();
            self.first_seq += 1;
        }
        self.sent_ns.push_back(at_ns);
        self.first_seq + self.sent_ns.len() as u64 - 1
    }

    /// Takes back the packet noted last: the kernel refused it.
    pub(super) fn unsend(&mut self) {
        self.sent_ns.pop_back();
        self.send_errors += 1;
    }

    /// Notes a datagram that arrived; one that answers nothing is counted as foreign.
    pub(super) fn receive(&mut self, record: Option<Record>, at_ns: i64) {
        let known = record.filter(|record| {
            let index = record.seq.checked_sub(self.first_seq);
            let sent = index.and_then(|i| self.sent_ns.get(usize::try_from(i).ok()?));
            sent == Some(&record.sent_ns)
        });
        let Some(record) = known else {
            self.foreign += 1;
            return;
        };
        if self.replies.len() == self.max {
            self.replies.pop_front();
        }
        self.replies.push_back(Reply {
            seq: record.seq,
            guest: record.guest,
            at_ns,
        });
        self.answered += 1;
        self.last_reply_ns = Some(at_ns);
        self.last_rtt_ns = at_ns - record.sent_ns;
    }

    pub(super) fn status(&self, name: &str, now_ns: i64) -> TargetStatus {
        let since = self.last_reply_ns.or(self.sent_ns.front().copied());
        TargetStatus {
            name: name.to_owned(),
            sent: self.first_seq + self.sent_ns.len() as u64,
            replies: self.answered,
            silent_ms: since.map_or(0.0, |at| (now_ns - at) as f64 / 1e6),
            rtt_ms: self.last_rtt_ns as f64 / 1e6,
            tcp_sessions: self.tcp.len(),
            tcp_lost: self.tcp.iter().filter(|tcp| tcp.ended.is_some()).count(),
        }
    }

    pub(super) fn to_records(&self, interval_ns: i64) -> (UdpRecord, Vec<TcpRecord>) {
        let udp = UdpRecord {
            interval_ns,
            first_seq: self.first_seq,
            sent_ns: self.sent_ns.iter().copied().collect(),
            replies: self.replies.iter().copied().collect(),
            skipped: self.skipped,
            send_errors: self.send_errors,
            socket_drops: self.socket_drops,
            foreign: self.foreign,
        };
        (udp, self.tcp.iter().map(TcpLog::to_record).collect())
    }
}

/// The log of one TCP session. Echoes come in order, so a record's number is its place.
pub(super) struct TcpLog {
    max: usize,
    connected_ns: i64,
    first_seq: u64,
    sent_ns: VecDeque<i64>,
    echoed_ns: VecDeque<i64>,
    pub(super) blocked: u64,
    pub(super) ended: Option<Ended>,
}

impl TcpLog {
    pub(super) fn new(connected_ns: i64, max: usize) -> Self {
        Self {
            max,
            connected_ns,
            first_seq: 0,
            sent_ns: VecDeque::new(),
            echoed_ns: VecDeque::new(),
            blocked: 0,
            ended: None,
        }
    }

    /// Notes a record handed to the kernel and returns its number. Only a record whose echo has
    /// come is ever forgotten; none when all that is kept is still on its way.
    pub(super) fn send(&mut self, at_ns: i64) -> Option<u64> {
        if self.sent_ns.len() == self.max {
            self.echoed_ns.pop_front()?;
            self.sent_ns.pop_front();
            self.first_seq += 1;
        }
        self.sent_ns.push_back(at_ns);
        Some(self.first_seq + self.sent_ns.len() as u64 - 1)
    }

    /// Notes an echo; false when it is not the record that had to come next.
    pub(super) fn echo(&mut self, record: Record, at_ns: i64) -> bool {
        let next = self.echoed_ns.len();
        let good = record.seq == self.first_seq + next as u64
            && self.sent_ns.get(next) == Some(&record.sent_ns);
        if good {
            self.echoed_ns.push_back(at_ns);
        }
        good
    }

    fn to_record(&self) -> TcpRecord {
        TcpRecord {
            connected_ns: self.connected_ns,
            first_seq: self.first_seq,
            sent_ns: self.sent_ns.iter().copied().collect(),
            echoed_ns: self.echoed_ns.iter().copied().collect(),
            blocked: self.blocked,
            ended: self.ended.clone(),
        }
    }
}

/// When the probe was late.
#[derive(Default)]
pub(super) struct Lateness(VecDeque<Late>);

impl Lateness {
    pub(super) fn note(&mut self, late: Late) {
        if self.0.len() == MAX_LATE {
            self.0.pop_front();
        }
        self.0.push_back(late);
    }

    pub(super) fn to_vec(&self) -> Vec<Late> {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Log {
        Log::new(&Config {
            max_packets: 3,
            ..Config::default()
        })
    }

    fn record(seq: u64, sent_ns: i64) -> Option<Record> {
        Some(Record {
            seq,
            sent_ns,
            guest: 1,
        })
    }

    #[test]
    fn the_oldest_packets_are_forgotten_and_sequence_numbers_go_on() {
        let mut log = small();
        let seqs: Vec<u64> = (0..5).map(|i| log.send(i * 10)).collect();
        assert_eq!(seqs, [0, 1, 2, 3, 4]);
        let (udp, _) = log.to_records(1);
        assert_eq!((udp.first_seq, udp.sent_ns), (2, vec![20, 30, 40]));
    }

    #[test]
    fn a_datagram_that_answers_nothing_is_foreign() {
        let mut log = small();
        log.send(10);
        log.receive(record(0, 11), 12);
        log.receive(record(1, 10), 12);
        log.receive(None, 12);
        log.receive(record(0, 10), 12);
        let (udp, _) = log.to_records(1);
        assert_eq!((udp.foreign, udp.replies.len()), (3, 1));
    }

    #[test]
    fn a_refused_packet_leaves_no_sequence_number() {
        let mut log = small();
        log.send(10);
        log.unsend();
        assert_eq!(log.send(20), 0);
        assert_eq!(log.send_errors, 1);
    }

    #[test]
    fn an_echo_out_of_sequence_is_refused() {
        let mut log = TcpLog::new(0, 10);
        assert_eq!((log.send(1), log.send(2)), (Some(0), Some(1)));
        let echo = |seq, sent_ns| Record {
            seq,
            sent_ns,
            guest: 0,
        };
        assert!(!log.echo(echo(1, 2), 5));
        assert!(log.echo(echo(0, 1), 5));
        assert!(log.echo(echo(1, 2), 6));
    }
}
