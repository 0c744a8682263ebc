//! What a host holds of the directory, and what a change of it means in rules. Pure.
//!
//! Epochs only grow: a row that is not newer than the held one is ignored, and so is a row that is
//! not newer than its own removal. The rules that change are computed from the rows that changed,
//! not from all of them.

use control::projection::{
    Arrivals, Change, HostView, Key, RuleSet, changes, rules, rules_of, rules_of_net,
};
use model::order::Gone;
use model::{ClusterName, Encap, Entry, Epoch, Net, Slice};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an order about the directory changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Networks and rows that are new, changed or gone.
    pub changed: usize,
    /// Rows that were ignored because a newer one is held.
    pub ignored: usize,
    /// Rules that were added, replaced or removed.
    pub rules: usize,
}

/// An order about the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Nothing else is true: networks and rows that are not named are gone.
    pub(crate) whole: bool,
    /// Networks that are new or changed.
    pub(crate) nets: Vec<Net>,
    /// Rows that are new or changed.
    pub(crate) entries: Vec<Entry>,
    /// Rows that are gone.
    pub(crate) removed: Vec<Gone>,
}

impl From<Slice> for Order {
    fn from(slice: Slice) -> Self {
        Self {
            whole: true,
            nets: slice.nets,
            entries: slice.entries,
            removed: Vec::new(),
        }
    }
}

/// What a host holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// The input of the projection.
    pub(crate) view: HostView,
    gone: BTreeMap<Key, Epoch>,
}

/// The rows and networks that a change touches.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    keys: BTreeSet<Key>,
    nets: BTreeSet<ClusterName>,
}

impl Touched {
    /// One endpoint, and its network's copies.
    pub(crate) fn endpoint(key: &Key) -> Self {
        Self {
            keys: [key.clone()].into(),
            nets: [key.0.clone()].into(),
        }
    }

    /// One network with all its endpoints.
    fn net(&mut self, view: &HostView, cluster: &ClusterName) {
        self.nets.insert(cluster.clone());
        let members = view.entries.keys().filter(|key| key.0 == *cluster);
        self.keys.extend(members.cloned());
    }

    /// Every network of an encapsulation.
    fn encap(&mut self, view: &HostView, encap: Encap) {
        for net in view.nets.values().filter(|net| net.encap == encap) {
            self.net(view, &net.cluster);
        }
    }

    fn rules(&self, view: &HostView) -> RuleSet {
        let mut all = RuleSet::new();
        for cluster in &self.nets {
            all.extend(rules_of_net(view, cluster));
        }
        for key in &self.keys {
            all.extend(rules_of(view, key));
        }
        all
    }
}

impl Held {
    pub(crate) fn new(view: HostView) -> Self {
        Self {
            view,
            gone: BTreeMap::new(),
        }
    }

    /// All rules.
    pub(crate) fn rules(&self) -> RuleSet {
        rules(&self.view)
    }

    /// The networks and rows held.
    pub(crate) fn slice(&self) -> Slice {
        Slice {
            nets: self.view.nets.values().cloned().collect(),
            entries: self.view.entries.values().cloned().collect(),
        }
    }

    /// Takes an order and gives the steps that the switch needs for it.
    pub(crate) fn take(&mut self, order: &Order) -> (Applied, Vec<Change>) {
        let mut applied = Applied::default();
        if order.whole {
            let before = self.rules();
            self.take_whole(order, &mut applied);
            let steps = changes(&before, &self.rules());
            applied.rules = steps.len();
            return (applied, steps);
        }
        let touched = self.touched(order);
        let steps = self.around(&touched, |held| held.take_rows(order, &mut applied));
        applied.rules = steps.len();
        (applied, steps)
    }

    /// The steps that any other change of the view needs, when it touches no more than this.
    pub(crate) fn around(
        &mut self,
        touched: &Touched,
        change: impl FnOnce(&mut Self),
    ) -> Vec<Change> {
        let before = touched.rules(&self.view);
        change(self);
        changes(&before, &touched.rules(&self.view))
    }

    /// Overrides, or no longer overrides, what is done with arrivals for an endpoint.
    pub(crate) fn set_arrivals(&mut self, key: &Key, arrivals: Option<Arrivals>) -> Vec<Change> {
        self.around(&Touched::endpoint(key), |held| {
            match arrivals {
                Some(arrivals) => held.view.arrivals.insert(key.clone(), arrivals),
                None => held.view.arrivals.remove(key),
            };
        })
    }

    /// Takes note of an endpoint's port, and of the network that it is linked to.
    pub(crate) fn set_port(
        &mut self,
        key: &Key,
        net: &Net,
        ofport: u32,
        tunnel: u32,
    ) -> Vec<Change> {
        let mut touched = Touched::endpoint(key);
        if self.view.nets.get(&key.0) != Some(net) {
            touched.net(&self.view, &key.0);
        }
        if self.view.tunnels.get(&net.encap) != Some(&tunnel) {
            touched.encap(&self.view, net.encap);
        }
        self.around(&touched, |held| {
            held.view.nets.insert(net.cluster.clone(), net.clone());
            held.view.tunnels.insert(net.encap, tunnel);
            held.view.ports.insert(key.clone(), ofport);
        })
    }

    /// Forgets an endpoint's port, and a network that nothing speaks of any more.
    pub(crate) fn remove_port(&mut self, key: &Key) -> Vec<Change> {
        self.around(&Touched::endpoint(key), |held| {
            let view = &mut held.view;
            view.ports.remove(key);
            view.arrivals.remove(key);
            let mut named = view.ports.keys().chain(view.entries.keys());
            if !named.any(|(cluster, _)| *cluster == key.0) {
                view.nets.remove(&key.0);
            }
        })
    }

    /// Takes note of the port of a network's gateway, or that it is gone.
    pub(crate) fn set_gateway(&mut self, cluster: &ClusterName, port: Option<u32>) -> Vec<Change> {
        let mut touched = Touched::default();
        touched.net(&self.view, cluster);
        self.around(&touched, |held| {
            match port {
                Some(port) => held.view.gateways.insert(cluster.clone(), port),
                None => held.view.gateways.remove(cluster),
            };
        })
    }

    /// Takes note of the VXLAN-GPE port.
    pub(crate) fn set_gpe(&mut self, port: u32) -> Vec<Change> {
        let before = self.rules();
        self.view.gpe = Some(port);
        changes(&before, &self.rules())
    }

    /// Forgets an encapsulation's tunnel port.
    pub(crate) fn remove_tunnel(&mut self, encap: Encap) -> Vec<Change> {
        let mut touched = Touched::default();
        touched.encap(&self.view, encap);
        self.around(&touched, |held| {
            held.view.tunnels.remove(&encap);
        })
    }

    fn touched(&self, order: &Order) -> Touched {
        let mut touched = Touched::default();
        for net in &order.nets {
            if self.view.nets.get(&net.cluster) != Some(net) {
                touched.net(&self.view, &net.cluster);
            }
        }
        let keys = order.entries.iter().map(Entry::key).chain(
            order
                .removed
                .iter()
                .map(|gone| (gone.cluster.clone(), gone.vm.clone())),
        );
        for key in keys {
            touched.nets.insert(key.0.clone());
            touched.keys.insert(key);
        }
        touched
    }

    fn take_whole(&mut self, order: &Order, applied: &mut Applied) {
        self.gone.clear();
        let named: BTreeSet<Key> = order.entries.iter().map(Entry::key).collect();
        let before = (self.view.nets.len(), self.view.entries.len());
        self.view.entries.retain(|key, _| named.contains(key));
        let view = &mut self.view;
        // A network that only a port speaks of was linked a moment ago: its rows are on their way.
        view.nets.retain(|cluster, _| {
            order.nets.iter().any(|net| net.cluster == *cluster)
                || view.ports.keys().any(|(linked, _)| linked == cluster)
        });
        view.arrivals.retain(|key, _| named.contains(key));
        applied.changed += before.0 - self.view.nets.len() + before.1 - self.view.entries.len();
        self.take_rows(order, applied);
    }

    fn take_rows(&mut self, order: &Order, applied: &mut Applied) {
        for net in &order.nets {
            if self
                .view
                .nets
                .insert(net.cluster.clone(), net.clone())
                .as_ref()
                != Some(net)
            {
                applied.changed += 1;
            }
        }
        for entry in &order.entries {
            let key = entry.key();
            let held = self.view.entries.get(&key);
            let old = held.is_some_and(|held| entry.epoch <= held.epoch)
                || self.gone.get(&key).is_some_and(|gone| entry.epoch <= *gone);
            if held == Some(entry) {
                continue;
            }
            if old {
                applied.ignored += 1;
                continue;
            }
            self.gone.remove(&key);
            self.view.entries.insert(key, entry.clone());
            applied.changed += 1;
        }
        for gone in &order.removed {
            let key = (gone.cluster.clone(), gone.vm.clone());
            match self.view.entries.get(&key) {
                Some(held) if held.epoch > gone.epoch => {
                    applied.ignored += 1;
                    continue;
                }
                Some(_) => {
                    self.view.entries.remove(&key);
                    self.view.arrivals.remove(&key);
                    applied.changed += 1;
                }
                None => {}
            }
            let last = self.gone.entry(key).or_default();
            *last = gone.epoch.max(*last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{HostName, Locator, Mac, VmName};

    fn held() -> Held {
        Held::new(HostView::new(
            HostName::new("north").unwrap(),
            "10.0.0.1".parse().unwrap(),
        ))
    }

    fn entry(vm: &str, host: &str, epoch: u64) -> Entry {
        Entry {
            cluster: ClusterName::new("shop").unwrap(),
            vm: VmName::new(vm).unwrap(),
            mac: Mac([2, 0, 0, 0, 0, vm.len() as u8]),
            ips: vec![format!("10.77.0.{}", vm.len()).parse().unwrap()],
            security: Vec::new(),
            locator: Locator {
                host: HostName::new(host).unwrap(),
                address: "10.0.0.9".parse().unwrap(),
            },
            epoch: Epoch(epoch),
            seal: None,
        }
    }

    fn rows(entries: &[Entry]) -> Order {
        Order {
            entries: entries.to_vec(),
            ..Order::default()
        }
    }

    fn net() -> Net {
        Net {
            cluster: ClusterName::new("shop").unwrap(),
            vni: 7,
            encap: Encap::Vxlan,
            mtu: 1450,
        }
    }

    #[test]
    fn an_older_row_is_ignored_and_the_same_row_again_changes_nothing() {
        let mut held = held();
        assert_eq!(held.take(&rows(&[entry("a", "south", 5)])).0.changed, 1);
        let (applied, steps) = held.take(&rows(&[entry("a", "south", 5)]));
        assert_eq!((applied.changed, applied.ignored, steps.len()), (0, 0, 0));
        assert_eq!(held.take(&rows(&[entry("a", "north", 4)])).0.ignored, 1);
        assert_eq!(held.take(&rows(&[entry("a", "north", 5)])).0.ignored, 1);
        assert_eq!(
            held.view.entries[&entry("a", "x", 0).key()]
                .locator
                .host
                .as_str(),
            "south"
        );
    }

    #[test]
    fn a_row_that_was_removed_stays_away_until_a_newer_one_comes() {
        let mut held = held();
        let key = entry("a", "south", 0).key();
        held.take(&rows(&[entry("a", "south", 5)]));
        let gone = Gone {
            cluster: key.0.clone(),
            vm: key.1.clone(),
            epoch: Epoch(6),
        };
        held.take(&Order {
            removed: vec![gone],
            ..Order::default()
        });
        assert_eq!(held.take(&rows(&[entry("a", "north", 6)])).0.ignored, 1);
        assert!(held.view.entries.is_empty());
        assert_eq!(held.take(&rows(&[entry("a", "north", 7)])).0.changed, 1);
    }

    #[test]
    fn the_removal_of_an_older_row_leaves_a_newer_one_alone() {
        let mut held = held();
        let key = entry("a", "south", 0).key();
        held.take(&rows(&[entry("a", "south", 5)]));
        let gone = Gone {
            cluster: key.0,
            vm: key.1,
            epoch: Epoch(4),
        };
        assert_eq!(
            held.take(&Order {
                removed: vec![gone],
                ..Order::default()
            })
            .0
            .ignored,
            1
        );
        assert_eq!(held.view.entries.len(), 1);
    }

    #[test]
    fn the_whole_truth_drops_what_it_does_not_name_but_not_what_is_newer() {
        let mut held = held();
        held.take(&rows(&[entry("a", "south", 5), entry("bb", "south", 1)]));
        let slice = Slice {
            nets: vec![net()],
            entries: vec![entry("a", "north", 3)],
        };
        let (applied, _) = held.take(&slice.into());
        assert_eq!(applied.ignored, 1);
        assert_eq!(held.view.entries.len(), 1);
        assert_eq!(held.view.entries[&entry("a", "x", 0).key()].epoch, Epoch(5));
    }

    #[test]
    fn steps_of_a_change_lead_to_the_same_rules_as_computing_all_of_them() {
        let mut held = held();
        held.view.tunnels.insert(Encap::Vxlan, 1);
        let mut installed = RuleSet::new();
        let mut play = |held: &Held, steps: Vec<Change>| {
            let mut rules: BTreeMap<_, _> = installed
                .iter()
                .map(|rule| (rule.identity(), rule.clone()))
                .collect();
            for step in steps {
                match step {
                    Change::Add(rule) => drop(rules.insert(rule.identity(), rule)),
                    Change::Remove(rule) => drop(rules.remove(&rule.identity())),
                    Change::RemoveLeftover { .. } => unreachable!("only after a restart"),
                }
            }
            installed = rules.into_values().collect();
            let directly: RuleSet = held
                .rules()
                .into_iter()
                .filter(|rule| !control::projection::base().iter().any(|base| base == rule))
                .collect();
            assert_eq!(installed, directly);
        };
        let key = entry("a", "north", 0).key();
        let (_, steps) = held.take(&Order {
            nets: vec![net()],
            entries: vec![entry("a", "north", 1), entry("bb", "south", 1)],
            ..Order::default()
        });
        play(&held, steps);
        let steps = held.set_port(&key, &net(), 10, 1);
        play(&held, steps);
        let (_, steps) = held.take(&rows(&[entry("a", "south", 2)]));
        play(&held, steps);
        let steps = held.set_arrivals(
            &key,
            Some(Arrivals::Redirect {
                to: "10.0.0.9".parse().unwrap(),
            }),
        );
        play(&held, steps);
        let (_, steps) = held.take(&rows(&[entry("a", "north", 3)]));
        play(&held, steps);
        let texts = ["ingress tcp 80 from any", "ingress udp from members"];
        let secured = Entry {
            security: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..entry("a", "north", 4)
        };
        let (_, steps) = held.take(&rows(&[secured]));
        play(&held, steps);
        let (_, steps) = held.take(&rows(&[entry("ccc", "south", 5)]));
        assert!(!steps.is_empty(), "one more member is one more who may");
        play(&held, steps);
        let steps = held.set_arrivals(&key, Some(Arrivals::Gate { ofport: 99 }));
        play(&held, steps);
        let steps = held.remove_port(&key);
        play(&held, steps);
        let gone = Gone {
            cluster: key.0,
            vm: key.1,
            epoch: Epoch(9),
        };
        let (_, steps) = held.take(&Order {
            removed: vec![gone],
            ..Order::default()
        });
        play(&held, steps);
    }
}
