//! Gateways: a network's port to a tunnel router, which reaches endpoints that are on no host of ours.
//!
//! A gateway is a tap that only the agent's router reads and writes, whole Ethernet frames without
//! offloads. For the switch all endpoints outside sit behind it: what is sent to one of them goes there,
//! and what comes from there has to carry the Ethernet and IP address of one of them, as with
//! any other port ([`control::projection`]). It is gone with the agent that opened it.

use crate::error::{Error, Result};
use crate::host::{Host, Inner};
use crate::names::{self, INTEGRATION};
use crate::ports::{GPE_NUMBER, free_number, gpe_plan};
use model::ClusterName;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An open gateway. Dropping the value does not close it; see [`Host::close_gateway`].
#[derive(Debug, Clone)]
pub struct LispGateway {
    ifname: String,
    tap: Arc<AsyncFd<OwnedFd>>,
}

impl LispGateway {
    /// Its interface.
    pub fn ifname(&self) -> &str {
        &self.ifname
    }

    /// The next frame for an endpoint outside, into the buffer; gives its length. Waits for it. What is
    /// longer than the buffer is cut off.
    pub async fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let taken = self.tap.async_io(Interest::READABLE, |tap| {
            nix::unistd::read(tap, buffer).map_err(std::io::Error::from)
        });
        taken.await.map_err(|source| self.failed("read it", source))
    }

    /// Hands a frame from an endpoint outside to the switch.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        match nix::unistd::write(self.tap.get_ref(), frame) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("write a frame to it", error.into())),
        }
    }

    fn failed(&self, what: &'static str, source: std::io::Error) -> Error {
        Error::Tap {
            ifname: self.ifname.clone(),
            what,
            source,
        }
    }
}

/// What is remembered of an open gateway.
#[derive(Debug)]
pub(crate) struct OpenLispGateway {
    gateway: LispGateway,
    ofport: u32,
}

impl OpenLispGateway {
    pub(crate) fn ofport(&self) -> u32 {
        self.ofport
    }
}

impl Host {
    /// Makes the port to routers outside that speak VXLAN-GPE; one that is there stays, also when the agent
    /// ends.
    pub async fn open_gpe(&self) -> Result<()> {
        let inner = &self.inner;
        let ports = inner.ports.lock().await;
        if inner.state.lock().await.held.view.gpe.is_some() {
            return Ok(());
        }
        let ops = inner.database.add_ports(INTEGRATION, &[gpe_plan()]);
        inner.database.commit("add the VXLAN-GPE port", ops).await?;
        let numbers = inner.database.ofports(&[names::GPE]).await?;
        let port = numbers.first().copied().unwrap_or(GPE_NUMBER);
        let mut state = inner.state.lock().await;
        state.generation += 1;
        let steps = state.held.set_gpe(port);
        let sent = inner.send("lead through VXLAN-GPE", &steps).await;
        drop(ports);
        sent
    }

    /// Makes a network's gateway; one that is open stays.
    pub async fn open_gateway(&self, cluster: &ClusterName) -> Result<LispGateway> {
        let inner = &self.inner;
        let mut ports = inner.ports.lock().await;
        if let Some(open) = ports.gateways.get(cluster) {
            return Ok(open.gateway.clone());
        }
        let ifname = names::gateway(cluster);
        let number = free_number(&ports.numbers())?;
        let (tap, ofport) = match inner.make_gate(&ifname, number).await {
            Ok(made) => made,
            Err(error) => {
                inner.remove_gate(&ifname).await?;
                return Err(error);
            }
        };
        // SAFETY: the descriptor is owned by the AsyncFd and so stays open as long as it is watched.
        let watched = unsafe { AsyncFd::register_with_interest(tap, Interest::READABLE) };
        let tap = match watched {
            Ok(tap) => Arc::new(tap),
            Err(error) => {
                inner.remove_gate(&ifname).await?;
                return Err(Error::Tap {
                    ifname,
                    what: "watch it",
                    source: error.into(),
                });
            }
        };
        let gateway = LispGateway { ifname, tap };
        let open = OpenLispGateway {
            gateway: gateway.clone(),
            ofport,
        };
        ports.gateways.insert(cluster.clone(), open);
        drop(ports);
        inner.lead(cluster, Some(ofport)).await?;
        Ok(gateway)
    }

    /// Removes a network's gateway: endpoints outside are not reached from here any more. Content when
    /// there is none.
    pub async fn close_gateway(&self, cluster: &ClusterName) -> Result<()> {
        let open = self.inner.ports.lock().await.gateways.remove(cluster);
        let Some(open) = open else {
            return Ok(());
        };
        let led = self.inner.lead(cluster, None).await;
        self.inner.remove_gate(&open.gateway.ifname).await?;
        led
    }
}

impl Inner {
    /// Has the rules lead to a gateway, or no longer.
    async fn lead(&self, cluster: &ClusterName, port: Option<u32>) -> Result<()> {
        let mut state = self.state.lock().await;
        state.generation += 1;
        let steps = state.held.set_gateway(cluster, port);
        self.send("lead to a gateway", &steps).await
    }
}
