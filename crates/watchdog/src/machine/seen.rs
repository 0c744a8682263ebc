//! What the kernel says of the place, and which differences mean another one.

use super::{State, Watchdog};
use model::Mac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// The default gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, where the kernel knows it.
    pub mac: Option<Mac>,
    /// It was asked for its Ethernet address and did not answer.
    pub failed: bool,
}

/// The link as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// It is up and has a carrier.
    pub up: bool,
    /// Its addresses beyond the link itself.
    pub addresses: BTreeSet<IpAddr>,
    /// The gateway of the default route by this link.
    pub gateway: Option<Gateway>,
}

/// Why the place is taken for another one; a later one weighs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The watchdog has just started: names may lead anywhere.
    Started,
    /// Addresses or the gateway's address have changed, by somebody else's doing.
    Address,
    /// The gateway does not answer.
    GatewayGone,
    /// The target is not reached.
    Unreachable,
    /// The link was lost and is back.
    LinkBack,
    /// Another machine has the gateway's address.
    GatewayChanged,
}

impl Reason {
    /// One plain sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Started => "the watchdog has just started",
            Self::Address => "its address or gateway has changed",
            Self::GatewayGone => "the gateway does not answer",
            Self::Unreachable => "the target is not reached",
            Self::LinkBack => "the link was lost and is back",
            Self::GatewayChanged => "another machine is the gateway",
        }
    }
}

/// However often the link comes and goes, it is not awaited longer than so many times the time to settle.
const LONGEST: u32 = 5;

impl Watchdog {
    /// The first look: this is the place.
    pub(super) fn begin(&mut self, seen: &Seen) -> Option<Reason> {
        self.addresses.clone_from(&seen.addresses);
        self.learn(seen);
        self.link_lost = !seen.up;
        let named = self.tuning.steps.contains(&super::Step::Names);
        (named && !seen.addresses.is_empty()).then_some(Reason::Started)
    }

    /// What a look means beside the one before.
    pub(super) fn compare(&mut self, seen: &Seen, now: Duration) -> Option<Reason> {
        if !seen.up {
            self.link_lost = true;
            return None;
        }
        let before = self.seen.as_ref().and_then(|before| before.gateway.clone());
        let back = std::mem::take(&mut self.link_lost);
        let gateway = seen.gateway.as_ref();
        let mac = gateway.and_then(|gateway| Some((gateway.address, gateway.mac?)));
        let other = match (self.known, mac) {
            (Some((address, was)), Some((same, is))) => {
                address == same && was != is && now >= self.strange_until
            }
            _ => false,
        };
        let gone = gateway.is_some_and(|gateway| gateway.failed)
            && !before.as_ref().is_some_and(|before| before.failed);
        let address = |gateway: Option<&Gateway>| gateway.map(|gateway| gateway.address);
        let moved =
            seen.addresses != self.addresses || address(gateway) != address(before.as_ref());
        let renewing = matches!(
            self.state,
            State::Running {
                step: super::Step::Renew,
                ..
            }
        );
        self.learn(seen);
        if renewing {
            // What a renewal changes is no news.
            self.addresses.clone_from(&seen.addresses);
            return None;
        }
        // Without an address there is nothing to point a tunnel or a name at: the one to come is the news.
        let moved = moved && !seen.addresses.is_empty();
        if moved {
            self.addresses.clone_from(&seen.addresses);
        }
        match (other, back, gone, moved) {
            (true, ..) => Some(Reason::GatewayChanged),
            (_, true, ..) => Some(Reason::LinkBack),
            (_, _, true, _) => Some(Reason::GatewayGone),
            (.., true) => Some(Reason::Address),
            _ => None,
        }
    }

    fn learn(&mut self, seen: &Seen) {
        let gateway = seen.gateway.as_ref();
        if let Some((address, mac)) =
            gateway.and_then(|gateway| Some((gateway.address, gateway.mac?)))
        {
            self.known = Some((address, mac));
        }
    }

    /// Something speaks for another place.
    pub(super) fn suspect(&mut self, reason: Reason, now: Duration) {
        self.suspect_at(reason, now, now + self.tuning.settle);
    }

    pub(super) fn suspect_at(&mut self, reason: Reason, now: Duration, at: Duration) {
        match &mut self.state {
            State::Running { .. } => self.again = self.again.max(Some(reason)),
            State::Suspecting {
                since,
                at: before,
                reason: first,
            } => {
                *first = reason.max(*first);
                let longest = *since + self.tuning.settle * LONGEST;
                *before = at.min(longest).max(*before);
            }
            // A gateway that is still gone after a run is no news; waits would never grow.
            State::Waiting { .. } | State::Verifying
                if reason <= Reason::Unreachable && reason > Reason::Address => {}
            // An address that has come late after all is what was waited for.
            State::Waiting {
                until,
                from,
                verify: false,
                ..
            } if reason == Reason::Address && *from == super::Step::Renew => {
                *from = super::Step::Tunnel;
                *until = at.min(*until);
            }
            State::Waiting { until, from, .. } => {
                // Before its time only what is certain.
                if reason >= Reason::LinkBack {
                    *from = super::Step::Renew;
                    let soon = at.max(now + self.tuning.waits.after(self.fruitless.min(2)));
                    *until = soon.min(*until);
                }
            }
            State::Settled | State::Verifying => {
                self.state = State::Suspecting {
                    since: now,
                    at,
                    reason,
                };
            }
        }
    }

    /// What was suspected for this reason alone is not any more.
    pub(super) fn calm(&mut self, cause: Reason) {
        if matches!(self.state, State::Suspecting { reason, .. } if reason == cause) {
            self.state = State::Settled;
        }
    }
}
