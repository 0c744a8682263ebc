//! Our router at a place.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use xtr::{Config, Handle, Router};

use crate::driver::world::World;
use crate::our_server::SECRET;

/// How long something is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A locator of a place.
pub(crate) fn at(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// What our router is to be.
pub(crate) struct Plan<'a> {
    /// Its locator.
    pub(crate) rloc: IpAddr,
    /// Its Map-Server and Map-Resolver.
    pub(crate) server: IpAddr,
    /// Whether those are of 2013.
    pub(crate) legacy: bool,
    /// Whether the Map-Server is to answer for it.
    pub(crate) proxy: bool,
    /// The instance.
    pub(crate) iid: u32,
    /// Addresses on its device, with the length of the prefix that is registered.
    pub(crate) eids: &'a [&'a str],
    /// Seconds between probes.
    pub(crate) probe: u64,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            rloc: at(20),
            server: at(1),
            legacy: true,
            proxy: false,
            iid: 0,
            eids: &[],
            probe: 0,
        }
    }
}

impl Plan<'_> {
    /// Starts it at a place of its own, and waits until it is registered.
    pub(crate) fn start(&self, world: &mut World, place: &str) -> Handle {
        world.place(place, self.rloc);
        let Self {
            rloc,
            server,
            legacy,
            proxy,
            iid,
            probe,
            ..
        } = self;
        let quoted = self.eids.iter().map(|eid| format!("{eid:?}"));
        let addresses = quoted.collect::<Vec<_>>().join(", ");
        let algorithm = if *legacy {
            "hmac-sha-1-96"
        } else {
            "hmac-sha-256-128"
        };
        let last = rloc.to_string().bytes().map(u32::from).sum::<u32>();
        let mut text = format!(
            r#"
probe_interval = {probe}
workers = 1
xtr_id = "{last:x}"
site_id = 9
rlocs = [{{ address = "{rloc}" }}]

[[instances]]
id = {iid}
tun = "lisp0"
mtu = 1400
addresses = [{addresses}]
routes = ["10.0.0.0/8", "fd10::/16"]

[[map_servers]]
address = "{server}"
key = "{SECRET}"
algorithm = "{algorithm}"
proxy_reply = {proxy}
rfc6830 = {legacy}

[[map_resolvers]]
address = "{server}"
rfc6830 = {legacy}
"#
        );
        for eid in self.eids {
            let eid = prefix(eid);
            text += &format!("\n[[eids]]\nprefix = \"{eid}\"\ninstance = {iid}\n");
        }
        let config = Config::from_toml(&text).expect("a configuration");
        let handle = world.inside(place, || Router::start(config).expect("it starts"));
        until("our router is registered", || {
            let eids = handle.status().eids;
            eids.iter().all(|eid| eid.registered.contains(server))
        });
        handle
    }
}

fn prefix(text: &str) -> String {
    let (address, length) = text.split_once('/').expect("ADDRESS/LENGTH");
    let address: IpAddr = address.parse().expect("an address");
    lisp::Eid::new(0, address, length.parse().expect("a length")).to_string()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until our router sends packets for a prefix to this locator only.
pub(crate) fn until_used(handle: &Handle, eid: &str, rloc: IpAddr) {
    until(&format!("{eid} is at {rloc}"), || {
        let mappings = handle.status().mappings;
        let mut those = mappings.iter().filter(|known| known.eid == eid);
        those.any(|known| known.used == [rloc])
    });
}
