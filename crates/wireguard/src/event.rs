//! What a device tells while it runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::key::PublicKey;
use crate::status::Reason;

/// Something that someone may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A handshake is complete.
    Handshake {
        /// The peer's key that it was made with.
        peer: PublicKey,
    },
    /// A peer's good packet has come from another place, and answers go there now.
    Roamed {
        /// The peer's preferred key.
        peer: PublicKey,
        /// Where it was, if that was known.
        from: Option<SocketAddr>,
        /// Where it is.
        to: SocketAddr,
    },
    /// Something from outside was refused. Not each is told, all are counted.
    Refused {
        /// Who has sent it, if the network tells the truth.
        from: SocketAddr,
        /// Why.
        why: Reason,
    },
}

/// Tokens that come back with time.
#[derive(Debug)]
pub(crate) struct Bucket {
    left: u32,
    most: u32,
    every: Duration,
    filled: Instant,
}

impl Bucket {
    /// Has `most` at the beginning, and gets one back in each period.
    pub(crate) fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self {
            left: most,
            most,
            every,
            filled: now,
        }
    }

    /// Takes one, if one is there.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        let back = (passed.as_nanos() / self.every.as_nanos().max(1)).min(self.most.into()) as u32;
        if back > 0 {
            self.left = (self.left + back).min(self.most);
            self.filled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_has_and_what_comes_back() {
        let now = Instant::now();
        let mut bucket = Bucket::new(3, Duration::from_millis(100), now);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(
            [0; 4].map(|ms| bucket.take(at(ms))),
            [true, true, true, false]
        );
        assert!(!bucket.take(at(99)));
        assert_eq!([200; 3].map(|ms| bucket.take(at(ms))), [true, true, false]);
        assert_eq!(
            [9999; 4].map(|ms| bucket.take(at(ms))),
            [true, true, true, false]
        );
    }
}
