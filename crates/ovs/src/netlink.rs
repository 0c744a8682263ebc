//! Links, addresses, routes and neighbours of one network namespace, asked of the kernel.
//!
//! One kept-open rtnetlink socket, made in the host's namespace. Every request says what it wants
//! to be true and is content when it already is, so set-up can be repeated. No policy lives here.

use crate::error::{Error, Result};
use crate::netns::Netns;
use futures::{StreamExt, TryStreamExt};
use model::{Mac, cluster::Cidr};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, Stats64};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

/// A link as the kernel sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address.
    pub mac: Option<Mac>,
    /// Largest packet, bytes.
    pub mtu: u32,
    /// Queue of packets that wait to leave (for a tap: to be read), packets.
    pub txqueuelen: u32,
    /// Whether it is up.
    pub up: bool,
    /// Packets received (for a tap: sent by the guest).
    pub rx_packets: u64,
    /// Packets transmitted (for a tap: given to the guest).
    pub tx_packets: u64,
    /// Packets that were not transmitted because the queue was full (for a tap: what the guest lost).
    pub tx_dropped: u64,
}

/// One rtnetlink socket. Clones share it.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

fn failed(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.into();
    move |source| Error::Netlink {
        what,
        source: Box::new(source),
    }
}

/// The errno of a refusal, positive.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

fn is(error: &rtnetlink::Error, code: i32) -> bool {
    errno(error) == Some(code)
}

impl Netlink {
    /// Opens a socket in the namespace.
    pub async fn open(netns: &Netns) -> Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (connection, handle) = netns
            .run(move || {
                let _entered = runtime.enter();
                rtnetlink::new_connection().map(|(connection, handle, _)| (connection, handle))
            })
            .await?
            .map_err(|source| Error::Namespace {
                what: "open a netlink socket".to_owned(),
                source,
            })?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The link of this name, or none.
    pub async fn link(&self, name: &str) -> Result<Option<LinkState>> {
        let mut found = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        match found.next().await {
            Some(Ok(message)) => Ok(Some(read_link(&message))),
            Some(Err(error)) if is(&error, libc::ENODEV) => Ok(None),
            Some(Err(error)) => Err(failed(format!("tell about {name}"))(error)),
            None => Ok(None),
        }
    }

    /// The link of this name; its absence is an error.
    pub async fn need_link(&self, name: &str) -> Result<LinkState> {
        self.link(name)
            .await?
            .ok_or_else(|| Error::NoLink(name.to_owned()))
    }

    /// Every link of the namespace.
    pub async fn links(&self) -> Result<Vec<LinkState>> {
        let found: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list links"))?;
        Ok(found.iter().map(read_link).collect())
    }

    /// Sets an Ethernet address. Some drivers take it only while the link is down.
    pub async fn set_mac(&self, index: u32, mac: Mac) -> Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .address(mac.0.to_vec())
            .build();
        self.set(message, format!("set the Ethernet address {mac}"))
            .await
    }

    /// Sets the largest packet, bytes.
    pub async fn set_mtu(&self, index: u32, mtu: u16) -> Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .mtu(u32::from(mtu))
            .build();
        self.set(message, format!("set an MTU of {mtu}")).await
    }

    /// Brings a link up.
    pub async fn up(&self, index: u32) -> Result<()> {
        self.set(
            LinkUnspec::new_with_index(index).up().build(),
            "bring a link up".to_owned(),
        )
        .await
    }

    /// Brings a link down.
    pub async fn down(&self, index: u32) -> Result<()> {
        self.set(
            LinkUnspec::new_with_index(index).down().build(),
            "bring a link down".to_owned(),
        )
        .await
    }

    /// Gives a link that is down another name.
    pub async fn rename(&self, index: u32, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).name(name).build();
        self.set(message, format!("call a link {name}")).await
    }

    /// Brings a link up that only carries frames for a switch: the kernel's own stack neither asks
    /// nor answers ARP on it.
    pub async fn up_silent(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).arp(false).up().build();
        self.set(message, "bring a link up without ARP".to_owned())
            .await
    }

    /// Sets the queue of a link, packets, and brings it up without ARP.
    pub async fn up_with_queue(&self, index: u32, packets: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .arp(false)
            .txqueuelen(packets)
            .up()
            .build();
        self.set(message, format!("give a link a queue of {packets} packets"))
            .await
    }

    async fn set(&self, message: LinkMessage, what: String) -> Result<()> {
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(failed(what))
    }

    /// Removes a link; content when it is gone already.
    pub async fn delete_link(&self, name: &str) -> Result<()> {
        let Some(link) = self.link(name).await? else {
            return Ok(());
        };
        match self.handle.link().del(link.index).execute().await {
            Err(error) if !is(&error, libc::ENODEV) => Err(failed(format!("remove {name}"))(error)),
            _ => Ok(()),
        }
    }

    /// Makes a pair of veth links, the second of them in another namespace.
    pub async fn add_veth(&self, name: &str, peer: &str, peer_netns: &Netns) -> Result<()> {
        let what = format!("make the pair {name}, {peer}");
        self.handle
            .link()
            .add(LinkVeth::new(name, peer).build())
            .execute()
            .await
            .map_err(failed(what.clone()))?;
        let index = self.need_link(peer).await?.index;
        let fd = peer_netns.fd();
        let message = LinkUnspec::new_with_index(index)
            .setns_by_fd(fd.as_fd().as_raw_fd())
            .build();
        self.set(message, what).await
    }

    /// Makes a kernel bridge, or gives an existing one.
    pub async fn add_bridge(&self, name: &str) -> Result<u32> {
        let message = LinkMessageBuilder::<rtnetlink::LinkBridge>::new(name).build();
        match self.handle.link().add(message).execute().await {
            Err(error) if !is(&error, libc::EEXIST) => {
                return Err(failed(format!("make bridge {name}"))(error));
            }
            _ => {}
        }
        Ok(self.need_link(name).await?.index)
    }

    /// Makes a link a port of a kernel bridge.
    pub async fn enslave(&self, index: u32, bridge: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .controller(bridge)
            .up()
            .build();
        self.set(message, "make a link a port of a bridge".to_owned())
            .await
    }

    /// Gives a link an address; content when it has it. IPv6 addresses are usable at once: the
    /// directory refuses duplicates, so the kernel need not look for them (RFC 4862 section 5.4).
    pub async fn add_address(&self, index: u32, address: Cidr) -> Result<()> {
        let mut request = self
            .handle
            .address()
            .add(index, address.address, address.prefix)
            .replace();
        let message = request.message_mut();
        if address.address.is_ipv6() {
            message.header.flags |= AddressHeaderFlags::Nodad;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request
            .execute()
            .await
            .map_err(failed(format!("give a link the address {address}")))
    }

    /// Takes every address from a link that is not in `keep`; IPv6 link-local ones stay.
    pub async fn keep_addresses(&self, index: u32, keep: &[Cidr]) -> Result<()> {
        self.drop_addresses(index, |own, prefix| {
            let link_local = matches!(own, IpAddr::V6(v6) if v6.is_unicast_link_local());
            !link_local
                && !keep
                    .iter()
                    .any(|cidr| cidr.address == own && cidr.prefix == prefix)
        })
        .await
    }

    /// Takes these addresses from a link where it has them.
    pub async fn remove_addresses(&self, index: u32, gone: &[IpAddr]) -> Result<()> {
        self.drop_addresses(index, |own, _| gone.contains(&own))
            .await
    }

    async fn drop_addresses(
        &self,
        index: u32,
        unwanted: impl Fn(IpAddr, u8) -> bool,
    ) -> Result<()> {
        let found: Vec<_> = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute()
            .try_collect()
            .await
            .map_err(failed("list addresses"))?;
        for message in found {
            // IPv4 has its own address in Local and perhaps a peer's in Address; IPv6 has Address.
            let local = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(address) => Some(*address),
                    _ => None,
                });
            let other = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => Some(*address),
                    _ => None,
                });
            let Some(own) = local.or(other) else { continue };
            if unwanted(own, message.header.prefix_len) {
                self.handle
                    .address()
                    .del(message)
                    .execute()
                    .await
                    .map_err(failed(format!("take the address {own} from a link")))?;
            }
        }
        Ok(())
    }

    /// Routes a network through a gateway on a link; replaces another route to it.
    pub async fn add_route(&self, network: Cidr, gateway: IpAddr, index: u32) -> Result<()> {
        let what = format!("route {network} through {gateway}");
        let message = match (network.address, gateway) {
            (IpAddr::V4(to), IpAddr::V4(via)) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to, network.prefix)
                .gateway(via)
                .output_interface(index)
                .build(),
            (IpAddr::V6(to), IpAddr::V6(via)) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to, network.prefix)
                .gateway(via)
                .output_interface(index)
                .build(),
            _ => return Err(Error::Config(format!("cannot {what}: not of one family"))),
        };
        self.handle
            .route()
            .add(message)
            .replace()
            .execute()
            .await
            .map_err(failed(what))
    }

    /// Has the kernel find, or confirm, a neighbour's Ethernet address; does not wait for it.
    pub async fn ask_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        let request = self
            .handle
            .neighbours()
            .add(index, address)
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .replace();
        request
            .execute()
            .await
            .map_err(failed(format!("ask for neighbour {address}")))
    }

    /// Says once and for all which Ethernet address a neighbour has.
    pub async fn set_neighbour(&self, index: u32, address: IpAddr, mac: Mac) -> Result<()> {
        let request = self
            .handle
            .neighbours()
            .add(index, address)
            .state(NeighbourState::Permanent)
            .link_layer_address(&mac.0)
            .replace();
        request
            .execute()
            .await
            .map_err(failed(format!("set neighbour {address}")))
    }

    /// Forgets a neighbour.
    pub async fn forget_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        let mut request = self.handle.neighbours().add(index, address);
        let message = request.message_mut().clone();
        self.handle
            .neighbours()
            .del(message)
            .execute()
            .await
            .map_err(failed(format!("forget neighbour {address}")))
    }

    /// The Ethernet addresses that the kernel knows of neighbours on a link.
    pub async fn neighbours(&self, index: u32, v6: bool) -> Result<Vec<(IpAddr, Mac)>> {
        let family = if v6 {
            AddressFamily::Inet6
        } else {
            AddressFamily::Inet
        };
        let found: Vec<NeighbourMessage> = self
            .handle
            .neighbours()
            .get()
            .set_address_family(family)
            .execute()
            .try_collect()
            .await
            .map_err(failed("list neighbours"))?;
        Ok(found
            .iter()
            .filter(|message| message.header.ifindex == index)
            .filter(|message| {
                !matches!(
                    message.header.state,
                    NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None
                )
            })
            .filter_map(read_neighbour)
            .collect())
    }
}

fn read_neighbour(message: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6))
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            _ => {}
        }
    }
    address.zip(mac)
}

fn read_link(message: &LinkMessage) -> LinkState {
    let mut link = LinkState {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..LinkState::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::TxQueueLen(packets) => link.txqueuelen = *packets,
            LinkAttribute::Stats64(Stats64 {
                rx_packets,
                tx_packets,
                tx_dropped,
                ..
            }) => {
                link.rx_packets = *rx_packets;
                link.tx_packets = *tx_packets;
                link.tx_dropped = *tx_dropped;
            }
            _ => {}
        }
    }
    link
}
