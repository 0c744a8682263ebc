//! What each rule of a host is for, in words: the projection read backwards.
//!
//! [`explained`] gives all rules that the directory asks for, each with its purpose. [`Words`] also says
//! what a rule was for that nobody asks for any more, from its cookie alone.

mod purpose;

pub use purpose::destinations;

use crate::carry;
use crate::projection::{
    Cookie, Field, HostView, Key, Kind, Owner, Rule, base, rules_of, rules_of_net,
};
use model::{ClusterName, VmName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// One plain phrase.
    pub purpose: String,
    /// The cluster that it serves.
    pub cluster: Option<ClusterName>,
    /// The member that it serves.
    pub member: Option<VmName>,
}

/// Every rule that the directory asks of a host, with what it is for. One for each identity, as
/// [`crate::projection::rules`] has them.
pub fn explained(view: &HostView) -> Vec<(Rule, About)> {
    let words = Words::of(view);
    let mut all = BTreeMap::new();
    let mut take = |rule: Rule, key: Option<&Key>, net: Option<&ClusterName>| {
        let about = words.about(&rule, key, net);
        all.insert(rule.identity(), (rule, about));
    };
    for rule in base() {
        take(rule, None, None);
    }
    for cluster in view.nets.keys() {
        for rule in rules_of_net(view, cluster) {
            let key = words
                .behind(&rule)
                .filter(|_| rule.cookie.kind() == Some(Kind::Security));
            take(rule, key, Some(cluster));
        }
    }
    for key in view.entries.keys() {
        for rule in rules_of(view, key) {
            take(rule, Some(key), None);
        }
    }
    all.into_values().collect()
}

/// The names that rules have numbers for.
pub struct Words<'a> {
    view: &'a HostView,
    hosts: BTreeMap<IpAddr, String>,
    ports: BTreeMap<u32, &'a Key>,
    owners: BTreeMap<Owner, Vec<Whose<'a>>>,
}

#[derive(Clone, Copy)]
enum Whose<'a> {
    Member(&'a Key),
    Net(&'a ClusterName),
}

impl<'a> Words<'a> {
    /// Those of a host.
    pub fn of(view: &'a HostView) -> Self {
        let mut hosts: BTreeMap<IpAddr, String> = BTreeMap::new();
        let mut owners: BTreeMap<Owner, Vec<Whose<'a>>> = BTreeMap::new();
        for (key, entry) in &view.entries {
            let locator = &entry.locator;
            if !locator.is_outside() {
                hosts.insert(locator.address, locator.host.to_string());
            }
            let owner = owners.entry(Owner::endpoint(key)).or_default();
            owner.push(Whose::Member(key));
        }
        for cluster in view.nets.keys() {
            let owner = owners.entry(Owner::net(cluster)).or_default();
            owner.push(Whose::Net(cluster));
        }
        hosts.insert(view.underlay, view.host.to_string());
        Self {
            view,
            hosts,
            ports: view.ports.iter().map(|(key, port)| (*port, key)).collect(),
            owners,
        }
    }

    /// The host at an underlay address, or the address itself.
    pub fn host(&self, address: IpAddr) -> String {
        match self.hosts.get(&address) {
            Some(host) => host.clone(),
            None => address.to_string(),
        }
    }

    /// The member behind a port.
    pub fn at_port(&self, port: u32) -> Option<&'a Key> {
        self.ports.get(&port).copied()
    }

    /// The member whose port a rule names.
    fn behind(&self, rule: &Rule) -> Option<&'a Key> {
        rule.matching.iter().find_map(|field| match field {
            Field::InPort(port) | Field::For(port) => self.at_port(*port),
            _ => None,
        })
    }

    /// What a rule is for that the directory asks for; `key` or `net` is whose rule it is.
    fn about(&self, rule: &Rule, key: Option<&Key>, net: Option<&ClusterName>) -> About {
        About {
            purpose: self.purpose(rule, key, net),
            cluster: key.map(|key| &key.0).or(net).cloned(),
            member: key.map(|key| key.1.clone()),
        }
    }

    /// What an installed rule is, or was, for that is not one that the directory asks for.
    pub fn stray(&self, cookie: u64) -> About {
        let nobody = |purpose: &str| About {
            purpose: purpose.to_owned(),
            cluster: None,
            member: None,
        };
        if let Some(port) = carry::port_of(cookie) {
            let key = self.at_port(port);
            return About {
                purpose: match key {
                    Some(key) => format!("lets a connection go on that came with {}", member(key)),
                    None => format!("lets a connection go on that came to port {port}"),
                },
                cluster: key.map(|key| key.0.clone()),
                member: key.map(|key| key.1.clone()),
            };
        }
        let cookie = Cookie(cookie);
        let Some(owner) = cookie.owner() else {
            return nobody("not ours: nothing here asked for it");
        };
        let what = cookie.kind().map_or("of a later version", purpose::kind);
        match self.owners.get(&owner).map(Vec::as_slice) {
            Some([Whose::Member(key)]) => About {
                purpose: format!("left over: {what} of {}", member(key)),
                cluster: Some(key.0.clone()),
                member: Some(key.1.clone()),
            },
            Some([Whose::Net(cluster)]) => About {
                purpose: format!("left over: {what} of {cluster}"),
                cluster: Some((*cluster).clone()),
                member: None,
            },
            _ => nobody(&format!("left over: {what}, of nobody known here")),
        }
    }
}

fn member(key: &Key) -> String {
    format!("{} of {}", key.1, key.0)
}
