//! Who has asked lately, by the prefix of the answer: all that the asker may have cached.

use std::net::IpAddr;

use lisp::Eid;

use crate::table::PrefixTable;

/// Who has asked, and until when that counts, in seconds of the server's clock.
#[derive(Debug, Default)]
pub(super) struct Askers {
    /// Of each prefix in the order of addresses.
    lists: PrefixTable<Vec<(IpAddr, u32)>>,
    count: usize,
    swept: Option<Eid>,
}

impl Askers {
    /// Remembers who asked. Beyond the limit nobody new is: its cache runs out by itself.
    pub(super) fn remember(&mut self, eid: Eid, rloc: IpAddr, until: u32, most: usize) {
        let list = match self.count < most {
            true => self.lists.entry(eid),
            false => self.lists.get_mut(eid),
        };
        let Some(list) = list else { return };
        match list.binary_search_by_key(&rloc, |(known, _)| *known) {
            Ok(place) => {
                if let Some(known) = list.get_mut(place) {
                    known.1 = until;
                }
            }
            Err(place) if self.count < most => {
                list.insert(place, (rloc, until));
                self.count += 1;
            }
            Err(_) => {}
        }
    }

    /// Takes everyone out whose answer a change of `eid` concerns.
    pub(super) fn take(&mut self, eid: Eid, now: u32) -> Vec<(Eid, IpAddr)> {
        let wider = self.lists.covering(eid).map(|(found, _)| found);
        let narrower = self.lists.covered(eid).map(|(found, _)| found);
        let concerned: Vec<Eid> = wider
            .chain(narrower.filter(|found| *found != eid))
            .collect();
        let mut taken = Vec::new();
        for found in concerned {
            let list = self.lists.remove(found).unwrap_or_default();
            self.count -= list.len();
            let live = list.into_iter().filter(|(_, until)| *until > now);
            taken.extend(live.map(|(rloc, _)| (found, rloc)));
        }
        taken
    }

    /// Forgets whose time is over, `count` prefixes looked at in a call.
    pub(super) fn sweep(&mut self, now: u32, count: usize) {
        let some = self.lists.some_after(self.swept, count);
        let seen: Vec<(Eid, bool)> = some
            .map(|(eid, list)| (eid, list.iter().any(|(_, until)| *until <= now)))
            .collect();
        self.swept = seen
            .last()
            .map(|(eid, _)| *eid)
            .filter(|_| seen.len() == count);
        for (eid, _) in seen.into_iter().filter(|(_, stale)| *stale) {
            let Some(list) = self.lists.get_mut(eid) else {
                continue;
            };
            let before = list.len();
            list.retain(|(_, until)| *until > now);
            self.count -= before - list.len();
            if list.is_empty() {
                self.lists.remove(eid);
            }
        }
    }
}
