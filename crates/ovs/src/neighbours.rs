//! Tunnel neighbours: the Ethernet addresses that ovs-vswitchd puts in front of tunnel packets.
//!
//! A tunnel whose neighbour ovs-vswitchd does not know drops its packets, and keeps dropping them:
//! it asks once, while it translates a flow, and a reply that fits a flow it has cached already is
//! not looked at. So nothing is left to it. The kernel finds the neighbours of `icbr0` and keeps
//! confirming them; here they are read from it and set with `tnl/neigh/set` before a rule needs
//! them, and again long before they expire. `tnl/neigh/flush` is never used: it cuts what flows.

use crate::config::HostConfig;
use crate::error::{Error, Result};
use crate::names::{SECURE, UNDERLAY};
use crate::netlink::Netlink;
use crate::unixctl::Unixctl;
use model::Mac;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest life that ovs-vswitchd gives a neighbour, seconds (ovs-vswitchd(8), `tnl/neigh/aging`).
const AGING: &str = "3600";

/// How often neighbours are confirmed and set again; far below [`AGING`].
const EVERY: Duration = Duration::from_secs(20);

/// How often a neighbour that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a new neighbour is waited for before a rule that needs it.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How long neighbours are waited for when a switch starts.
const AT_START: Duration = Duration::from_millis(200);

/// The tunnel neighbours of one host.
#[derive(Debug)]
pub struct Neighbours {
    netlink: Netlink,
    control: Arc<Unixctl>,
    /// What ovs-vswitchd was told.
    told: Mutex<BTreeMap<IpAddr, Mac>>,
    /// Those inside the secure underlay: nobody is asked for them.
    fixed: Mutex<BTreeMap<IpAddr, Mac>>,
    /// What is wanted, answered or not.
    wanted: Mutex<BTreeSet<IpAddr>>,
    config: Arc<HostConfig>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Neighbours {
    pub(crate) fn new(netlink: Netlink, control: Arc<Unixctl>, config: Arc<HostConfig>) -> Self {
        Self {
            netlink,
            control,
            told: Mutex::default(),
            fixed: Mutex::default(),
            wanted: Mutex::default(),
            config,
        }
    }

    /// After ovs-vswitchd started: nothing that it was told is left. Sets the gateways, and what
    /// was wanted before. Waits a moment, so that the first packet finds them; who stays silent is
    /// asked on in the background.
    pub(crate) async fn begin(&self) -> Result<()> {
        self.control.run("tnl/neigh/aging", &[AGING]).await?;
        locked(&self.told).clear();
        let mut hops = locked(&self.wanted).clone();
        for gateway in &self.config.gateway {
            match gateway.mac {
                Some(mac) => self.tell(gateway.address, mac).await?,
                None => drop(hops.insert(gateway.address)),
            }
        }
        self.tell_fixed().await?;
        match self.find(hops, AT_START).await {
            Err(error @ Error::Neighbour { .. }) => {
                tracing::warn!(%error, "asking on");
                Ok(())
            }
            other => other,
        }
    }

    /// Takes these as the neighbours inside the secure underlay; gives those that are none any more.
    pub(crate) fn fix(&self, peers: BTreeMap<IpAddr, Mac>) -> Vec<IpAddr> {
        let mut fixed = locked(&self.fixed);
        let mut told = locked(&self.told);
        let gone: Vec<IpAddr> = fixed
            .keys()
            .filter(|address| !peers.contains_key(address))
            .copied()
            .collect();
        for address in &gone {
            told.remove(address);
        }
        *fixed = peers;
        gone
    }

    /// Tells ovs-vswitchd those inside the secure underlay.
    pub(crate) async fn tell_fixed(&self) -> Result<()> {
        let fixed = locked(&self.fixed).clone();
        for (address, mac) in fixed {
            if self.told().get(&address) != Some(&mac) {
                self.tell(address, mac).await?;
            }
        }
        Ok(())
    }

    /// What ovs-vswitchd was told, by address.
    pub fn told(&self) -> BTreeMap<IpAddr, Mac> {
        locked(&self.told).clone()
    }

    /// As [`Neighbours::resolve`], for neighbours that were never asked for; one that has been
    /// silent before is not waited for again.
    pub(crate) async fn resolve_new(
        &self,
        locators: impl IntoIterator<Item = IpAddr>,
    ) -> Result<()> {
        let new: Vec<IpAddr> = {
            let wanted = locked(&self.wanted);
            let asked = |hop: &IpAddr| wanted.contains(hop);
            let unknown = |locator: &IpAddr| {
                self.config
                    .next_hop(*locator)
                    .is_some_and(|hop| !asked(&hop))
            };
            locators.into_iter().filter(unknown).collect()
        };
        self.resolve(new).await
    }

    /// Makes sure that ovs-vswitchd knows the neighbours towards these locators; waits for those
    /// that are new, all at once. One that stays silent is an error, and is asked again in the
    /// background.
    pub async fn resolve(&self, locators: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        let hops = locators
            .into_iter()
            .filter_map(|locator| self.config.next_hop(locator))
            .filter(|hop| !locked(&self.told).contains_key(hop))
            .collect();
        self.find(hops, PATIENCE).await
    }

    async fn find(&self, hops: BTreeSet<IpAddr>, patience: Duration) -> Result<()> {
        if hops.is_empty() {
            return Ok(());
        }
        locked(&self.wanted).extend(hops.iter().copied());
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            self.confirm().await?;
            let silent = {
                let told = locked(&self.told);
                hops.iter().copied().find(|hop| !told.contains_key(hop))
            };
            match silent {
                None => return Ok(()),
                Some(address) if begun.elapsed() > patience => {
                    return Err(Error::Neighbour {
                        address,
                        waited_ms: patience.as_millis() as u64,
                    });
                }
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Asks for every wanted neighbour and tells ovs-vswitchd what the kernel knows and it does not.
    async fn confirm(&self) -> Result<()> {
        let wanted = locked(&self.wanted).clone();
        if wanted.is_empty() {
            return Ok(());
        }
        let index = self.netlink.need_link(UNDERLAY).await?.index;
        for address in wanted.iter().filter(|hop| !self.config.is_inside(**hop)) {
            // One that cannot be asked (IPv6 is off, say) must not keep the others from being asked.
            if let Err(error) = self.netlink.ask_neighbour(index, *address).await {
                tracing::warn!(%error, "a tunnel neighbour");
            }
        }
        for v6 in [false, true] {
            if !wanted.iter().any(|address| address.is_ipv6() == v6) {
                continue;
            }
            for (address, mac) in self.netlink.neighbours(index, v6).await? {
                let known = locked(&self.told).get(&address).copied();
                if wanted.contains(&address) && known != Some(mac) {
                    self.tell(address, mac).await?;
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, address: IpAddr, mac: Mac) -> Result<()> {
        self.control
            .run(
                "tnl/neigh/set",
                &[
                    self.bridge_to(address),
                    &address.to_string(),
                    &mac.to_string(),
                ],
            )
            .await?;
        locked(&self.told).insert(address, mac);
        Ok(())
    }

    /// The bridge through which tunnels to a neighbour leave.
    fn bridge_to(&self, address: IpAddr) -> &'static str {
        match self.config.is_inside(address) {
            true => SECURE,
            false => UNDERLAY,
        }
    }

    /// Sets everything again, so that nothing expires.
    async fn renew(&self) -> Result<()> {
        let told = self.told();
        for (address, mac) in told {
            self.tell(address, mac).await?;
        }
        Ok(())
    }

    /// Keeps neighbours confirmed and unexpired for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(AGAIN).await;
            let silent = {
                let told = locked(&self.told);
                locked(&self.wanted)
                    .iter()
                    .any(|address| !told.contains_key(address))
            };
            let due = last.elapsed() >= EVERY;
            if !silent && !due {
                continue;
            }
            let mut done = self.confirm().await;
            if due {
                last = Instant::now();
                if done.is_ok() {
                    done = self.renew().await;
                }
            }
            if let Err(error) = done {
                tracing::debug!(%error, "tunnel neighbours; trying again");
            }
        }
    }
}
