//! xTRs that have registered with a right key: who they are, and the last nonce of each.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use lisp::subscription::{Freshness, NonceSequence};
use lisp::{MapRegister, XtrId};

use crate::mapping::Registrant;

/// Who registers: by its xTR-ID; without one by the first locator that it registers, which is
/// authenticated, where the address that it sends from is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Its xTR-ID and Site-ID.
    Xtr(u128, u64),
    /// Its address.
    Address(IpAddr),
}

impl Who {
    pub(crate) fn of(register: &MapRegister, from: IpAddr) -> Self {
        if let Some(XtrId { xtr_id, site_id }) = register.xtr {
            return Self::Xtr(xtr_id, site_id);
        }
        let locators = register.records.iter().flat_map(|record| &record.locators);
        let first = locators.filter_map(|locator| locator.address.ip()).next();
        Self::Address(first.unwrap_or(from))
    }
}

/// xTRs by number.
#[derive(Debug, Default)]
pub(crate) struct Xtrs {
    numbers: HashMap<(u64, Who), u32>,
    list: Vec<Xtr>,
    /// Whose nonce is not saved.
    unsaved: HashSet<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Xtr {
    /// The site with whose key it registers.
    pub(crate) site: u64,
    pub(crate) who: Who,
    nonces: NonceSequence,
}

impl Xtrs {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn number(&self, site: u64, who: Who) -> Option<Registrant> {
        self.numbers.get(&(site, who)).copied().map(Registrant)
    }

    pub(crate) fn get(&self, registrant: Registrant) -> Option<&Xtr> {
        self.list.get(registrant.0 as usize)
    }

    /// The xTR's number, a new one if it has none.
    pub(crate) fn enter(&mut self, site: u64, who: Who) -> Registrant {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX - 1);
        let number = *self.numbers.entry((site, who)).or_insert(next);
        if number == next {
            self.list.push(Xtr {
                site,
                who,
                nonces: NonceSequence::new(),
            });
        }
        Registrant(number)
    }

    /// Takes the nonce of what is authenticated.
    pub(crate) fn accept(&mut self, of: Registrant, nonce: u64, save: bool) -> Freshness {
        let Some(xtr) = self.list.get_mut(of.0 as usize) else {
            return Freshness::Old;
        };
        let freshness = xtr.nonces.accept(nonce);
        if save && freshness == Freshness::New {
            self.unsaved.insert(of.0);
        }
        freshness
    }

    /// Takes a nonce that was saved before a restart.
    pub(crate) fn restore(&mut self, site: u64, who: Who, nonce: u64) {
        let Registrant(number) = self.enter(site, who);
        if let Some(xtr) = self.list.get_mut(number as usize) {
            xtr.nonces.accept(nonce);
        }
    }

    /// Nonces that have changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<(u64, Who, u64)> {
        let numbers = std::mem::take(&mut self.unsaved);
        let changed = numbers.into_iter().filter_map(|number| {
            let xtr = self.list.get(number as usize)?;
            Some((xtr.site, xtr.who, xtr.nonces.last()?))
        });
        changed.collect()
    }
}
