//! What happened, numbered without gaps and kept for a while.
//!
//! A follower reads from the ring at its own pace; one that falls behind what is kept gets the end
//! of its stream instead of a gap.

use crate::{clock, lock};
use futures::stream::{self, BoxStream, StreamExt};
use model::event::{Event, What};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Events that are kept.
pub const KEPT: usize = 20_000;

/// The log. Clones share it.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    ring: Mutex<VecDeque<Event>>,
    kept: usize,
    /// Number of the newest event; wakes followers.
    newest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Events {
    /// A log that keeps this many events.
    pub fn keeping(kept: usize) -> Self {
        let (newest, _) = watch::channel(0);
        Self(Arc::new(Inner {
            ring: Mutex::default(),
            kept: kept.max(1),
            newest,
        }))
    }

    /// Tells that something happened; returns its number.
    pub fn emit(&self, what: What) -> u64 {
        let mut ring = lock(&self.0.ring);
        let seq = ring.back().map_or(0, |event| event.seq) + 1;
        if ring.len() >= self.0.kept {
            ring.pop_front();
        }
        ring.push_back(Event {
            seq,
            unix_ms: clock::unix_ms(),
            what,
        });
        self.0.newest.send_replace(seq);
        seq
    }

    /// Events from number `from` on, as far back as they are kept; without `from` only what happens
    /// from now on. With `follow` the stream goes on, else it ends after the newest.
    pub fn stream(&self, from: Option<u64>, follow: bool) -> BoxStream<'static, Event> {
        let newest = *self.0.newest.borrow();
        let reader = Reader {
            log: self.clone(),
            wake: self.0.newest.subscribe(),
            next: from.unwrap_or(newest + 1),
            last: (!follow).then_some(newest),
            began: from.is_none(),
        };
        stream::unfold(reader, |mut reader| async {
            let batch = reader.batch().await?;
            Some((stream::iter(batch), reader))
        })
        .flatten()
        .boxed()
    }
}

struct Reader {
    log: Events,
    wake: watch::Receiver<u64>,
    next: u64,
    last: Option<u64>,
    /// Whether the first batch was taken: from then on a gap ends the stream.
    began: bool,
}

impl Reader {
    async fn batch(&mut self) -> Option<Vec<Event>> {
        loop {
            let newest = *self.wake.borrow_and_update();
            if self.last.is_some_and(|last| self.next > last) {
                return None;
            }
            if self.next <= newest {
                return self.take();
            }
            self.wake.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Vec<Event>> {
        let ring = lock(&self.log.0.ring);
        let oldest = ring.front()?.seq;
        if self.next < oldest {
            if self.began {
                return None;
            }
            self.next = oldest;
        }
        self.began = true;
        let skip = usize::try_from(self.next - oldest).ok()?;
        let wanted = |event: &&Event| self.last.is_none_or(|last| event.seq <= last);
        let batch: Vec<Event> = ring.iter().skip(skip).take_while(wanted).cloned().collect();
        self.next = batch.last()?.seq + 1;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HostName;

    fn up(name: &str) -> What {
        What::HostUp {
            host: HostName::new(name).unwrap(),
        }
    }

    async fn numbers(events: BoxStream<'static, Event>) -> Vec<u64> {
        events.map(|event| event.seq).collect().await
    }

    #[tokio::test]
    async fn events_are_numbered_from_one_without_gaps() {
        let log = Events::default();
        for _ in 0..3 {
            log.emit(up("a"));
        }
        assert_eq!(numbers(log.stream(Some(0), false)).await, [1, 2, 3]);
        assert_eq!(numbers(log.stream(Some(3), false)).await, [3]);
        assert_eq!(numbers(log.stream(None, false)).await, [0; 0]);
        assert_eq!(numbers(log.stream(Some(9), false)).await, [0; 0]);
    }

    #[tokio::test]
    async fn a_follower_sees_what_happens_after_it_asked() {
        let log = Events::default();
        log.emit(up("a"));
        let mut events = log.stream(None, true);
        log.emit(up("b"));
        log.emit(up("c"));
        assert_eq!(events.next().await.unwrap().seq, 2);
        assert_eq!(events.next().await.unwrap().seq, 3);
    }

    #[tokio::test]
    async fn what_is_no_longer_kept_is_left_out_at_the_beginning_and_ends_a_follower() {
        let log = Events::keeping(2);
        log.emit(up("a"));
        let mut slow = log.stream(Some(1), true);
        assert_eq!(slow.next().await.unwrap().seq, 1);
        for _ in 0..4 {
            log.emit(up("a"));
        }
        assert_eq!(slow.next().await, None);
        assert_eq!(numbers(log.stream(Some(1), false)).await, [4, 5]);
    }
}
