//! What a router knows, for people and programs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lisp::Eid;
use serde::{Deserialize, Serialize};

use super::cache::{Mapping, Origin};
use super::core::Core;
use super::own::Owned;
use crate::data::table::Route;

/// All that a router knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Endpoints that are or were here.
    pub eids: Vec<EidStatus>,
    /// Mappings of others.
    pub mappings: Vec<MappingStatus>,
    /// Their locators.
    pub locators: Vec<LocatorStatus>,
    /// Subscriptions to changes of mappings, confirmed or not.
    #[serde(default)]
    pub subscriptions: usize,
    /// Questions that are not answered yet.
    pub questions: usize,
    /// Packets that wait for them.
    pub waiting: usize,
    /// Control messages that were dropped, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Packets that were carried or dropped, by reason.
    pub packets: BTreeMap<String, u64>,
}

/// An endpoint of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EidStatus {
    /// Prefix, with its instance in brackets.
    pub eid: String,
    /// `here`, `left` (packets are sent on) or `fenced` (dropped).
    pub state: String,
    /// Map-Servers that have confirmed its registration.
    pub registered: Vec<IpAddr>,
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingStatus {
    /// Prefix, with its instance in brackets.
    pub eid: String,
    /// `static`, `learned`, or `told` by whoever moved an endpoint away from here.
    pub origin: String,
    /// What happens to packets: `to`, `native`, `negative`, `unreachable`, `unknown`.
    pub does: String,
    /// Locators that packets go to now.
    pub used: Vec<IpAddr>,
    /// All locators.
    pub rlocs: Vec<IpAddr>,
    /// Seconds until it is forgotten.
    pub seconds_left: Option<u64>,
    /// Whether changes are published to us.
    pub subscribed: bool,
}

/// A locator of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatorStatus {
    /// Address.
    pub address: IpAddr,
    /// Whether it answers probes.
    pub up: bool,
    /// Microseconds from probe to answer.
    pub round_trip_us: Option<u64>,
}

impl Core {
    /// What is known now.
    pub fn status(&self, now: Duration) -> Status {
        let (questions, waiting) = self.questions.counts();
        Status {
            eids: self
                .own
                .iter()
                .map(|(eid, owned)| self.eid_status(*eid, owned))
                .collect(),
            mappings: {
                let mappings = self.cache.mappings.iter();
                let show = |(eid, mapping)| self.mapping_status(eid, mapping, now);
                mappings
                    .map(|(eid, mapping)| show((*eid, mapping)))
                    .collect()
            },
            locators: {
                let locators = self.locators.0.iter();
                let show = |(address, locator): (&IpAddr, &super::probe::Locator)| LocatorStatus {
                    address: *address,
                    up: locator.up,
                    round_trip_us: locator.round_trip.map(|time| time.as_micros() as u64),
                };
                locators.map(show).collect()
            },
            subscriptions: self.cache.subscriptions.len(),
            questions,
            waiting,
            rejected: {
                let rejected = self.rejected.iter();
                rejected
                    .map(|(reason, count)| (reason.name().to_owned(), *count))
                    .collect()
            },
            packets: BTreeMap::new(),
        }
    }

    fn eid_status(&self, eid: Eid, owned: &Owned) -> EidStatus {
        let registered = self
            .servers
            .iter()
            .filter(|server| server.confirmed.contains(&eid));
        EidStatus {
            eid: eid.to_string(),
            state: match owned {
                Owned::Here => "here",
                Owned::Left { .. } => "left",
                Owned::Fenced { .. } => "fenced",
            }
            .to_owned(),
            registered: registered.map(|server| server.address.ip()).collect(),
        }
    }

    fn mapping_status(&self, eid: Eid, mapping: &Mapping, now: Duration) -> MappingStatus {
        let origin = match mapping.origin {
            Origin::Static => "static",
            Origin::Learned => "learned",
            Origin::Told => "told",
        };
        let (does, used) = match &mapping.route {
            Some(Route::To(choice)) => ("to", choice.locators().map(|to| to.ip()).collect()),
            Some(Route::Native) => ("native", Vec::new()),
            Some(Route::Negative) => ("negative", Vec::new()),
            Some(Route::Unreachable) => ("unreachable", Vec::new()),
            Some(Route::Asked | Route::Unknown) | None => ("unknown", Vec::new()),
        };
        let covers = |subscribed: &Eid| subscribed.covers(eid) || eid.covers(*subscribed);
        let mut subscriptions = self.cache.subscriptions.iter();
        MappingStatus {
            eid: eid.to_string(),
            origin: origin.to_owned(),
            does: does.to_owned(),
            used,
            rlocs: mapping.rlocs.iter().map(|rloc| rloc.address).collect(),
            seconds_left: mapping.expires.map(|at| at.saturating_sub(now).as_secs()),
            subscribed: subscriptions.any(|(eid, known)| known.confirmed && covers(eid)),
        }
    }
}
