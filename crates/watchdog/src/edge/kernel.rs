//! The kernel's news of links, addresses, routes and neighbours (rtnetlink). News only say that something has changed; what
//! counts is looked up then.

use crate::machine::{Gateway, Seen};
use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use model::Mac;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// What follows news within this time is looked at together with it.
const TOGETHER: Duration = Duration::from_millis(20);

type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

pub(super) struct Kernel {
    interface: String,
    handle: Handle,
    news: News,
}

impl Kernel {
    /// Opens a socket in this network namespace.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let (handle, news) = listen()?;
        Ok(Self {
            interface: interface.to_owned(),
            handle,
            news,
        })
    }

    /// Waits until something has changed.
    pub(super) async fn news(&mut self) {
        if self.news.next().await.is_none() {
            // The socket has ended, perhaps by too many news at once: whatever they were is looked up.
            tokio::time::sleep(TOGETHER * 10).await;
            match listen() {
                Ok((handle, news)) => (self.handle, self.news) = (handle, news),
                Err(error) => tracing::warn!(%error, "the kernel's news cannot be heard"),
            }
            return;
        }
        tokio::time::sleep(TOGETHER).await;
        while self.news.try_recv().is_ok() {}
    }

    /// The link as it is now; one that is not there is down.
    pub(super) async fn look(&self) -> Result<Seen, rtnetlink::Error> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(self.interface.clone())
            .execute();
        let link = match links.try_next().await {
            Ok(Some(link)) => link,
            Ok(None) => return Ok(Seen::default()),
            Err(error) if is_no_device(&error) => return Ok(Seen::default()),
            Err(error) => return Err(error),
        };
        let index = link.header.index;
        let carrier = !link
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, LinkAttribute::Carrier(0)));
        Ok(Seen {
            up: link.header.flags.contains(LinkFlags::Up) && carrier,
            addresses: self.addresses(index).await?,
            gateway: self.gateway(index).await?,
        })
    }

    async fn addresses(
        &self,
        index: u32,
    ) -> Result<std::collections::BTreeSet<IpAddr>, rtnetlink::Error> {
        let mut found = std::collections::BTreeSet::new();
        let mut messages = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        while let Some(message) = messages.try_next().await? {
            // IPv4 has its own address in Local and perhaps a peer's in Address; IPv6 has Address.
            let local = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(address) => Some(*address),
                    _ => None,
                });
            let plain = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => Some(*address),
                    _ => None,
                });
            found.extend(local.or(plain).filter(reaches_beyond));
        }
        Ok(found)
    }

    /// The gateway of the default route by this link: IPv4's, else IPv6's.
    async fn gateway(&self, index: u32) -> Result<Option<Gateway>, rtnetlink::Error> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut wish = RouteMessage::default();
            wish.header.address_family = family;
            let mut routes = self.handle.route().get(wish).execute();
            let mut best: Option<(u32, IpAddr)> = None;
            while let Some(route) = routes.try_next().await? {
                let better = default_by(&route, index)
                    .filter(|(metric, _)| best.is_none_or(|(least, _)| *metric < least));
                best = better.or(best);
            }
            if let Some((_, address)) = best {
                let (mac, failed) = self.neighbour(index, address).await?;
                return Ok(Some(Gateway {
                    address,
                    mac,
                    failed,
                }));
            }
        }
        Ok(None)
    }

    /// The Ethernet address of a neighbour, where the kernel is sure of it, and whether it does not answer.
    async fn neighbour(
        &self,
        index: u32,
        address: IpAddr,
    ) -> Result<(Option<Mac>, bool), rtnetlink::Error> {
        let mut messages = self.handle.neighbours().get().execute();
        let mut found = (None, false);
        while let Some(message) = messages.try_next().await? {
            let destination = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                        Some(IpAddr::V4(*address))
                    }
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                        Some(IpAddr::V6(*address))
                    }
                    _ => None,
                });
            if message.header.ifindex != index || destination != Some(address) {
                continue;
            }
            let mac = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    NeighbourAttribute::LinkLayerAddress(bytes) => {
                        Some(Mac(bytes.as_slice().try_into().ok()?))
                    }
                    _ => None,
                });
            found = match message.header.state {
                NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => {
                    (mac, false)
                }
                NeighbourState::Failed => (None, true),
                _ => (None, false),
            };
        }
        Ok(found)
    }
}

fn listen() -> io::Result<(Handle, News)> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, handle, news) = rtnetlink::new_multicast_connection(&groups)?;
    tokio::spawn(connection);
    Ok((handle, news))
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    /// ENODEV, errno(3).
    const NO_DEVICE: i32 = 19;
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.code.is_some_and(|code| code.get().abs() == NO_DEVICE))
}

/// The metric and gateway of a default route by a link.
fn default_by(route: &RouteMessage, index: u32) -> Option<(u32, IpAddr)> {
    let whole =
        route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast;
    let main = route.header.table == RouteHeader::RT_TABLE_MAIN;
    let by = route.attributes.contains(&RouteAttribute::Oif(index));
    if !(whole && main && by) {
        return None;
    }
    let gateway = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        })?;
    let metric = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        });
    Some((metric.unwrap_or_default(), gateway))
}

fn reaches_beyond(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}
