//! What people ask the Map-Server over REST, and set there.

use super::{Lisp, kept};
use crate::{lock, problems};
use api::Problem;
use api::view::{LispLocator, LispMapping, LispMappingSpec, LispSite, LispSiteSpec, LispSource};
use lisp::auth::Secret;
use lisp::record::Action;
use lisp::{Eid, Locator, Record};
use mapping::{HoldError, Key, MapServer, Outcome, Site, SiteError};
use model::SiteName;
use std::time::Duration;

/// Mappings in one answer.
const MOST_SHOWN: usize = 1000;

impl Lisp {
    /// Every site, by name.
    pub async fn sites(&self) -> Vec<LispSite> {
        let described = self.inner.described.lock().await;
        described
            .sites
            .iter()
            .map(|(name, spec)| shown(name, spec))
            .collect()
    }

    /// Makes a site known, or changes it.
    ///
    /// # Errors
    /// It makes no sense, or contradicts another site; nothing is changed.
    pub async fn put_site(
        &self,
        name: &SiteName,
        mut spec: LispSiteSpec,
    ) -> Result<LispSite, Problem> {
        let mut described = self.inner.described.lock().await;
        if spec.keys.is_empty()
            && let Some(known) = described.sites.get(name)
        {
            spec.keys.clone_from(&known.keys);
        }
        let other = described
            .sites
            .iter()
            .find(|(of, known)| known.id == spec.id && *of != name);
        if let Some((other, _)) = other {
            return Err(Problem::conflict(
                format!("LISP site '{other}' has Site-ID {}.", spec.id),
                "Give each site its own.",
            ));
        }
        let site = site(&spec)?;
        // With another Site-ID it is another site to the server, which must let go of its prefixes first.
        let known = described.sites.get(name);
        let renumbered = known.filter(|known| known.id != spec.id);
        let before = renumbered.and_then(|known| self::site(known).ok());
        let mut taken = Ok(());
        let outcome = self.with_server(|server, now, outcome| {
            if let Some(before) = &before {
                server.remove_site(before.id, now, outcome);
            }
            taken = server.put_site(site, now, outcome);
            if let Some(before) = before.filter(|_| taken.is_err()) {
                // It had its prefixes until a moment ago.
                let _ = server.put_site(before, now, outcome);
            }
        });
        taken.map_err(|error| {
            let SiteError::Taken { prefix, site } = error;
            let holder = described.sites.iter().find(|(_, known)| known.id == site);
            let holder = holder.map_or_else(String::new, |(name, _)| format!(" '{name}'"));
            Problem::conflict(
                format!("Prefix {prefix} belongs to LISP site{holder}."),
                "Take it from there first, or choose another one.",
            )
        })?;
        let txn = kept::put_site(name, &spec);
        let stored = match txn {
            Ok(txn) => self.inner.store.txn(txn).await,
            Err(error) => Err(error),
        };
        stored.map_err(|error| problems::store(&error))?;
        let shown = shown(name, &spec);
        described.sites.insert(name.clone(), spec);
        drop(described);
        self.inner.wires.send(&outcome, None).await;
        Ok(shown)
    }

    /// Forgets a site and what it has registered.
    ///
    /// # Errors
    /// There is no such site, or the store fails.
    pub async fn remove_site(&self, name: &SiteName) -> Result<(), Problem> {
        let mut described = self.inner.described.lock().await;
        let known = described.sites.get(name).map(|spec| spec.id);
        let id = known.ok_or_else(|| {
            Problem::not_found(
                format!("There is no LISP site '{name}'."),
                "See them with `transhume lisp site list`.",
            )
        })?;
        let stored = self.inner.store.txn(kept::delete_site(name)).await;
        stored.map_err(|error| problems::store(&error))?;
        described.sites.remove(name);
        let outcome = self.with_server(|server, now, outcome| server.remove_site(id, now, outcome));
        drop(described);
        self.inner.wires.send(&outcome, None).await;
        Ok(())
    }

    /// Mappings in order, at most [`MOST_SHOWN`], after `after` if that is given.
    ///
    /// # Errors
    /// `after` is no prefix.
    pub async fn mappings(&self, after: Option<&str>) -> Result<Vec<LispMapping>, Problem> {
        let after = after.map(identifier).transpose()?;
        let described = self.inner.described.lock().await;
        let directory = lock(&self.inner.directory).clone();
        let server = lock(&self.inner.server);
        let some = server.some_mappings(after, MOST_SHOWN, super::now());
        let source = |eid: &Eid| {
            if directory.contains(eid) {
                LispSource::Directory
            } else if described.mappings.contains_key(eid) {
                LispSource::Static
            } else {
                LispSource::Registered
            }
        };
        Ok(some
            .map(|(eid, record)| mapped(eid, source(&eid), &record))
            .collect())
    }

    /// One mapping.
    ///
    /// # Errors
    /// There is none of exactly this prefix.
    pub async fn mapping(&self, eid: &str) -> Result<LispMapping, Problem> {
        let eid = identifier(eid)?;
        let described = self.inner.described.lock().await;
        let source = if lock(&self.inner.directory).contains(&eid) {
            LispSource::Directory
        } else if described.mappings.contains_key(&eid) {
            LispSource::Static
        } else {
            LispSource::Registered
        };
        let record = lock(&self.inner.server).mapping(eid, super::now());
        let record = record.ok_or_else(|| missing(eid))?;
        Ok(mapped(eid, source, &record))
    }

    /// Sets a mapping by hand. Who is concerned is told at once.
    ///
    /// # Errors
    /// It makes no sense, or is of an endpoint that the directory has; nothing is changed.
    pub async fn put_mapping(
        &self,
        eid: &str,
        spec: LispMappingSpec,
    ) -> Result<LispMapping, Problem> {
        let eid = identifier(eid)?;
        let mut described = self.inner.described.lock().await;
        let of_directory = lock(&self.inner.directory).range(eid..).next().copied();
        if let Some(endpoint) = of_directory.filter(|endpoint| eid == *endpoint) {
            return Err(Problem::conflict(
                format!("{endpoint} is an endpoint of a cluster."),
                "Only the directory moves it: see `transhume update` and `transhume migrate`.",
            ));
        }
        if spec.locators.len() > 255 {
            return Err(Problem::invalid(
                format!("{} locators for one mapping.", spec.locators.len()),
                "Give at most 255.",
            ));
        }
        let stored = match kept::put_mapping(eid, &spec) {
            Ok(txn) => self.inner.store.txn(txn).await,
            Err(error) => Err(error),
        };
        stored.map_err(|error| problems::store(&error))?;
        let mut held = Ok(());
        let outcome = self.with_server(|server, now, outcome| {
            held = hold(server, eid, &spec, now, outcome);
        });
        held.map_err(|error| Problem::refused(problems::sentence(&error.to_string()), ""))?;
        let shown = mapped(eid, LispSource::Static, &record(eid, &spec));
        described.mappings.insert(eid, spec);
        drop(described);
        self.inner.wires.send(&outcome, None).await;
        self.reach([eid]).await;
        Ok(shown)
    }

    /// Forgets a mapping that was set by hand.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn remove_mapping(&self, eid: &str) -> Result<(), Problem> {
        let eid = identifier(eid)?;
        let mut described = self.inner.described.lock().await;
        if !described.mappings.contains_key(&eid) {
            return Err(missing(eid));
        }
        let stored = self.inner.store.txn(kept::delete_mapping(eid)).await;
        stored.map_err(|error| problems::store(&error))?;
        described.mappings.remove(&eid);
        let endpoint = lock(&self.inner.directory).contains(&eid);
        if !endpoint {
            let outcome =
                self.with_server(|server, now, outcome| server.release(eid, now, outcome));
            drop(described);
            self.inner.wires.send(&outcome, None).await;
            self.reach([eid]).await;
        }
        Ok(())
    }
}

/// A site as the server knows it.
pub(super) fn site(spec: &LispSiteSpec) -> Result<Site, Problem> {
    let keys: Vec<Key> = spec
        .keys
        .iter()
        .filter(|key| !key.secret.is_empty())
        .map(|key| Key {
            id: key.id,
            secret: Secret::new(key.secret.as_bytes()),
        })
        .collect();
    if keys.is_empty() || keys.len() != spec.keys.len() {
        return Err(Problem::invalid(
            "A LISP site without a secret, or with an empty one.",
            "Give it a key; nobody could register otherwise.",
        ));
    }
    let prefixes = spec.prefixes.iter().map(|prefix| identifier(prefix));
    Ok(Site {
        id: spec.id,
        keys,
        prefixes: prefixes.collect::<Result<_, _>>()?,
        accept_more_specifics: spec.accept_more_specifics,
        accept_constant_nonce: spec.accept_constant_nonce,
    })
}

/// Holds a mapping that was set by hand.
pub(super) fn hold(
    server: &mut MapServer,
    eid: Eid,
    spec: &LispMappingSpec,
    now: Duration,
    outcome: &mut Outcome,
) -> Result<(), HoldError> {
    server.hold(&record(eid, spec), now, outcome)
}

fn record(eid: Eid, spec: &LispMappingSpec) -> Record {
    let mut record = Record::new(eid, spec.ttl_minutes);
    let locators = spec.locators.iter();
    record.locators = locators
        .map(|to| Locator::new(to.address, to.priority, to.weight))
        .collect();
    if record.locators.is_empty() {
        record.action = Action::Drop;
    }
    record
}

fn identifier(text: &str) -> Result<Eid, Problem> {
    text.parse().map_err(|error: lisp::eid::EidError| {
        let text = error.to_string();
        let (what, way_out) = text.split_once("; ").unwrap_or((&text, ""));
        Problem::invalid(problems::sentence(what), problems::sentence(way_out))
    })
}

fn missing(eid: Eid) -> Problem {
    Problem::not_found(
        format!("There is no such mapping of {eid}."),
        "See them with `transhume lisp mapping list`.",
    )
}

fn shown(name: &SiteName, spec: &LispSiteSpec) -> LispSite {
    LispSite {
        name: name.to_string(),
        id: spec.id,
        key_ids: spec.keys.iter().map(|key| key.id).collect(),
        prefixes: spec.prefixes.clone(),
        accept_more_specifics: spec.accept_more_specifics,
        accept_constant_nonce: spec.accept_constant_nonce,
    }
}

fn mapped(eid: Eid, source: LispSource, record: &Record) -> LispMapping {
    let locators = record.locators.iter().filter_map(|locator| {
        Some(LispLocator {
            address: locator.address.ip()?,
            priority: locator.priority,
            weight: locator.weight,
        })
    });
    LispMapping {
        eid: eid.to_string(),
        source,
        ttl_minutes: record.ttl,
        version: record.map_version,
        locators: locators.collect(),
    }
}
