//! Locators up and down, found out by probes (RFC 9301, section 7.1).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lisp::{Eid, MapReply, MapRequest, MapRequestFlags};

use super::core::Core;
use super::outcome::{Event, Outcome, Rejection};

/// A probe is repeated so soon, and after so many without an answer the locator is down.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_LOST: u32 = 3;

/// What is known of a locator.
#[derive(Clone, Debug)]
pub(super) struct Locator {
    pub(super) up: bool,
    nonce: Option<u64>,
    sent: Duration,
    lost: u32,
    next: Duration,
    /// Time from probe to answer.
    pub(super) round_trip: Option<Duration>,
}

/// What is known of all locators.
#[derive(Debug, Default)]
pub(super) struct Locators(pub(super) BTreeMap<IpAddr, Locator>);

impl Locators {
    /// A mapping has this locator; it counts as up until it is found down.
    pub(super) fn meet(&mut self, address: IpAddr, every: Option<Duration>, now: Duration) {
        if every.is_some() {
            self.0.entry(address).or_insert(Locator {
                up: true,
                nonce: None,
                sent: now,
                lost: 0,
                next: now,
                round_trip: None,
            });
        }
    }

    /// Whether packets may be sent there.
    pub(super) fn is_up(&self, address: IpAddr) -> bool {
        self.0.get(&address).is_none_or(|locator| locator.up)
    }
}

impl Core {
    /// Probes locators, and takes those down that do not answer.
    pub(super) fn probe_due(&mut self, now: Duration, outcome: &mut Outcome) {
        let Some(every) = self.probe_every else {
            return;
        };
        let cache = &self.cache;
        self.locators.0.retain(|address, _| cache.uses(*address));
        let due = self
            .locators
            .0
            .iter()
            .filter(|(_, locator)| locator.next <= now);
        let due: Vec<IpAddr> = due.map(|(address, _)| *address).collect();
        if due.is_empty() {
            return;
        }
        let of: BTreeMap<IpAddr, Eid> = self.cache.locators().collect();
        for address in due {
            let nonce = self.nonce();
            let (Some(eid), Some(rloc)) = (of.get(&address), self.rloc_for(address)) else {
                continue;
            };
            let Some(locator) = self.locators.0.get_mut(&address) else {
                continue;
            };
            if locator.nonce.is_some() {
                locator.lost += 1;
            }
            let went_down = locator.up && locator.lost >= MOST_LOST;
            if went_down {
                locator.up = false;
                locator.round_trip = None;
            }
            locator.next = match locator.lost < MOST_LOST {
                true => now + PATIENCE,
                // One that is down is tried as often as one that is up, but not rarer than each 10 s.
                false => now + every.min(Duration::from_secs(10)),
            };
            locator.nonce = Some(nonce);
            locator.sent = now;
            let mut request = MapRequest::new(nonce, *eid, rloc);
            request.flags = MapRequestFlags::PROBE;
            outcome.message((address, self.control_port).into(), &request.into());
            if went_down {
                outcome.events.push(Event::Locator { address, up: false });
                self.reroute(address, outcome);
            }
        }
    }

    /// Takes the answer to a probe: the locator is up.
    pub(super) fn probed(
        &mut self,
        from: SocketAddr,
        reply: &MapReply,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let every = self.probe_every.unwrap_or(Duration::from_secs(60));
        let asked = |locator: &&mut Locator| locator.nonce == Some(reply.nonce);
        let Some(locator) = self.locators.0.get_mut(&from.ip()).filter(asked) else {
            return self.reject(from, Rejection::Unasked, outcome);
        };
        locator.nonce = None;
        locator.lost = 0;
        locator.next = now + every;
        locator.round_trip = Some(now.saturating_sub(locator.sent));
        if !locator.up {
            locator.up = true;
            let address = from.ip();
            outcome.events.push(Event::Locator { address, up: true });
            self.reroute(address, outcome);
        }
    }
}
