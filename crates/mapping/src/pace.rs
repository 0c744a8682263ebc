//! Rate limits by sender: a virtual scheduler for each address (GCRA, ITU-T I.371, annex A). The table is
//! bounded; when it is full of senders that are busy, all others share one place.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use crate::config::Pace;

/// How many senders have a place of their own.
const MOST_SENDERS: usize = 65_536;

/// What each sender may still send.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    senders: HashMap<IpAddr, Sender>,
    others: Sender,
    /// When idle senders were last looked for: all of them at once, so not at every datagram.
    swept: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    /// When its next datagram is due if it keeps to the rate.
    due: Duration,
    /// Until when nothing is said about what it sends too much.
    quiet: Duration,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is read.
    Fine,
    /// It is dropped; whether that is said.
    Drop { say: bool },
}

impl Pacer {
    pub(crate) fn judge(&mut self, from: IpAddr, pace: Pace, now: Duration) -> Verdict {
        let each = Duration::from_secs(1) / pace.per_second.max(1);
        let slack = each * pace.burst;
        let sweep = self.swept + Duration::from_secs(1) <= now;
        if sweep && self.senders.len() >= MOST_SENDERS {
            self.swept = now;
            self.senders.retain(|_, sender| sender.due > now);
        }
        let sender = match self.senders.len() < MOST_SENDERS {
            true => self.senders.entry(from).or_default(),
            false => self.senders.get_mut(&from).unwrap_or(&mut self.others),
        };
        if sender.due > now + slack {
            let say = sender.quiet <= now;
            if say {
                sender.quiet = now + Duration::from_secs(1);
            }
            return Verdict::Drop { say };
        }
        sender.due = sender.due.max(now) + each;
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_its_burst_then_its_rate_and_takes_nothing_from_others() {
        let mut pacer = Pacer::default();
        let pace = Pace {
            per_second: 10,
            burst: 5,
        };
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut fine = |from, at| {
            let now = Duration::from_millis(at);
            (0..100)
                .filter(|_| pacer.judge(from, pace, now) == Verdict::Fine)
                .count()
        };
        assert_eq!(fine(one, 1000), 6);
        assert_eq!(fine(one, 1099), 0);
        assert_eq!(fine(one, 1300), 3);
        assert_eq!(fine(two, 1300), 6);
    }

    #[test]
    fn what_is_too_much_is_said_once_a_second_and_senders_do_not_pile_up() {
        let mut pacer = Pacer::default();
        let pace = Pace {
            per_second: 1,
            burst: 0,
        };
        let now = Duration::from_secs(5);
        for address in 0..100_000u32 {
            pacer.judge(IpAddr::from(address.to_be_bytes()), pace, now);
        }
        assert_eq!(pacer.senders.len(), MOST_SENDERS);
        let from = IpAddr::from([0, 0, 0, 1]);
        let mut say = |at| pacer.judge(from, pace, Duration::from_millis(at));
        assert_eq!(say(5000), Verdict::Drop { say: true });
        assert_eq!(say(5500), Verdict::Drop { say: false });
    }
}
