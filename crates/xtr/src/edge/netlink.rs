//! Links, addresses and routes of the network namespace that the router was started in.

use std::net::IpAddr;

use futures::TryStreamExt;
use lisp::{Address, Eid, EidAddress};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{
    RouteIp6Tunnel, RouteIp6TunnelFlags, RouteIpTunnel, RouteIpTunnelFlags, RouteProtocol,
    RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::{Handle, LinkUnspec, LinkVxlan, RouteMessageBuilder};

use crate::config::Instance;
use crate::error::Error;

/// Bytes of the largest packet that the kernel gives us at once: with a header for each of its pieces
/// it still fits one call of UDP.
const LARGEST: u32 = 60_000;
/// Packets that wait for us in the kernel.
const QUEUE: u32 = 1_000;
/// Who has made a route, for people who list them; any number that nobody else uses.
const PROTOCOL: u8 = 142;
/// The table of routes that everyone uses.
const MAIN: u32 = 254;
/// The table of fences, and the priority of the rules that lead there; also any number.
const FENCES: u32 = 142;

/// A netlink socket, used without waiting for anything else.
pub struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").finish_non_exhaustive()
    }
}

fn failed<E>(what: impl Into<String>) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let what = what.into();
    move |source| Error::Netlink {
        what,
        source: source.into(),
    }
}

/// Where the kernel sends packets to a prefix.
struct Way {
    device: u32,
    /// Encapsulated to this locator.
    to: Option<IpAddr>,
    /// From this address, where the sender names none.
    own: Option<IpAddr>,
}

impl Way {
    /// Into a device as they are.
    fn into(device: u32) -> Self {
        Self {
            device,
            to: None,
            own: None,
        }
    }
}

impl Netlink {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn open() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(failed("open a netlink socket"))?;
        let handle = {
            let _entered = runtime.enter();
            let (connection, handle, _) =
                rtnetlink::new_connection().map_err(failed("open a netlink socket"))?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    fn index(&self, name: &str) -> Result<u32, Error> {
        let found = self.handle.link().get().match_name(name.to_owned());
        let mut found = found.execute();
        let link = self.runtime.block_on(found.try_next());
        let link = link.map_err(failed(format!("tell about {name}")))?;
        let missing = || failed(format!("tell about {name}"))("there is no such link");
        link.map(|link| link.header.index).ok_or_else(missing)
    }

    /// Brings a TUN up with its addresses and routes.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn set_up(&self, instance: &Instance, mtu: u16) -> Result<(), Error> {
        let index = self.index(&instance.tun)?;
        let message = LinkUnspec::new_with_index(index)
            .mtu(u32::from(mtu))
            .txqueuelen(QUEUE)
            .append_extra_attribute(LinkAttribute::GsoMaxSize(LARGEST))
            .up()
            .build();
        self.runtime
            .block_on(self.handle.link().set(message).execute())
            .map_err(failed(format!("bring {} up", instance.tun)))?;
        for text in &instance.addresses {
            let eid = crate::config::prefix(0, text)?;
            let Some(address) = text
                .split('/')
                .next()
                .and_then(|a| a.parse::<IpAddr>().ok())
            else {
                continue;
            };
            let added = self.handle.address().add(index, address, eid.length());
            self.runtime
                .block_on(added.replace().execute())
                .map_err(failed(format!("give {} the address {text}", instance.tun)))?;
        }
        for text in &instance.routes {
            let eid = crate::config::prefix(0, text)?;
            self.route(eid, RouteType::Unicast, Some(Way::into(index)), MAIN)?;
        }
        Ok(())
    }

    /// Makes the device that carries VXLAN-GPE for encapsulating routes, or takes an existing one.
    ///
    /// # Errors
    /// [`Error::Netlink`]: the kernel has no VXLAN, or the port is taken.
    pub fn make_gpe(&self, name: &str, mtu: u16) -> Result<u32, Error> {
        if let Ok(index) = self.index(name) {
            return Ok(index);
        }
        let device = LinkVxlan::new(name, 0)
            .collect_metadata(true)
            .learning(false)
            .gpe()
            .port(lisp::data::GPE_PORT)
            .mtu(u32::from(mtu))
            .up()
            .build();
        self.runtime
            .block_on(self.handle.link().add(device).execute())
            .map_err(failed(format!("make the VXLAN-GPE device {name}")))?;
        self.index(name)
    }

    /// Takes a device away; content if there is none.
    pub fn remove_link(&self, name: &str) {
        if let Ok(index) = self.index(name) {
            let done = self
                .runtime
                .block_on(self.handle.link().del(index).execute());
            if let Err(error) = done {
                tracing::warn!(%error, "cannot remove {name}");
            }
        }
    }

    /// Lets the kernel encapsulate packets to a prefix. What this host sends there by itself, it sends as
    /// `own`: the device has no address to choose.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn encapsulate(
        &self,
        eid: Eid,
        device: u32,
        to: IpAddr,
        own: Option<IpAddr>,
    ) -> Result<(), Error> {
        let v4 = matches!(eid.address(), EidAddress::Ipv4(_));
        let way = Way {
            device,
            to: Some(to),
            own: own.filter(|own| own.is_ipv4() == v4),
        };
        self.route(eid, RouteType::Unicast, Some(way), MAIN)
    }

    /// Lets the kernel drop packets to a prefix that come through a device with fence rules.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn fence(&self, eid: Eid) -> Result<(), Error> {
        self.route(eid, RouteType::BlackHole, None, FENCES)
    }

    /// The opposite of [`Netlink::fence`].
    pub fn unfence(&self, eid: Eid) {
        self.delete(eid, FENCES);
    }

    /// Has what comes through a device looked up among the fences first.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn add_fence_rules(&self, device: &str) -> Result<(), Error> {
        self.remove_fence_rules(device);
        for v4 in [true, false] {
            let rule = self.handle.rule().add();
            let rule = rule
                .input_interface(device.to_owned())
                .table_id(FENCES)
                .priority(FENCES)
                .action(RuleAction::ToTable);
            let done = match v4 {
                true => self.runtime.block_on(rule.v4().execute()),
                false => self.runtime.block_on(rule.v6().execute()),
            };
            done.map_err(failed(format!("look up fences for {device}")))?;
        }
        Ok(())
    }

    /// Takes the rules back, whether they are there or not.
    pub fn remove_fence_rules(&self, device: &str) {
        for version in [rtnetlink::IpVersion::V4, rtnetlink::IpVersion::V6] {
            let mut rules = self.handle.rule().get(version).execute();
            while let Ok(Some(rule)) = self.runtime.block_on(rules.try_next()) {
                let ours = rule
                    .attributes
                    .contains(&RuleAttribute::Iifname(device.to_owned()))
                    && rule.attributes.contains(&RuleAttribute::Priority(FENCES));
                if ours {
                    drop(
                        self.runtime
                            .block_on(self.handle.rule().del(rule).execute()),
                    );
                }
            }
        }
    }

    /// Takes the route of a prefix back, whether it is there or not.
    pub fn unroute(&self, eid: Eid) {
        self.delete(eid, MAIN);
    }

    fn delete(&self, eid: Eid, table: u32) {
        let Some(address) = Address::from(eid.address()).ip() else {
            return;
        };
        let builder = RouteMessageBuilder::<IpAddr>::new()
            .protocol(RouteProtocol::Other(PROTOCOL))
            .kind(RouteType::Unspec)
            .scope(RouteScope::NoWhere)
            .table_id(table)
            .destination_prefix(address, eid.length());
        if let Ok(builder) = builder {
            let deleted = self.handle.route().del(builder.build()).execute();
            if let Err(error) = self.runtime.block_on(deleted) {
                tracing::debug!(%eid, %error, "there was no route to take back");
            }
        }
    }

    fn route(&self, eid: Eid, kind: RouteType, way: Option<Way>, table: u32) -> Result<(), Error> {
        let what = || format!("route {eid}");
        let Some(address) = Address::from(eid.address()).ip() else {
            return Err(failed(what())("it is no IP prefix"));
        };
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .protocol(RouteProtocol::Other(PROTOCOL))
            .kind(kind)
            .table_id(table)
            .destination_prefix(address, eid.length())
            .map_err(failed(what()))?;
        if let Some(way) = &way {
            builder = builder.output_interface(way.device);
            if let Some(own) = way.own {
                builder = builder.pref_source(own).map_err(failed(what()))?;
            }
        }
        builder = match way.and_then(|way| way.to) {
            None => builder,
            Some(IpAddr::V4(to)) => builder.encap_ip(vec![
                RouteIpTunnel::Id(eid.instance().into()),
                RouteIpTunnel::Destination(to),
                RouteIpTunnel::Flags(RouteIpTunnelFlags::Key),
            ]),
            Some(IpAddr::V6(to)) => builder.encap_ip6(vec![
                RouteIp6Tunnel::Id(eid.instance().into()),
                RouteIp6Tunnel::Destination(to),
                RouteIp6Tunnel::Flags(RouteIp6TunnelFlags::Key),
            ]),
        };
        let added = self.handle.route().add(builder.build()).replace();
        self.runtime
            .block_on(added.execute())
            .map_err(failed(what()))
    }
}
