//! Map-Register: checked as a whole before any of it counts.

use std::net::SocketAddr;
use std::time::Duration;

use lisp::auth::{self, Authentication};
use lisp::subscription::Freshness;
use lisp::{Eid, MapNotify, MapRegister, MapRegisterFlags, Message, Record};

use crate::audit::{Audit, Rejection};
use crate::mapping::{Registrant, Registration};
use crate::server::{MapServer, Outcome};

impl MapServer {
    pub(crate) fn register(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        register: MapRegister,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let registrant = register
            .xtr
            .map_or(Registrant::Address(from.ip()), Registrant::Xtr);
        let checked = self.check(datagram, &register, registrant);
        let (site, eids) = match checked {
            Ok(Some(checked)) => checked,
            Ok(None) => return,
            Err(reason) => return outcome.reject(from, reason),
        };
        for (record, eid) in register.records.iter().zip(&eids) {
            if let Err(reason) = self.take(record, *eid, &register, registrant, now, outcome) {
                outcome.reject(from, reason);
            }
        }
        if register.flags.contains(MapRegisterFlags::WANT_NOTIFY) {
            self.confirm(from, site, &register, &eids, now, outcome);
        }
    }

    /// The site and the prefixes that are registered; nothing if there are none.
    fn check(
        &mut self,
        datagram: &[u8],
        register: &MapRegister,
        registrant: Registrant,
    ) -> Result<Option<(usize, Vec<Eid>)>, Rejection> {
        let mut site = None;
        let mut eids = Vec::with_capacity(register.records.len());
        for record in &register.records {
            let eid = record.eid().ok_or(Rejection::NoPrefix)?;
            let (prefix, &owner) = self
                .allowed
                .covering(eid)
                .next()
                .ok_or(Rejection::NoSite { eid })?;
            if *site.get_or_insert(owner) != owner {
                return Err(Rejection::SeveralSites { eid });
            }
            let whole = prefix == eid;
            let parts = |index: usize| {
                self.config
                    .sites
                    .get(index)
                    .map(|s| s.accept_more_specifics)
            };
            if !whole && parts(owner) != Some(true) {
                return Err(Rejection::MoreSpecific { eid });
            }
            eids.push(eid);
        }
        let Some(index) = site else { return Ok(None) };
        let Some(site) = self.config.sites.get(index) else {
            return Ok(None);
        };
        let key_id = auth::claim(datagram)?.key_id;
        let key = site.key(key_id).ok_or(Rejection::UnknownKey { key_id })?;
        let claim = auth::verify(datagram, &key.secret)?;
        // State is made for authenticated senders only, so nobody else can fill it.
        let sequence = self.nonces.entry((index, registrant)).or_default();
        let nonce = claim.nonce;
        match sequence.accept(nonce) {
            Freshness::New | Freshness::Again => Ok(Some((index, eids))),
            Freshness::Old if site.accept_constant_nonce => Ok(Some((index, eids))),
            Freshness::Old => Err(Rejection::Replayed { nonce }),
        }
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
        if record.ttl == 0 {
            let Some(mapping) = self.mappings.get_mut(eid) else {
                return Ok(());
            };
            let changed = mapping.withdraw(registrant, now);
            if mapping.registrations.is_empty() {
                self.mappings.remove(eid);
                outcome.audit.push(Audit::Gone { eid });
            }
            if changed {
                self.changed(eid, now, outcome);
            }
            return Ok(());
        }
        let full = self.mappings.len() >= self.config.most_mappings;
        if full && self.mappings.get(eid).is_none() {
            return Err(Rejection::Limit { what: "mappings" });
        }
        let lifetime = match register.flags.contains(MapRegisterFlags::USE_TTL) {
            true => Duration::from_secs(u64::from(record.ttl) * 60),
            false => self.config.registration_lifetime,
        };
        let registration = Registration {
            registrant,
            expires: (now + lifetime).as_secs(),
            ttl: record.ttl,
            map_version: record.map_version,
            action: record.action,
            proxy: register.flags.contains(MapRegisterFlags::PROXY_REPLY),
            merge: register.flags.contains(MapRegisterFlags::MERGE),
            locators: record.locators.clone().into(),
        };
        if self.mappings.entry(eid).take(registration, now) {
            outcome.audit.push(Audit::Changed { eid });
            self.changed(eid, now, outcome);
        }
        Ok(())
    }

    /// Says what is registered now, which may be more than was asked for: others merge with it.
    fn confirm(
        &self,
        to: SocketAddr,
        site: usize,
        register: &MapRegister,
        eids: &[Eid],
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let asked = &register.authentication;
        let Some(key) = self
            .config
            .sites
            .get(site)
            .and_then(|site| site.key(asked.key_id))
        else {
            return;
        };
        let notify = Message::MapNotify(MapNotify {
            nonce: register.nonce,
            // As long as the sender's own: an old ETR wants the whole hash.
            authentication: Authentication {
                data: vec![0; asked.data.len()].into(),
                ..asked.clone()
            },
            records: eids
                .iter()
                .zip(&register.records)
                .map(|(eid, said)| self.mapping(*eid, now).unwrap_or_else(|| said.clone()))
                .collect(),
            xtr: register.xtr,
            ..MapNotify::default()
        });
        if let Ok(bytes) = notify.to_signed_bytes(&key.secret) {
            outcome.send.push((to, bytes));
        }
    }
}
