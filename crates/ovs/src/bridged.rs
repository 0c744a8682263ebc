//! A port for a VM whose tap is somebody else's: a small kernel bridge, and a pair of links from it to the
//! switch.
//!
//! ```text
//!  VM ─ vnet0 ─ thb-… (bridge) ─ thp-… ═ tht-… ─ icint0
//! ```
//!
//! libvirt makes the taps of its domains, plugs them into bridges, and lets guests leave checksums and
//! segmentation to the host. A switch in user space gets such a frame as it is, without a checksum. On its
//! way through a link that offers neither, the kernel completes it.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::netlink::{LinkState, Netlink};
use crate::netns::Netns;
use crate::ports::Port;
use crate::{names, tap};
use control::projection::Key;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

/// The request of linux/sockios.h, and the commands of linux/ethtool.h that switch an offload.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const SET_CHECKSUMS: u32 = 0x17;
const SET_SEGMENTATION: u32 = 0x1f;
const SET_GENERIC_SEGMENTATION: u32 = 0x24;

/// Makes bridge and pair; content when they exist.
pub(crate) async fn make(
    netns: &Netns,
    netlink: &Netlink,
    key: &Key,
    port: &Port,
) -> Result<LinkState> {
    let ifname = &port.ifname;
    let (bridge, patch) = (names::bridge(&key.0, &key.1), names::patch(&key.0, &key.1));
    let index = netlink.add_bridge(&bridge).await?;
    if netlink.link(&patch).await?.is_none() {
        netlink.add_veth(ifname, &patch, netns).await?;
    }
    let name = patch.clone();
    netns
        .run(move || complete(&name))
        .await?
        .map_err(|source| Error::Tap {
            ifname: patch.clone(),
            what: "switch its offloads off",
            source,
        })?;
    let end = netlink.need_link(&patch).await?.index;
    for link in [index, end] {
        netlink.set_mtu(link, port.net.mtu).await?;
    }
    netlink.enslave(end, index).await?;
    for name in [&bridge, &patch] {
        tap::settle(netns, netlink, name).await?;
    }
    tap::settle(netns, netlink, ifname).await
}

/// Removes both; the tap in the bridge stays, plugged into nothing.
pub(crate) async fn remove(netlink: &Netlink, key: &Key, ifname: &str) -> Result<()> {
    netlink.delete_link(ifname).await?;
    netlink.delete_link(&names::patch(&key.0, &key.1)).await?;
    netlink.delete_link(&names::bridge(&key.0, &key.1)).await
}

/// struct ethtool_value
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// What leaves through this link leaves with its checksum, and in segments.
fn complete(ifname: &str) -> std::io::Result<()> {
    let any = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    for command in [SET_GENERIC_SEGMENTATION, SET_SEGMENTATION, SET_CHECKSUMS] {
        let mut value = Value { command, data: 0 };
        // SAFETY: an ifreq of zeroes is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(ifname.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: the request and the value that it points to outlive the call.
        let done = unsafe { libc::ioctl(any.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if done < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

impl Host {
    /// Gives a tap that somebody else made for a VM the long queue of our own.
    ///
    /// # Errors
    /// When there is no such link.
    pub async fn settle_tap(&self, ifname: &str) -> Result<()> {
        tap::settle(&self.inner.netns, &self.inner.netlink, ifname)
            .await
            .map(drop)
    }
}
