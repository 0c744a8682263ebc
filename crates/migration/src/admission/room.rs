//! Room: what the limits leave.

use super::{Lack, Request};
use model::limits::{Limit, Limits};
use model::{HostName, MigrationId, SiteName};
use std::collections::{BTreeMap, BTreeSet};

/// What migrations share and limits hold for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All of the controller's migrations.
    Controller,
    /// Those that leave or enter a site.
    Site(SiteName),
    /// Those that send or receive through a host's uplink.
    Uplink(HostName),
}

/// What a migration takes of.
fn scopes(request: &Request) -> BTreeSet<Scope> {
    let sites = [&request.from, &request.to].map(|site| Scope::Site(site.clone()));
    let uplinks = request.uplinks.keys().cloned().map(Scope::Uplink);
    let mut all: BTreeSet<_> = sites.into_iter().chain(uplinks).collect();
    all.insert(Scope::Controller);
    all
}

/// The narrowest of what two migrations share and a limit holds for.
pub(super) fn shared(limits: &Limits, one: &Request, other: &Request) -> Option<Scope> {
    let theirs = scopes(other);
    let mut common = scopes(one).into_iter().rev();
    common.find(|scope| {
        let limit = limit(limits, scope, one);
        theirs.contains(scope) && (limit.at_once.is_some() || limit.mbit.is_some())
    })
}

/// What holds for a scope, for a migration that knows its uplinks.
fn limit(limits: &Limits, scope: &Scope, request: &Request) -> Limit {
    match scope {
        Scope::Controller => limits.controller,
        Scope::Site(site) => limits.of_site(site),
        Scope::Uplink(host) => {
            let limit = limits.of_uplink(host);
            let known = request.uplinks.get(host).copied();
            let known = known.filter(|mbit| *mbit > 0.0);
            Limit {
                mbit: limit.mbit.into_iter().chain(known).reduce(f64::min),
                ..limit
            }
        }
    }
}

#[derive(Default)]
struct Taken {
    by: Vec<MigrationId>,
    mbit: f64,
}

/// What is taken and what may be.
pub(super) struct Rooms<'a> {
    limits: &'a Limits,
    taken: BTreeMap<Scope, Taken>,
}

impl<'a> Rooms<'a> {
    pub(super) fn of<'r>(
        limits: &'a Limits,
        running: impl Iterator<Item = (&'r Request, Option<f64>)>,
    ) -> Self {
        let mut taken: BTreeMap<Scope, Taken> = BTreeMap::new();
        for (request, mbit) in running {
            for scope in scopes(request) {
                let it = taken.entry(scope).or_default();
                it.by.push(request.id.clone());
                it.mbit += mbit.unwrap_or(0.0);
            }
        }
        Self { limits, taken }
    }

    /// What a migration may send if it begins now.
    ///
    /// Where only so many may run at once, each place has an equal part of what is left: who comes first
    /// leaves room for those who may come.
    pub(super) fn take(&self, request: &Request) -> Result<Option<f64>, Lack> {
        let asked = Some(request.most_mbit).filter(|mbit| *mbit > 0.0);
        let mut given = asked;
        let least = self.limits.least_mbit.min(asked.unwrap_or(f64::INFINITY));
        let nobody = Taken::default();
        for scope in scopes(request) {
            let limit = limit(self.limits, &scope, request);
            let taken = self.taken.get(&scope).unwrap_or(&nobody);
            let places = limit.at_once.map(|most| most as usize);
            if places.is_some_and(|most| taken.by.len() >= most) {
                let by = taken.by.clone();
                return Err(Lack::Room { scope, by });
            }
            let Some(most) = limit.mbit else { continue };
            let left = (most - taken.mbit).max(0.0);
            let parts = places.map_or(1, |most| most - taken.by.len());
            let share = left / parts as f64;
            // What was asked for may be more than a part, if nobody else is left short of the least.
            let share = match asked {
                Some(asked) if asked > share => {
                    let others = self.limits.least_mbit * (parts - 1) as f64;
                    share.max((left - others).min(asked))
                }
                _ => share,
            };
            // A limit below the least is the user's own choice.
            if share < least.min(most) {
                let by = taken.by.clone();
                return Err(Lack::Rate {
                    scope,
                    by,
                    left,
                    most,
                });
            }
            given = Some(given.map_or(share, |given| given.min(share)));
        }
        Ok(given)
    }
}
