//! What a host knows: the input of the projection.

use model::{ClusterName, Encap, Entry, HostName, Net, VmName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Names one endpoint: its cluster and its name there.
pub type Key = (ClusterName, VmName);

/// What is done with packets that come out of a tunnel for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Handed to the endpoint's port. The default where the endpoint is and has its port.
    Deliver,
    /// Dropped. The default everywhere else.
    Drop,
    /// Sent on to another host through the same kind of tunnel: the source's net below a
    /// switchover, for packets that peers sent before their own rule changed. A packet that comes
    /// from that very host is dropped instead, so that two hosts never play ball. The default where
    /// the endpoint still has a port but is elsewhere.
    Redirect {
        /// The other host's underlay address.
        to: IpAddr,
    },
    /// Handed to a queue port of the agent's, while a switchover is being taken back. Packets of
    /// local senders go there as well, so that the queue sees everything in order.
    Gate {
        /// The queue's port.
        ofport: u32,
    },
}

/// Everything that decides over a host's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView {
    /// The host itself.
    pub host: HostName,
    /// The underlay address of its tunnels.
    pub underlay: IpAddr,
    /// The networks that it takes part in. An endpoint without its network has no rules.
    pub nets: BTreeMap<ClusterName, Net>,
    /// All endpoints of these networks, wherever they are.
    pub entries: BTreeMap<Key, Entry>,
    /// Ports of endpoints on this host: VM taps and vints. A port whose endpoint is elsewhere is
    /// fenced: nothing that it sends passes. One with an entry in `arrivals` is on its way and not
    /// fenced; removing that entry is what fences the source after the commit.
    pub ports: BTreeMap<Key, u32>,
    /// Ports of LISP gateways, one a network: to endpoints that are on no host of ours.
    pub gateways: BTreeMap<ClusterName, u32>,
    /// The flow-based VXLAN-GPE port, to endpoints outside that are reached with that. A port of layer 3
    /// whose packets get and lose an Ethernet header there (`packet_type=legacy_l3`).
    pub gpe: Option<u32>,
    /// The flow-based tunnel port of each encapsulation in use.
    pub tunnels: BTreeMap<Encap, u32>,
    /// Where the default of [`Arrivals`] is overridden.
    pub arrivals: BTreeMap<Key, Arrivals>,
}

impl HostView {
    /// A host that knows nothing yet.
    pub fn new(host: HostName, underlay: IpAddr) -> Self {
        Self {
            host,
            underlay,
            nets: BTreeMap::new(),
            entries: BTreeMap::new(),
            ports: BTreeMap::new(),
            gateways: BTreeMap::new(),
            gpe: None,
            tunnels: BTreeMap::new(),
            arrivals: BTreeMap::new(),
        }
    }

    /// True when the directory says that the endpoint is on this host, or this host's gateway leads to it.
    pub(crate) fn is_here(&self, entry: &Entry) -> bool {
        match entry.locator.is_outside() {
            true => !entry.locator.is_gpe() && self.gateways.contains_key(&entry.cluster),
            false => entry.locator.host == self.host,
        }
    }

    /// The port that leads to an endpoint from here, when there is one.
    pub(crate) fn port_of(&self, key: &Key, entry: &Entry) -> Option<u32> {
        match entry.locator.is_outside() {
            true if entry.locator.is_gpe() => None,
            true => self.gateways.get(&entry.cluster).copied(),
            false => self.ports.get(key).copied(),
        }
    }

    /// True when an endpoint's port here may send nothing: the directory has it elsewhere. One whose
    /// arrivals are overridden is on its way: its peers flip before it stops, and until then it
    /// answers from here.
    pub(crate) fn is_fenced(&self, key: &Key, entry: &Entry) -> bool {
        !self.is_here(entry) && !self.arrivals.contains_key(key)
    }

    /// The endpoints of one network, without touching those of the others.
    pub(crate) fn members(&self, cluster: &ClusterName) -> impl Iterator<Item = (&Key, &Entry)> {
        // No name sorts before "0", the first letter that a name may begin with.
        let first = VmName::new("0").ok().map(|vm| (cluster.clone(), vm));
        first
            .into_iter()
            .flat_map(|first| self.entries.range(first..))
            .take_while(move |((other, _), _)| other == cluster)
    }

    /// What is done with packets that come out of a tunnel for this endpoint.
    pub(crate) fn arrivals_of(&self, key: &Key, entry: &Entry) -> Arrivals {
        match self.arrivals.get(key) {
            // A redirect to ourselves, left over from the way here, means nothing.
            Some(Arrivals::Redirect { to }) if *to == self.underlay => self.default_of(key, entry),
            Some(chosen) => *chosen,
            None => self.default_of(key, entry),
        }
    }

    fn default_of(&self, key: &Key, entry: &Entry) -> Arrivals {
        if self.is_here(entry) {
            Arrivals::Deliver
        } else if self.ports.contains_key(key) && entry.locator.address != self.underlay {
            Arrivals::Redirect {
                to: entry.locator.address,
            }
        } else {
            Arrivals::Drop
        }
    }
}
