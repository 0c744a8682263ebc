//! Map-Register: checked as a whole before any of it counts.

use std::net::SocketAddr;
use std::time::Duration;

use lisp::auth::{self, Authentication};
use lisp::subscription::Freshness;
use lisp::{Eid, MapNotify, MapRegister, MapRegisterFlags, Message, Record};

use crate::audit::Rejection;
use crate::mapping::{Mapping, NEVER, Registrant, Registration, seen, told};
use crate::outcome::Outcome;
use crate::server::{MapServer, seconds};
use crate::xtrs::Who;

/// How many versions there are: 12 bits without zero, which says nothing (RFC 9302, section 5).
const VERSIONS: u16 = 4095;

/// A registration that may count.
struct Checked {
    site: u64,
    registrant: Registrant,
    eids: Vec<Eid>,
    /// Whether it is new; else only its answer was lost.
    new: bool,
}

impl MapServer {
    pub(crate) fn register(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        register: MapRegister,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let checked = match self.check(from, datagram, &register) {
            Ok(Some(checked)) => checked,
            Ok(None) => return,
            Err(reason) => return self.reject(from, reason, outcome),
        };
        if checked.new {
            for (record, eid) in register.records.iter().zip(&checked.eids) {
                let taken = self.take(record, *eid, &register, checked.registrant, now, outcome);
                if let Err(reason) = taken {
                    self.reject(from, reason, outcome);
                }
            }
        }
        if register.flags.contains(MapRegisterFlags::WANT_NOTIFY) {
            self.confirm(from, &checked, &register, now, outcome);
        }
    }

    /// Who registers what; nothing if there is nothing to register.
    fn check(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        register: &MapRegister,
    ) -> Result<Option<Checked>, Rejection> {
        let mut owner = None;
        let mut eids = Vec::with_capacity(register.records.len());
        for record in &register.records {
            let eid = record.eid().ok_or(Rejection::NoPrefix)?;
            let mut allowed = self.allowed.covering(eid);
            let (prefix, &site) = allowed.next().ok_or(Rejection::NoSite { eid })?;
            if *owner.get_or_insert(site) != site {
                return Err(Rejection::SeveralSites { eid });
            }
            let parts = self.sites.get(&site).map(|site| site.accept_more_specifics);
            if prefix != eid && parts != Some(true) {
                return Err(Rejection::MoreSpecific { eid });
            }
            eids.push(eid);
        }
        let Some(id) = owner else { return Ok(None) };
        let Some(site) = self.sites.get(&id) else {
            return Ok(None);
        };
        let key_id = auth::claim(datagram)?.key_id;
        let key = site.key(key_id).ok_or(Rejection::UnknownKey { key_id })?;
        let nonce = auth::verify(datagram, &key.secret)?.nonce;
        // State is made for authenticated senders only, so nobody else can fill it.
        let who = Who::of(register, from.ip());
        if self.xtrs.len() >= self.config.most_xtrs && self.xtrs.number(id, who).is_none() {
            return Err(Rejection::Limit { what: "xTRs" });
        }
        let registrant = self.xtrs.enter(id, who);
        let save = self.config.remember_unsaved;
        let new = match self.xtrs.accept(registrant, nonce, save) {
            Freshness::New => true,
            _ if site.accept_constant_nonce => true,
            Freshness::Again if nonce == 0 => return Err(Rejection::ConstantNonce),
            Freshness::Again => false,
            Freshness::Old => return Err(Rejection::Replayed { nonce }),
        };
        Ok(Some(Checked {
            site: id,
            registrant,
            eids,
            new,
        }))
    }

    fn take(
        &mut self,
        record: &Record,
        eid: Eid,
        register: &MapRegister,
        registrant: Registrant,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), Rejection> {
        if self.is_held(eid) {
            return Err(Rejection::Held { eid });
        }
        let known = self.mappings.get(eid);
        if record.ttl == 0 {
            let mut registered = known.into_iter().flat_map(Mapping::registrations);
            if registered.any(|part| part.registrant == registrant) {
                self.keep_only(eid, now, outcome, |part| part.registrant != registrant);
            }
            return Ok(());
        }
        if known.is_none() && self.mappings.len() >= self.config.most_mappings {
            return Err(Rejection::Limit { what: "mappings" });
        }
        let merge = register.flags.contains(MapRegisterFlags::MERGE);
        let version = record.map_version;
        let held = known.map_or(0, |known| known.version_of_others(registrant, seconds(now)));
        if !merge && is_older(version, held) {
            return Err(Rejection::OldVersion { eid, version, held });
        }
        let lifetime = match register.flags.contains(MapRegisterFlags::USE_TTL) {
            true => Duration::from_secs(u64::from(record.ttl) * 60),
            false => self.config.registration_lifetime,
        };
        let Ok(bytes) = told(eid, record).to_bytes() else {
            return Err(Rejection::NoPrefix);
        };
        let registration = Registration {
            registrant,
            expires: seconds(now.saturating_add(lifetime)).min(NEVER - 1),
            proxy: register.flags.contains(MapRegisterFlags::PROXY_REPLY),
            merge,
            bytes: bytes.into(),
        };
        self.enter(eid, registration, now, outcome);
        Ok(())
    }

    pub(crate) fn enter(
        &mut self,
        eid: Eid,
        registration: Registration,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        // The common case: the same again, only longer.
        if let Some(Mapping::One(known)) = self.mappings.get_mut(eid)
            && known.registrant == registration.registrant
            && known.bytes == registration.bytes
            && known.expires > seconds(now)
        {
            *known = registration;
            if self.config.remember_unsaved {
                self.unsaved.insert(eid);
            }
            return;
        }
        let before = seen(self.mappings.get(eid), seconds(now));
        let known = match registration.merge {
            true => self.mappings.get(eid).cloned(),
            false => None,
        };
        let after = Mapping::with(known, registration, eid);
        self.put(eid, after, before, now, outcome);
    }

    /// Says what is registered now, which may be more than was asked for: others merge with it.
    fn confirm(
        &self,
        to: SocketAddr,
        checked: &Checked,
        register: &MapRegister,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let asked = &register.authentication;
        let site = self.sites.get(&checked.site);
        let Some(key) = site.and_then(|site| site.key(asked.key_id)) else {
            return;
        };
        let notify = Message::MapNotify(MapNotify {
            nonce: register.nonce,
            // As long as the sender's own: an old ETR wants the whole hash.
            authentication: Authentication {
                data: vec![0; asked.data.len()].into(),
                ..asked.clone()
            },
            records: checked
                .eids
                .iter()
                .zip(&register.records)
                .map(|(eid, said)| self.mapping(*eid, now).unwrap_or_else(|| said.clone()))
                .collect(),
            xtr: register.xtr,
            ..MapNotify::default()
        });
        if let Ok(bytes) = notify.to_signed_bytes(&key.secret) {
            outcome.send(to, &bytes);
        }
    }
}

/// Whether a version comes before another one (RFC 9302, section 5.1: half of them do). One that says
/// nothing is never older.
fn is_older(version: u16, than: u16) -> bool {
    if version == 0 || than == 0 {
        return false;
    }
    let ahead = (than + VERSIONS - version) % VERSIONS;
    (1..=VERSIONS / 2).contains(&ahead)
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_older_by_at_most_half_of_the_circle() {
        assert!(is_older(1, 2) && is_older(4095, 1) && is_older(4000, 100));
        assert!(!is_older(2, 1) && !is_older(7, 7) && !is_older(1, 4095));
        assert!(!is_older(0, 5) && !is_older(5, 0));
    }
}
