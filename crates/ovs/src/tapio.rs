//! Frames on a port's interface, for those who have an interface name and no packet socket.

use crate::error::{Error, Result};
use crate::frames::{Capture, inject};
use crate::host::Host;
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::probe;
use crate::tap;
use control::projection::Key;
use model::Mac;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What a port has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortStats {
    /// Frames from the member.
    pub from_member: u64,
    /// Frames to the member.
    pub to_member: u64,
    /// Frames to the member that its full queue could not take: exactly what it has lost.
    pub dropped: u64,
}

/// Watches, fills and asks ports in one network namespace.
#[derive(Clone, Debug)]
pub struct TapIo {
    netns: Netns,
    netlink: Netlink,
}

impl TapIo {
    pub(crate) fn new(netns: Netns, netlink: Netlink) -> Self {
        Self { netns, netlink }
    }

    /// Keeps every frame that the switch gives to the guest from now on.
    pub async fn capture(&self, ifname: &str, mac: Mac) -> Result<Capture> {
        Capture::start(&self.netns, &self.netlink, ifname, mac, None).await
    }

    /// The same, of which only the latest frames are kept: so many bytes of them.
    pub async fn capture_latest(&self, ifname: &str, mac: Mac, most: usize) -> Result<Capture> {
        Capture::start(&self.netns, &self.netlink, ifname, mac, Some(most)).await
    }

    /// Puts frames at the end of the guest's queue, in order.
    pub async fn inject<F: AsRef<[u8]>>(&self, ifname: &str, frames: &[F]) -> Result<()> {
        inject(&self.netns, &self.netlink, ifname, frames).await
    }

    /// Whether the guest answers for one of its addresses, IPv4 or IPv6, on its port.
    pub async fn answers(
        &self,
        ifname: &str,
        mac: Mac,
        ip: IpAddr,
        patience: Duration,
    ) -> Result<bool> {
        probe::answers(&self.netns, &self.netlink, ifname, mac, ip, patience).await
    }

    /// Opens a VM's tap. It has one queue and one opener: hand QEMU a duplicate of the descriptor.
    pub async fn open_tap(&self, ifname: &str) -> Result<OwnedFd> {
        tap::open_tap(&self.netns, ifname).await
    }

    /// What an interface has counted, as a port.
    pub async fn stats(&self, ifname: &str) -> Result<PortStats> {
        let link = self.netlink.need_link(ifname).await?;
        Ok(PortStats {
            from_member: link.rx_packets,
            to_member: link.tx_packets,
            dropped: link.tx_dropped,
        })
    }
}

impl Host {
    /// What a member's port has counted.
    pub async fn port_stats(&self, key: &Key) -> Result<PortStats> {
        let ifname = self.ifname(key).await?;
        self.tap_io().stats(&ifname).await
    }

    /// Opens a member's tap; see [`TapIo::open_tap`].
    pub async fn open_tap(&self, key: &Key) -> Result<OwnedFd> {
        let ifname = self.ifname(key).await?;
        self.tap_io().open_tap(&ifname).await
    }

    async fn ifname(&self, key: &Key) -> Result<String> {
        let ports = self.inner.ports.lock().await;
        let port = ports
            .members
            .get(key)
            .ok_or_else(|| Error::not_linked(key))?;
        Ok(port.ifname.clone())
    }
}
