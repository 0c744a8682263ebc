//! A UDP stream to a peer's echo port and the account of what came back. No I/O, no clock: the
//! server sends and receives, this counts.

use crate::json::Json;
use std::net::SocketAddr;

/// Size of a datagram of the stream.
pub(crate) const SIZE: usize = 64;
/// A reply later than this many datagrams after its request counts as lost.
const WINDOW: u64 = 1 << 16;
const SECOND: u64 = 1_000_000_000;

/// One stream. Counting begins with the first reply, so a peer that boots later costs no losses.
pub(crate) struct UdpStream {
    pub(crate) peer: SocketAddr,
    interval: u64,
    next_at: u64,
    next_seq: u64,
    /// First sequence number that counts; `None` until the peer has answered.
    base: Option<u64>,
    highest: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
    /// Peer's echo counter: at the base and the highest seen.
    echoed: Option<(u64, u64)>,
    seen: Box<[u64]>,
    /// `next_seq` one and two seconds ago: what is older is either here or lost.
    marks: [u64; 2],
    mark_at: u64,
    last_reply: u64,
    gap: u64,
    gap_at: u64,
}

impl UdpStream {
    /// A stream with a datagram every `interval` ns.
    pub(crate) fn new(peer: SocketAddr, interval: u64) -> UdpStream {
        UdpStream {
            peer,
            interval,
            next_at: 0,
            next_seq: 0,
            base: None,
            highest: 0,
            received: 0,
            duplicated: 0,
            reordered: 0,
            echoed: None,
            seen: vec![0; (WINDOW / 64) as usize].into(),
            marks: [0; 2],
            mark_at: 0,
            last_reply: 0,
            gap: 0,
            gap_at: 0,
        }
    }

    pub(crate) fn next_due(&self) -> u64 {
        self.next_at
    }

    /// The datagram due at `now`, if one is. Intervals missed altogether are left out, not made up for.
    pub(crate) fn poll(&mut self, now: u64) -> Option<[u8; SIZE]> {
        if now < self.next_at {
            return None;
        }
        // Onto the grid of multiples, so that streams of one interval share a wake-up.
        self.next_at = (now / self.interval + 1) * self.interval;
        if now >= self.mark_at {
            self.marks = [self.marks[1], self.next_seq];
            self.mark_at = now + SECOND;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.forget(seq);
        let mut datagram = [0; SIZE];
        datagram[..8].copy_from_slice(&seq.to_be_bytes());
        datagram[8..16].copy_from_slice(&now.to_be_bytes());
        Some(datagram)
    }

    /// A reply from the peer.
    pub(crate) fn reply(&mut self, datagram: &[u8], now: u64) {
        let (Some(seq), Some(counter)) = (word(datagram, 0), word(datagram, 16)) else {
            return;
        };
        if seq >= self.next_seq {
            return;
        }
        let base = match self.base {
            Some(base) if seq < base => return,
            Some(base) => base,
            None => {
                self.base = Some(seq);
                self.highest = seq;
                self.last_reply = now;
                seq
            }
        };
        debug_assert!(base <= seq);
        if self.next_seq - seq > WINDOW {
            return;
        }
        self.note_gap(now);
        self.last_reply = now;
        self.echoed = Some(match self.echoed {
            None => (counter, counter),
            Some((first, last)) => (first.min(counter), last.max(counter)),
        });
        if self.remember(seq) {
            self.duplicated += 1;
            return;
        }
        self.received += 1;
        if seq < self.highest {
            self.reordered += 1;
        } else {
            self.highest = seq;
        }
    }

    /// Begins a new account; replies to what was sent before it are passed over.
    pub(crate) fn reset(&mut self, now: u64) {
        if self.base.is_some() {
            self.base = Some(self.next_seq);
            self.highest = self.next_seq;
        }
        (self.received, self.duplicated, self.reordered, self.echoed) = (0, 0, 0, None);
        self.marks = [self.next_seq; 2];
        (self.last_reply, self.gap, self.gap_at) = (now, 0, 0);
    }

    fn note_gap(&mut self, now: u64) {
        let gap = now - self.last_reply;
        if gap > self.gap {
            (self.gap, self.gap_at) = (gap, self.last_reply);
        }
    }

    fn forget(&mut self, seq: u64) {
        let bit = seq % WINDOW;
        self.seen[(bit / 64) as usize] &= !(1 << (bit % 64));
    }

    fn has(&self, seq: u64) -> bool {
        let bit = seq % WINDOW;
        self.seen[(bit / 64) as usize] >> (bit % 64) & 1 == 1
    }

    fn remember(&mut self, seq: u64) -> bool {
        let before = self.has(seq);
        let bit = seq % WINDOW;
        self.seen[(bit / 64) as usize] |= 1 << (bit % 64);
        before
    }

    /// Sent and not answered: (at least a second old, younger).
    fn missing(&self) -> (u64, u64) {
        let Some(base) = self.base else {
            return (0, 0);
        };
        let young_from = self.marks[0].max(base);
        let young_missing = (young_from..self.next_seq)
            .filter(|s| !self.has(*s))
            .count() as u64;
        let all_missing = (self.next_seq - base).saturating_sub(self.received);
        (all_missing.saturating_sub(young_missing), young_missing)
    }

    /// The account as JSON, with the gap still running if it is the longest.
    pub(crate) fn write(&mut self, j: &mut Json, now: u64, unix_ms: u64) {
        if self.base.is_some() {
            self.note_gap(now);
        }
        let (lost, in_flight) = self.missing();
        let sent = self.base.map_or(0, |b| self.next_seq - b);
        j.text("peer", &self.peer.ip().to_string());
        j.ms("interval_ms", self.interval);
        j.value("answered", self.base.is_some());
        j.value("sent", sent);
        j.value("received", self.received);
        j.value("lost", lost);
        j.value("in_flight", in_flight);
        j.value("duplicated", self.duplicated);
        j.value("reordered", self.reordered);
        j.value(
            "echoed",
            self.echoed.map_or(0, |(first, last)| last - first + 1),
        );
        j.ms("longest_gap_ms", self.gap);
        j.value("longest_gap_at_unix_ms", at(self.gap_at, now, unix_ms));
    }
}

/// Wall-clock time of a monotonic moment; 0 for never.
pub(crate) fn at(moment: u64, now: u64, unix_ms: u64) -> u64 {
    if moment == 0 {
        0
    } else {
        unix_ms.saturating_sub((now - moment) / 1_000_000)
    }
}

fn word(datagram: &[u8], from: usize) -> Option<u64> {
    Some(u64::from_be_bytes(
        datagram.get(from..from + 8)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    struct Rig {
        stream: UdpStream,
        now: u64,
        counter: u64,
    }

    impl Rig {
        fn new() -> Rig {
            Rig {
                stream: UdpStream::new("10.0.0.2:7".parse().unwrap(), 2 * MS),
                now: SECOND,
                counter: 0,
            }
        }

        fn send(&mut self) -> [u8; SIZE] {
            self.now = self.now.max(self.stream.next_due());
            self.stream.poll(self.now).unwrap()
        }

        fn answer(&mut self, mut datagram: [u8; SIZE]) -> [u8; SIZE] {
            self.counter += 1;
            datagram[16..24].copy_from_slice(&self.counter.to_be_bytes());
            self.stream.reply(&datagram, self.now);
            datagram
        }

        fn exchange(&mut self, n: usize) {
            for _ in 0..n {
                let d = self.send();
                self.answer(d);
            }
        }
    }

    #[test]
    fn a_quiet_exchange_loses_nothing() {
        let mut r = Rig::new();
        r.exchange(5000);
        assert_eq!(r.stream.missing(), (0, 0));
        assert_eq!(
            (r.stream.received, r.stream.duplicated, r.stream.reordered),
            (5000, 0, 0)
        );
        assert_eq!(r.stream.gap, 2 * MS);
    }

    #[test]
    fn datagrams_sent_before_the_peer_first_answers_do_not_count() {
        let mut r = Rig::new();
        for _ in 0..300 {
            r.send();
        }
        r.exchange(10);
        assert_eq!(r.stream.missing(), (0, 0));
        assert_eq!(r.stream.next_seq - r.stream.base.unwrap(), 10);
    }

    #[test]
    fn an_unanswered_datagram_is_in_flight_first_and_lost_later() {
        let mut r = Rig::new();
        r.exchange(10);
        r.send();
        r.exchange(10);
        assert_eq!(r.stream.missing(), (0, 1));
        r.exchange(1500);
        assert_eq!(r.stream.missing(), (1, 0));
        assert_eq!(r.stream.gap, 4 * MS);
    }

    #[test]
    fn late_replies_are_reordered_and_second_ones_duplicated() {
        let mut r = Rig::new();
        r.exchange(1);
        let (a, b) = (r.send(), r.send());
        r.answer(b);
        r.answer(a);
        r.answer(a);
        assert_eq!(
            (r.stream.received, r.stream.reordered, r.stream.duplicated),
            (3, 1, 1)
        );
        assert_eq!(r.stream.echoed, Some((1, 4)));
    }

    #[test]
    fn a_reset_begins_a_new_account_and_passes_over_older_replies() {
        let mut r = Rig::new();
        r.exchange(10);
        let old = r.send();
        r.stream.reset(r.now);
        r.answer(old);
        r.exchange(5);
        assert_eq!((r.stream.received, r.stream.missing()), (5, (0, 0)));
    }

    #[test]
    fn replies_that_nobody_asked_for_and_short_ones_are_passed_over() {
        let mut r = Rig::new();
        r.exchange(3);
        r.stream.reply(&[0xff; SIZE], r.now);
        r.stream.reply(&[0; 20], r.now);
        assert_eq!((r.stream.received, r.stream.duplicated), (3, 0));
    }

    #[test]
    fn intervals_slept_through_are_left_out() {
        let mut r = Rig::new();
        r.exchange(2);
        r.now += SECOND;
        assert!(r.stream.poll(r.now).is_some());
        assert!(r.stream.poll(r.now).is_none());
    }
}
