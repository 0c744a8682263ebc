//! The kernel carries what goes to routers of ours: one VXLAN-GPE device, and an encapsulating route
//! for each mapping. What the map-cache does not know still goes through the TUN, by its shorter
//! route, so misses are seen and packets wait as ever.
//!
//! A departed endpoint is nothing special here: the route leads what arrives for it to its new place,
//! and the kernel takes a hop away. Fenced it has a route that drops, in a table that only what arrives
//! through the device is looked up in: hosts here still reach the endpoint at its new place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use lisp::{Eid, EidAddress};

use super::netlink::Netlink;
use crate::config::{self, Instance, Kernel};
use crate::control::Change;
use crate::data::table::{Presence, Route};
use crate::error::Error;

/// The routes that the kernel has of us. Changes are carried out in order by a thread of their own, so
/// that nobody waits for the kernel.
#[derive(Debug)]
pub(crate) struct KernelRoutes {
    peers: Vec<Eid>,
    work: mpsc::Sender<Work>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Work {
    Encapsulate(Eid, IpAddr),
    Forget(Eid),
    Fence(Eid),
    Unfence(Eid),
}

impl KernelRoutes {
    pub(crate) fn start(
        netlink: Netlink,
        kernel: &Kernel,
        instances: &[Instance],
        mtu: u16,
    ) -> Result<Self, Error> {
        let own = own_addresses(instances);
        let peers: Result<Vec<Eid>, Error> = kernel
            .peers
            .iter()
            .map(|text| config::prefix(0, text))
            .collect();
        let peers = peers?;
        let device = netlink.make_gpe(&kernel.device, mtu)?;
        netlink.add_fence_rules(&kernel.device)?;
        let name = kernel.device.clone();
        let (work, orders) = mpsc::channel();
        let run = move || {
            let mut routes = BTreeSet::new();
            let mut fences = BTreeSet::new();
            for order in orders {
                let done = match order {
                    Work::Encapsulate(eid, to) => {
                        routes.insert(eid);
                        let v4 = matches!(eid.address(), EidAddress::Ipv4(_));
                        netlink.encapsulate(
                            eid,
                            device,
                            to,
                            own.get(&(eid.instance(), v4)).copied(),
                        )
                    }
                    Work::Forget(eid) => {
                        if routes.remove(&eid) {
                            netlink.unroute(eid);
                        }
                        Ok(())
                    }
                    Work::Fence(eid) => {
                        fences.insert(eid);
                        netlink.fence(eid)
                    }
                    Work::Unfence(eid) => {
                        if fences.remove(&eid) {
                            netlink.unfence(eid);
                        }
                        Ok(())
                    }
                };
                if let Err(error) = done {
                    tracing::error!(%error, "the kernel's routes are behind the map-cache");
                }
            }
            routes.into_iter().for_each(|eid| netlink.unroute(eid));
            fences.into_iter().for_each(|eid| netlink.unfence(eid));
            netlink.remove_fence_rules(&name);
            netlink.remove_link(&name);
        };
        let thread = std::thread::Builder::new()
            .name("xtr-kernel".to_owned())
            .spawn(run)
            .map_err(Error::Thread)?;
        Ok(Self {
            peers,
            work,
            thread,
        })
    }

    /// Takes a change of the tables.
    pub(crate) fn change(&mut self, change: &Change) {
        let work = match change {
            Change::Route(eid, Some(Route::To(choice))) => {
                let ours = choice
                    .locators()
                    .map(|to| to.ip())
                    .find(|to| self.is_ours(*to));
                match ours {
                    Some(to) => Work::Encapsulate(*eid, to),
                    None => Work::Forget(*eid),
                }
            }
            Change::Route(eid, _) => Work::Forget(*eid),
            Change::Own(eid, Some(Presence::Fenced)) => Work::Fence(*eid),
            Change::Own(eid, _) => Work::Unfence(*eid),
        };
        drop(self.work.send(work));
    }

    fn is_ours(&self, locator: IpAddr) -> bool {
        let locator = Eid::host(0, locator);
        self.peers.iter().any(|peer| peer.covers(locator))
    }

    /// Takes routes and device back.
    pub(crate) fn stop(self) {
        drop(self.work);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the kernel's routes has panicked");
        }
    }
}

/// The first address of each instance and family that this host has itself.
fn own_addresses(instances: &[Instance]) -> BTreeMap<(u32, bool), IpAddr> {
    let mut own = BTreeMap::new();
    for instance in instances {
        for text in &instance.addresses {
            let address = text.split('/').next().unwrap_or_default();
            if let Ok(address) = address.parse::<IpAddr>() {
                let key = (instance.id, address.is_ipv4());
                own.entry(key).or_insert(address);
            }
        }
    }
    own
}
