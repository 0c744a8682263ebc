//! The pipeline, one table a file. Each file says what its table does and owns its priorities.

mod answer;
mod classify;
mod guard;
mod origin;

pub(super) mod arrivals;
pub(super) mod outside;
pub(super) mod security;

pub(super) use answer::{base as answer_base, endpoint as answer};
pub(super) use classify::{endpoint as classify, gateway as classify_gateway, net as classify_net};
pub(super) use guard::endpoint as guard;
pub(super) use origin::{endpoint as origin, net as replicate};

use super::cookie::{Kind, Owner};
use super::rule::{Field, Rule};
use super::view::{HostView, Key};
use model::{Entry, Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One endpoint with all that its rules depend on.
#[derive(Clone, Copy)]
pub(super) struct Endpoint<'a> {
    pub(super) view: &'a HostView,
    pub(super) key: &'a Key,
    pub(super) entry: &'a Entry,
    pub(super) net: &'a Net,
    pub(super) port: Option<u32>,
}

impl<'a> Endpoint<'a> {
    /// None when the directory's row or its network is not known here.
    pub(super) fn of(view: &'a HostView, key: &'a Key) -> Option<Self> {
        let entry = view.entries.get(key)?;
        let net = view.nets.get(&key.0)?;
        let port = view.port_of(key, entry);
        Some(Self {
            view,
            key,
            entry,
            net,
            port,
        })
    }

    /// Its port here, when security rules stand before it.
    fn secured(&self) -> Option<u32> {
        self.port.filter(|_| !self.entry.security.is_empty())
    }

    fn label(&self, kind: Kind) -> (Kind, Owner) {
        (kind, Owner::endpoint(self.key))
    }

    fn ipv4(&self) -> impl Iterator<Item = Ipv4Addr> + 'a {
        self.entry.ips.iter().filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        })
    }

    /// The listed addresses and the link-local one that follows from the MAC.
    fn ipv6(&self) -> Vec<Ipv6Addr> {
        let v6 = |ip| match ip {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        };
        self.entry.addresses().into_iter().filter_map(v6).collect()
    }
}

/// The end of a table: what no rule speaks of is dropped, and counted.
pub(super) fn end_of(table: u8) -> Rule {
    Rule::new(
        (Kind::Base, Owner::HOST),
        (table, 0),
        [] as [Field; 0],
        [],
        None,
    )
}
