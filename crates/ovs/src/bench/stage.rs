//! Hosts in nameless network namespaces, joined as the wiring says. Gone when dropped.

use crate::config::{BondMode, Gateway, HostConfig};
use crate::daemons::Daemons;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::netlink::Netlink;
use crate::netns::Netns;
use model::cluster::Cidr;
use model::{
    ClusterName, Encap, Entry, Epoch, HostName, Locator, Mac, Member, MemberKind, Net, VmName,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is between the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// One kernel bridge that all uplinks of all hosts are ports of.
    Lan,
    /// Each host in a network of its own, with a router as gateway.
    Routed,
    /// Two hosts, uplink to uplink, nothing between.
    Direct,
}

/// How a stage is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is between the hosts.
    pub wiring: Wiring,
    /// How many hosts.
    pub hosts: usize,
    /// How many uplinks each has.
    pub uplinks: usize,
    /// How they share the load.
    pub bond: BondMode,
    /// What the uplinks carry, bytes.
    pub mtu: u16,
    /// Whether the underlay has IPv6 beside IPv4.
    pub v6: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            wiring: Wiring::Lan,
            hosts: 2,
            uplinks: 1,
            bond: BondMode::ActiveBackup,
            mtu: 1600,
            v6: false,
        }
    }
}

/// One host of a stage.
pub struct StageHost {
    /// Its namespace.
    pub netns: Netns,
    /// The kernel's side of it.
    pub netlink: Netlink,
    /// Its configuration.
    pub config: HostConfig,
    /// Its daemons.
    pub daemons: Daemons,
    /// The host itself; none while its agent is away.
    pub host: Option<Host>,
}

/// Hosts and the network between them.
pub struct Stage {
    /// The hosts.
    pub hosts: Vec<StageHost>,
    /// What is between them.
    pub wan: Netns,
    /// The kernel's side of it.
    pub wan_netlink: Netlink,
    folder: PathBuf,
}

static STAGES: AtomicU32 = AtomicU32::new(0);

impl Stage {
    /// Builds hosts and network, and sets the hosts up.
    pub async fn build(plan: Plan) -> Result<Self> {
        let mut stage = Self::bare(plan).await?;
        for at in 0..stage.hosts.len() {
            stage.start_agent(at).await?;
        }
        Ok(stage)
    }

    /// Builds hosts with running daemons and the network, and no more.
    pub async fn bare(plan: Plan) -> Result<Self> {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ovs-{}-{number}", std::process::id()));
        let wan = Netns::fresh()?;
        let wan_netlink = Netlink::open(&wan).await?;
        let mut stage = Self {
            hosts: Vec::new(),
            wan,
            wan_netlink,
            folder,
        };
        if plan.wiring == Wiring::Routed {
            stage.wan.sysctl("ipv4/ip_forward", "1").await?;
            stage.wan.sysctl("ipv6/conf/all/forwarding", "1").await?;
        }
        for at in 0..plan.hosts {
            stage.add_host(&plan, at).await?;
        }
        Ok(stage)
    }

    /// The host at this place; its agent runs.
    pub fn host(&self, at: usize) -> Result<&Host> {
        let host = self.hosts.get(at).and_then(|host| host.host.as_ref());
        host.ok_or_else(|| Error::Config(format!("host {at} of the stage has no agent; start it")))
    }

    /// Starts the agent's half of a host.
    pub async fn start_agent(&mut self, at: usize) -> Result<()> {
        let Some(host) = self.hosts.get_mut(at) else {
            return Ok(());
        };
        host.host = Some(Host::set_up_in(&host.netns, host.config.clone()).await?);
        Ok(())
    }

    async fn add_host(&mut self, plan: &Plan, at: usize) -> Result<()> {
        let number = at as u8 + 1;
        let netns = Netns::fresh()?;
        let netlink = Netlink::open(&netns).await?;
        let uplinks: Vec<String> = (0..plan.uplinks)
            .map(|uplink| format!("eth{uplink}"))
            .collect();
        for (place, uplink) in uplinks.iter().enumerate() {
            self.wire(plan, at, place, uplink, &netns, &netlink).await?;
        }
        let third = if plan.wiring == Wiring::Routed {
            number
        } else {
            0
        };
        let mut underlay = vec![cidr(Ipv4Addr::new(10, 0, third, number).into(), 24)];
        let mut gateway = Vec::new();
        let mut routes = Vec::new();
        let segment = u16::from(third);
        if plan.v6 {
            underlay.push(cidr(
                Ipv6Addr::new(0xfd00, 0, 0, segment, 0, 0, 0, number.into()).into(),
                64,
            ));
        }
        if plan.wiring == Wiring::Routed {
            gateway.push(Gateway {
                address: Ipv4Addr::new(10, 0, third, 254).into(),
                mac: None,
            });
            routes.push(cidr(Ipv4Addr::new(10, 0, 0, 0).into(), 16));
            if plan.v6 {
                let address = Ipv6Addr::new(0xfd00, 0, 0, segment, 0, 0, 0, 254);
                gateway.push(Gateway {
                    address: address.into(),
                    mac: None,
                });
                routes.push(cidr(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).into(), 32));
            }
        }
        let config = HostConfig {
            host: name(&format!("host-{number}"))?,
            rundir: self.folder.join(number.to_string()),
            uplinks,
            bond: plan.bond,
            underlay,
            gateway,
            routes,
            bridge_mac: Mac([2, 0, 10, 0, third, number]),
            uplink_mtu: 0,
            secured: None,
        };
        let daemons = Daemons::start(&netns, &config.rundir).await?;
        self.hosts.push(StageHost {
            netns,
            netlink,
            config,
            daemons,
            host: None,
        });
        Ok(())
    }

    /// One uplink, and what it leads to.
    async fn wire(
        &self,
        plan: &Plan,
        at: usize,
        place: usize,
        uplink: &str,
        netns: &Netns,
        netlink: &Netlink,
    ) -> Result<()> {
        if plan.wiring == Wiring::Direct {
            if let Some(first) = self.hosts.first() {
                // Both ends are called alike, so one is made under another name and given away.
                let other = format!("{uplink}-other");
                first.netlink.add_veth(uplink, &other, netns).await?;
                let made = netlink.need_link(&other).await?;
                netlink.down(made.index).await?;
                netlink.rename(made.index, uplink).await?;
                for side in [netlink, &first.netlink] {
                    let link = side.need_link(uplink).await?;
                    side.set_mtu(link.index, plan.mtu).await?;
                    side.up(link.index).await?;
                }
            }
            return Ok(());
        }
        let far = wan_port(at, place);
        self.wan_netlink.add_veth(&far, uplink, netns).await?;
        let near = netlink.need_link(uplink).await?;
        netlink.set_mtu(near.index, plan.mtu).await?;
        let far = self.wan_netlink.need_link(&far).await?;
        self.wan_netlink.set_mtu(far.index, plan.mtu).await?;
        let bridge = if plan.wiring == Wiring::Lan {
            "ovs-lan".to_owned()
        } else {
            format!("ovs-lan{at}")
        };
        let bridge = match self.wan_netlink.link(&bridge).await? {
            Some(bridge) => bridge.index,
            None => {
                let index = self.wan_netlink.add_bridge(&bridge).await?;
                let snooping = format!("/sys/class/net/{bridge}/bridge/multicast_snooping");
                // Without a querier, snooping would hold back neighbour solicitations. /sys may
                // show another namespace; the bridge then floods after its own time.
                let _ = self.wan.run(move || std::fs::write(snooping, "0")).await?;
                index
            }
        };
        self.wan_netlink.enslave(far.index, bridge).await?;
        self.wan_netlink.set_mtu(bridge, plan.mtu).await?;
        self.wan_netlink.up(bridge).await?;
        if plan.wiring == Wiring::Routed {
            let third = at as u8 + 1;
            self.wan_netlink
                .add_address(bridge, cidr(Ipv4Addr::new(10, 0, third, 254).into(), 24))
                .await?;
            if plan.v6 {
                let address = Ipv6Addr::new(0xfd00, 0, 0, third.into(), 0, 0, 0, 254);
                self.wan_netlink
                    .add_address(bridge, cidr(address.into(), 64))
                    .await?;
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.daemons.kill();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The name of the far end of an uplink.
pub fn wan_port(host: usize, uplink: usize) -> String {
    format!("ovs-h{host}u{uplink}")
}

fn cidr(address: IpAddr, prefix: u8) -> Cidr {
    Cidr { address, prefix }
}

fn name<T: std::str::FromStr<Err = model::InvalidName>>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|error: model::InvalidName| Error::Config(error.to_string()))
}

/// A network of this number, for measurements and tests.
pub fn net(number: u32, encap: Encap, mtu: u16) -> Result<Net> {
    let cluster: ClusterName = name(&format!("net-{number}"))?;
    Ok(Net {
        cluster,
        vni: 1000 + number,
        encap,
        mtu,
    })
}

/// A member that is a host, the `number`-th of a network: 10.77.NET.NUMBER and fd77:NET::NUMBER.
pub fn member(net: &Net, number: u8, host: &HostName) -> Result<Member> {
    let segment = net.vni as u8;
    let member: VmName = name(&format!("member-{number}"))?;
    Ok(Member {
        name: member,
        host: host.clone(),
        mac: Mac([0x52, 0x54, 0, 0x77, segment, number]),
        addresses: vec![
            cidr(Ipv4Addr::new(10, 77, segment, number).into(), 24),
            cidr(
                Ipv6Addr::new(0xfd77, segment.into(), 0, 0, 0, 0, 0, number.into()).into(),
                64,
            ),
        ],
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    })
}

/// The directory's row of a member that is at this host.
pub fn entry(net: &Net, member: &Member, at: &HostConfig, v6: bool, epoch: u64) -> Result<Entry> {
    let address = at.underlay_address(v6);
    let address = address.ok_or(Error::NoUnderlay(if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    }))?;
    Ok(Entry {
        cluster: net.cluster.clone(),
        vm: member.name.clone(),
        mac: member.mac,
        ips: member.addresses.iter().map(|cidr| cidr.address).collect(),
        security: member.security.clone(),
        locator: Locator {
            host: at.host.clone(),
            address,
        },
        epoch: Epoch(epoch),
        seal: None,
    })
}
