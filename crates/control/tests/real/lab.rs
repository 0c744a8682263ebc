//! Hosts on one hub, one directory, and endpoints where it says they are.

use super::endpoint::{Endpoint, ipv4, ipv6, mac};
use super::host::{Host, Hub, locator};
use control::{Arrivals, Directory, Key};
use model::{ClusterName, Encap, Mac, Member, MemberKind, Net, VmName};
use std::collections::{BTreeMap, BTreeSet};

pub struct Lab {
    pub endpoints: BTreeMap<(u8, u8), Endpoint>,
    pub hosts: BTreeMap<u8, Host>,
    pub directory: Directory,
    _hub: Hub,
    _folder: tempfile::TempDir,
}

pub fn key(cluster: u8, vm: u8) -> Key {
    (
        ClusterName::new(format!("c{cluster}")).expect("a name"),
        VmName::new(format!("m{vm}")).expect("a name"),
    )
}

pub fn ofport(cluster: u8, vm: u8) -> u32 {
    10 + u32::from(cluster) * 20 + u32::from(vm)
}

impl Lab {
    /// Hosts from 1 on; for each cluster, from 1 on, the hosts of its members, from 1 on.
    pub async fn new(hosts: u8, clusters: &[&[u8]]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ctl-")
            .tempdir()
            .expect("a folder");
        let hub = Hub::new();
        let mut lab = Self {
            endpoints: BTreeMap::new(),
            hosts: BTreeMap::new(),
            directory: Directory::new(),
            _hub: hub,
            _folder: folder,
        };
        for number in 1..=hosts {
            let host = Host::start(&lab._hub, lab._folder.path(), number).await;
            lab.hosts.insert(number, host);
        }
        for (a, b) in (1..=hosts)
            .flat_map(|a| (1..=hosts).map(move |b| (a, b)))
            .filter(|(a, b)| a != b)
        {
            lab.hosts[&a].warm(b);
        }
        for (number, members) in (1u8..).zip(clusters) {
            let net = Net {
                cluster: key(number, 1).0,
                vni: 7000 + u32::from(number),
                encap: Encap::Vxlan,
                mtu: 1400,
            };
            lab.directory.declare(net).expect("a good network");
            for (vm, host) in (1u8..).zip(*members) {
                lab.directory
                    .link(&key(number, vm).0, &member(vm), locator(*host))
                    .expect("a good member");
                lab.plug(number, vm, *host);
            }
        }
        lab.sync().await;
        lab
    }

    /// Plugs an endpoint in at a host, whatever the directory says.
    pub fn plug(&mut self, cluster: u8, vm: u8, host: u8) {
        let endpoint = self.plug_beside(cluster, vm, host);
        self.endpoints.insert((cluster, vm), endpoint);
    }

    /// The same for the other side of a migration.
    pub fn plug_beside(&mut self, cluster: u8, vm: u8, host: u8) -> Endpoint {
        let ofport = ofport(cluster, vm);
        let at = self.hosts.get_mut(&host).expect("the host is there");
        at.view.ports.insert(key(cluster, vm), ofport);
        Endpoint::plug(at, vm, ofport)
    }

    pub fn at(&self, cluster: u8, vm: u8) -> &Endpoint {
        &self.endpoints[&(cluster, vm)]
    }

    /// Tells every host what the directory says, and installs it.
    pub async fn sync(&mut self) {
        for number in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.tell(number).await;
        }
    }

    /// Tells one host, and waits until it goes by it.
    pub async fn tell(&mut self, number: u8) {
        self.learn(number).sync().await;
    }

    /// Tells one host as fast as it goes.
    pub async fn tell_fast(&mut self, number: u8) {
        self.learn(number).install().await;
    }

    fn learn(&mut self, number: u8) -> &mut Host {
        let host = self.hosts.get_mut(&number).expect("the host is there");
        let clusters: BTreeSet<_> = host
            .view
            .ports
            .keys()
            .map(|(cluster, _)| cluster.clone())
            .collect();
        let slice = self.directory.slice_of(&clusters);
        host.view.nets = slice
            .nets
            .into_iter()
            .map(|net| (net.cluster.clone(), net))
            .collect();
        host.view.entries = slice
            .entries
            .into_iter()
            .map(|entry| (entry.key(), entry))
            .collect();
        host
    }

    pub async fn arrivals(&mut self, number: u8, key: &Key, arrivals: Option<Arrivals>) {
        let host = self.hosts.get_mut(&number).expect("the host is there");
        match arrivals {
            Some(arrivals) => drop(host.view.arrivals.insert(key.clone(), arrivals)),
            None => drop(host.view.arrivals.remove(key)),
        }
        host.sync().await;
    }
}

fn member(vm: u8) -> Member {
    let addresses = [format!("{}/24", ipv4(vm)), format!("{}/64", ipv6(vm))];
    Member {
        name: key(1, vm).1,
        host: locator(1).host,
        mac: Mac(mac(vm)),
        addresses: addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect(),
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}
