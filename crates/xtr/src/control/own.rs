//! Endpoints that are here, have left, or left long ago.
//!
//! An endpoint that has left is never registered by us again until it is said to have arrived, not
//! even after a restart: the new place's registration must stand.

use std::net::IpAddr;
use std::time::Duration;

use lisp::record::{Locator, LocatorFlags, RecordFlags};
use lisp::{Eid, EidRecord, MapRequest, MapRequestFlags, Record};

use super::core::Core;
use super::outcome::{Change, Outcome};
use crate::config::Rloc;
use crate::data::table::Presence;

/// Minutes that others may keep our mappings.
pub(super) const TTL: u32 = 1440;
/// Endpoints that have left and are remembered.
const MOST_LEFT: usize = 100_000;
/// Time between two solicitations of one sender for one endpoint.
const SOLICIT: Duration = Duration::from_secs(1);
/// Senders whose last solicitation is remembered.
const MOST_SOLICITED: usize = 100_000;

/// An endpoint or prefix that is or was ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// It is here.
    Here,
    /// It went to these locators; what comes is sent on until then.
    Left { to: Vec<Rloc>, until: Duration },
    /// It left long ago.
    Fenced { to: Vec<Rloc> },
}

impl Core {
    /// Takes an endpoint of the configuration, unless a run before has seen it leave.
    pub(super) fn begin_own(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        if self.saved.left.contains(&saved_name(eid)) {
            self.own.insert(eid, Owned::Fenced { to: Vec::new() });
            outcome
                .changes
                .push(Change::Own(eid, Some(Presence::Fenced)));
        } else {
            self.own_eid_arrived(eid, now, outcome);
        }
    }

    /// An endpoint is here now: it is registered at once.
    pub fn own_eid_arrived(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        self.own.insert(eid, Owned::Here);
        if self.saved.left.remove(&saved_name(eid)) {
            outcome.save = Some(self.saved.clone());
        }
        self.forget_mapping(eid, outcome);
        outcome.changes.push(Change::Own(eid, Some(Presence::Here)));
        for server in &mut self.servers {
            server.want(eid);
        }
        self.solicit_askers(eid, now, outcome);
        self.register_due(now, outcome);
    }

    /// An endpoint went to other locators. What still arrives for it is sent on until `until`, then
    /// dropped; whoever sends it is solicited to ask anew.
    pub fn own_eid_left(
        &mut self,
        eid: Eid,
        to: Vec<Rloc>,
        until: Duration,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        for server in &mut self.servers {
            server.forget(eid);
        }
        self.bound_left(outcome);
        let new = to.clone();
        self.own.insert(eid, Owned::Left { to, until });
        if self.saved.left.insert(saved_name(eid)) {
            outcome.save = Some(self.saved.clone());
        }
        self.told_mapping(eid, new, until, now, outcome);
        outcome.changes.push(Change::Own(eid, Some(Presence::Left)));
        self.solicit_askers(eid, now, outcome);
        self.fence(now, outcome);
    }

    /// An endpoint does not exist any more: its registration is withdrawn.
    pub fn own_eid_gone(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let was_here = matches!(self.own.remove(&eid), Some(Owned::Here));
        if self.saved.left.remove(&saved_name(eid)) {
            outcome.save = Some(self.saved.clone());
        }
        outcome.changes.push(Change::Own(eid, None));
        if was_here {
            self.withdraw(eid, outcome);
            self.solicit_askers(eid, now, outcome);
        }
        for server in &mut self.servers {
            server.forget(eid);
        }
    }

    /// A packet for an endpoint that has left came from a locator: its router has an old mapping.
    pub fn late(&mut self, eid: Eid, from: IpAddr, now: Duration, outcome: &mut Outcome) {
        if let Some((own, state)) = self.own_prefix(eid)
            && *state != Owned::Here
        {
            self.solicit(own, from, now, outcome);
        }
    }

    /// Fences endpoints whose time is over.
    pub(super) fn fence(&mut self, now: Duration, outcome: &mut Outcome) {
        for (eid, owned) in &mut self.own {
            if let Owned::Left { to, until } = owned
                && *until <= now
            {
                *owned = Owned::Fenced {
                    to: std::mem::take(to),
                };
                outcome
                    .changes
                    .push(Change::Own(*eid, Some(Presence::Fenced)));
            }
        }
    }

    /// Makes room for one more endpoint that leaves.
    fn bound_left(&mut self, outcome: &mut Outcome) {
        if self.own.len() < MOST_LEFT {
            return;
        }
        let fenced = |(eid, owned): (&Eid, &Owned)| match owned {
            Owned::Fenced { .. } => Some(*eid),
            _ => None,
        };
        if let Some(eid) = self.own.iter().find_map(fenced) {
            self.own.remove(&eid);
            outcome.changes.push(Change::Own(eid, None));
        }
    }

    /// Asks everyone who has asked us for an endpoint to ask again.
    fn solicit_askers(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let asked = self
            .askers
            .keys()
            .filter(|(asked, _)| eid.covers(*asked) || asked.covers(eid));
        let concerned: Vec<IpAddr> = asked.map(|(_, rloc)| *rloc).collect();
        for rloc in concerned {
            self.askers.remove(&(eid, rloc));
            self.solicit(eid, rloc, now, outcome);
        }
    }

    /// Sends a solicitation (RFC 9301, section 6.1), one a second to a locator for an endpoint.
    fn solicit(&mut self, eid: Eid, to: IpAddr, now: Duration, outcome: &mut Outcome) {
        let recent = self.solicited.get(&(eid, to));
        if recent.is_some_and(|at| now < *at + SOLICIT) || self.solicited.len() >= MOST_SOLICITED {
            return;
        }
        let Some(rloc) = self.rloc_for(to) else {
            return;
        };
        self.solicited.insert((eid, to), now);
        let mut request = MapRequest::new(self.nonce(), eid, rloc);
        request.flags = MapRequestFlags::SMR;
        // Receivers take what has changed from either place.
        request.source_eid = Eid::host(eid.instance(), eid.address()).to_address();
        request.records = vec![EidRecord::from(eid)];
        outcome.message((to, self.control_port).into(), &request.into());
    }

    /// What we say of one of our endpoints.
    pub(super) fn own_record(&self, eid: Eid) -> Option<Record> {
        let owned = self.own.get(&eid)?;
        let (rlocs, flags) = match owned {
            Owned::Here => (&self.rlocs, LocatorFlags::LOCAL | LocatorFlags::REACHABLE),
            Owned::Left { to, .. } | Owned::Fenced { to } => (to, LocatorFlags::REACHABLE),
        };
        let mut record = Record::new(eid, TTL);
        if *owned == Owned::Here {
            record.flags = RecordFlags::AUTHORITATIVE;
        } else {
            record.ttl = 1;
        }
        for rloc in rlocs {
            let mut locator = Locator::new(rloc.address, rloc.priority, rloc.weight);
            locator.flags = flags;
            record.locators.push(locator);
        }
        Some(record)
    }

    /// The longest of our prefixes around an endpoint.
    pub(super) fn own_prefix(&self, eid: Eid) -> Option<(Eid, &Owned)> {
        let lengths = (0..=eid.length()).rev();
        let mut around = lengths.map(|length| Eid::new(eid.instance(), eid.address(), length));
        around.find_map(|eid| self.own.get(&eid).map(|owned| (eid, owned)))
    }
}

fn saved_name(eid: Eid) -> (u32, String) {
    (
        eid.instance(),
        format!("{}/{}", eid.address(), eid.length()),
    )
}
