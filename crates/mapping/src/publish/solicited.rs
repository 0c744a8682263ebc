//! Solicitations that nobody has followed yet: sent again a few times, until their receiver asks anew.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use lisp::Eid;

/// Solicitations under way.
#[derive(Debug, Default)]
pub(super) struct Solicited {
    waiting: HashMap<IpAddr, Vec<Waiting>>,
    due: BTreeSet<(Duration, IpAddr, Eid)>,
}

#[derive(Debug)]
struct Waiting {
    /// What its receiver was answered, and shall ask for again.
    answered: Eid,
    at: Duration,
    tries: u8,
    bytes: Box<[u8]>,
}

impl Solicited {
    /// Takes note of one that was sent; it takes the place of an older one about the same.
    pub(super) fn sent(
        &mut self,
        rloc: IpAddr,
        answered: Eid,
        bytes: &[u8],
        at: Duration,
        most: usize,
    ) {
        self.forget(rloc, |eid| eid == answered);
        if self.due.len() >= most {
            return;
        }
        self.due.insert((at, rloc, answered));
        self.waiting.entry(rloc).or_default().push(Waiting {
            answered,
            at,
            tries: 1,
            bytes: bytes.into(),
        });
    }

    /// Somebody asked for this: what it was solicited for around it is done.
    pub(super) fn asked(&mut self, rloc: IpAddr, eid: Eid) {
        if !self.waiting.is_empty() {
            self.forget(rloc, |of| of.covers(eid) || eid.covers(of));
        }
    }

    /// The next one that is due: to whom, and the message. With all tries made it is given up.
    pub(super) fn again(
        &mut self,
        now: Duration,
        wait: Duration,
        most_tries: u8,
    ) -> Option<(IpAddr, Box<[u8]>)> {
        loop {
            let &(at, rloc, answered) = self.due.first().filter(|(at, ..)| *at <= now)?;
            self.due.pop_first();
            let Some(list) = self.waiting.get_mut(&rloc) else {
                continue;
            };
            let same = |of: &Waiting| of.answered == answered && of.at == at;
            let Some(place) = list.iter().position(same) else {
                continue;
            };
            if list.get(place).is_some_and(|of| of.tries >= most_tries) {
                list.swap_remove(place);
                if list.is_empty() {
                    self.waiting.remove(&rloc);
                }
                continue;
            }
            let Some(known) = list.get_mut(place) else {
                continue;
            };
            // Twice as long each time.
            known.at = now + wait * (1 << known.tries.min(10));
            known.tries += 1;
            let (at, bytes) = (known.at, known.bytes.clone());
            self.due.insert((at, rloc, answered));
            return Some((rloc, bytes));
        }
    }

    fn forget(&mut self, rloc: IpAddr, done: impl Fn(Eid) -> bool) {
        let Some(list) = self.waiting.get_mut(&rloc) else {
            return;
        };
        for gone in list.extract_if(.., |of| done(of.answered)) {
            self.due.remove(&(gone.at, rloc, gone.answered));
        }
        if list.is_empty() {
            self.waiting.remove(&rloc);
        }
    }
}
