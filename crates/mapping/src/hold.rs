//! Mappings of whoever runs this server, and what survives a restart.

use std::time::Duration;

use lisp::record::Record;
use lisp::{Eid, EncodeError};

use crate::config::Site;
use crate::mapping::{Mapping, NEVER, Registrant, Registration, seen, told};
use crate::outcome::Outcome;
use crate::server::{MapServer, seconds};
use crate::xtrs::Who;

/// Why a mapping cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// It is for no prefix.
    #[error("a mapping for what is no IPv4, IPv6 or MAC prefix; give it a prefix")]
    NoPrefix,
    /// A part of it fits no message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// There are too many.
    #[error("no more mappings are taken; raise the limit")]
    Limit,
}

/// Why a site cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// Another site has a prefix of it.
    #[error("{prefix} belongs to site {site}; take it from there first")]
    Taken {
        /// The prefix.
        prefix: Eid,
        /// The Site-ID of who has it.
        site: u64,
    },
}

/// A registration for the time after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Of which prefix.
    pub eid: Eid,
    /// The site whose key signed it.
    pub site: u64,
    /// Who has registered.
    pub who: Who,
    /// How long it still holds.
    pub left: Duration,
    /// Whether this server answers for it.
    pub proxy: bool,
    /// Whether it stands beside others.
    pub merge: bool,
    /// What was registered.
    pub record: Record,
}

/// What has changed since it was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    /// Prefixes; [`MapServer::registrations`] has what is registered for them now.
    pub eids: Vec<Eid>,
    /// Sites, xTRs and their last nonces.
    pub nonces: Vec<(u64, Who, u64)>,
}

impl MapServer {
    /// Holds a mapping: registrations of it and its parts are refused from now on, those that are
    /// there are replaced, and whom a change concerns is told at once.
    ///
    /// # Errors
    /// It is no mapping, or there are too many; nothing is changed.
    pub fn hold(
        &mut self,
        record: &Record,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), HoldError> {
        let eid = record.eid().ok_or(HoldError::NoPrefix)?;
        let full = self.mappings.len() >= self.config.most_mappings;
        if full && self.mappings.get(eid).is_none() {
            return Err(HoldError::Limit);
        }
        let held = Registration {
            registrant: Registrant::HELD,
            expires: NEVER,
            proxy: true,
            merge: false,
            bytes: told(eid, record).to_bytes()?.into(),
        };
        let parts: Vec<Eid> = self
            .mappings
            .covered(eid)
            .filter(|(part, mapping)| *part != eid && !mapping.is_held())
            .map(|(part, _)| part)
            .collect();
        for part in parts {
            self.keep_only(part, now, outcome, |_| false);
        }
        let before = seen(self.mappings.get(eid), seconds(now));
        self.put(eid, Some(Mapping::One(held)), before, now, outcome);
        Ok(())
    }

    /// Gives up a mapping that is held.
    pub fn release(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        if self.mappings.get(eid).is_some_and(Mapping::is_held) {
            self.keep_only(eid, now, outcome, |_| false);
        }
    }

    /// Whether a prefix, or one around it, is held.
    pub fn is_held(&self, eid: Eid) -> bool {
        self.mappings
            .covering(eid)
            .any(|(_, mapping)| mapping.is_held())
    }

    /// Makes a site known, or changes it. What it has registered and may no longer is dropped.
    ///
    /// # Errors
    /// Another site has one of its prefixes; nothing is changed.
    pub fn put_site(
        &mut self,
        site: Site,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), SiteError> {
        for &prefix in &site.prefixes {
            match self.allowed.get(prefix) {
                Some(&holder) if holder != site.id => {
                    return Err(SiteError::Taken {
                        prefix,
                        site: holder,
                    });
                }
                _ => {}
            }
        }
        let id = site.id;
        self.forget_prefixes(id);
        for &prefix in &site.prefixes {
            self.allowed.insert(prefix, id);
        }
        self.sites.insert(id, site);
        self.drop_foreign(id, now, outcome);
        Ok(())
    }

    /// Forgets a site, its registrations and its subscriptions.
    pub fn remove_site(&mut self, id: u64, now: Duration, outcome: &mut Outcome) {
        self.forget_prefixes(id);
        self.sites.remove(&id);
        self.publisher.forget_site(id);
        self.drop_foreign(id, now, outcome);
    }

    fn forget_prefixes(&mut self, id: u64) {
        let prefixes = self.sites.get(&id).map(|site| site.prefixes.clone());
        for prefix in prefixes.unwrap_or_default() {
            if self.allowed.get(prefix) == Some(&id) {
                self.allowed.remove(prefix);
            }
        }
    }

    fn drop_foreign(&mut self, id: u64, now: Duration, outcome: &mut Outcome) {
        let xtrs = &self.xtrs;
        let of_site =
            |part: &Registration| xtrs.get(part.registrant).is_some_and(|xtr| xtr.site == id);
        let mut foreign: Vec<(Eid, Vec<Registrant>)> = Vec::new();
        for (eid, mapping) in self.mappings.some_after(None, usize::MAX) {
            let allowed = self.allowed.covering(eid).next();
            if allowed.map(|(_, site)| *site) != Some(id) {
                let parts = mapping.registrations().iter();
                let parts: Vec<_> = parts
                    .filter(|part| of_site(part))
                    .map(|part| part.registrant)
                    .collect();
                if !parts.is_empty() {
                    foreign.push((eid, parts));
                }
            }
        }
        for (eid, gone) in foreign {
            self.keep_only(eid, now, outcome, |part| !gone.contains(&part.registrant));
        }
    }

    /// What xTRs have registered for exactly this prefix, as it can be restored.
    pub fn registrations(&self, eid: Eid, now: Duration) -> Vec<Saved> {
        let parts = self.mappings.get(eid).into_iter();
        let live = parts
            .flat_map(Mapping::registrations)
            .filter(|part| part.expires > seconds(now));
        let saved = live.filter_map(|part| {
            let xtr = self.xtrs.get(part.registrant)?;
            Some(Saved {
                eid,
                site: xtr.site,
                who: xtr.who,
                left: Duration::from_secs(part.expires.into()).saturating_sub(now),
                proxy: part.proxy,
                merge: part.merge,
                record: part.record()?,
            })
        });
        saved.collect()
    }

    /// What has changed since the last call; nothing unless [`Config::remember_unsaved`] is set.
    ///
    /// [`Config::remember_unsaved`]: crate::Config::remember_unsaved
    pub fn take_unsaved(&mut self) -> Unsaved {
        Unsaved {
            eids: std::mem::take(&mut self.unsaved).into_iter().collect(),
            nonces: self.xtrs.take_unsaved(),
        }
    }

    /// Takes a nonce from before a restart: nothing older is believed.
    pub fn restore_nonce(&mut self, site: u64, who: Who, nonce: u64) {
        self.xtrs.restore(site, who, nonce);
    }

    /// Takes a registration from before a restart, unless its site may no longer register it or
    /// something else is there. Nobody is told.
    pub fn restore(&mut self, saved: &Saved, now: Duration) {
        let allowed = self.allowed.covering(saved.eid).next();
        if allowed.map(|(_, site)| *site) != Some(saved.site) || self.is_held(saved.eid) {
            return;
        }
        let Ok(bytes) = told(saved.eid, &saved.record).to_bytes() else {
            return;
        };
        let registration = Registration {
            registrant: self.xtrs.enter(saved.site, saved.who),
            expires: seconds(now.saturating_add(saved.left)).min(NEVER - 1),
            proxy: saved.proxy,
            merge: saved.merge,
            bytes: bytes.into(),
        };
        let known = self.mappings.get(saved.eid).cloned();
        if let Some(mapping) = Mapping::with(known, registration, saved.eid) {
            self.mappings.insert(saved.eid, mapping);
        }
    }
}
