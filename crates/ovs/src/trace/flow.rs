//! A packet as `ofproto/trace` wants it (ovs-fields(7), ovs-vswitchd(8)).

use control::projection::HostView;
use model::Mac;
use model::trace::{Enters, Packet, Probe, What};
use std::net::{IpAddr, Ipv6Addr};

/// A packet has no place to come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayIn {
    /// The network is not known on the host.
    #[error(
        "cluster {0} has no member on this host; look where its members are with `transhume endpoint list`"
    )]
    NoNet(model::ClusterName),
    /// The member has no port here.
    #[error("member {0} has no port on this host; look where it is with `transhume endpoint list`")]
    NoPort(model::VmName),
    /// There is no such tunnel.
    #[error("this host has no {0} port; link a member of the cluster here first")]
    NoTunnel(&'static str),
    /// Sender and receiver are of two families.
    #[error("{0} and {1} are addresses of two families; give two of one")]
    Families(IpAddr, IpAddr),
}

/// The port that a packet comes in by, and the packet, in the switch's words.
pub(super) fn flow(
    view: &HostView,
    own: &[IpAddr],
    probe: &Probe,
) -> Result<(u32, String), NoWayIn> {
    let net = view.nets.get(&probe.cluster);
    let net = net.ok_or_else(|| NoWayIn::NoNet(probe.cluster.clone()))?;
    let mut packet = probe.packet.clone();
    let tunnel = |from: IpAddr| {
        let to = own.iter().find(|own| own.is_ipv4() == from.is_ipv4());
        let to = to.copied().unwrap_or(view.underlay);
        let (source, destination) = match from {
            IpAddr::V4(_) => ("tun_src", "tun_dst"),
            IpAddr::V6(_) => ("tun_ipv6_src", "tun_ipv6_dst"),
        };
        format!(",tun_id={},{source}={from},{destination}={to}", net.vni)
    };
    let (port, around) = match &probe.enters {
        Enters::Member { vm } => {
            let key = (probe.cluster.clone(), vm.clone());
            let port = view.ports.get(&key).copied();
            (
                port.ok_or_else(|| NoWayIn::NoPort(vm.clone()))?,
                String::new(),
            )
        }
        Enters::Tunnel { from } => {
            let port = view.tunnels.get(&net.encap).copied();
            let port = port.ok_or(NoWayIn::NoTunnel(net.encap.as_str()))?;
            (port, tunnel(*from))
        }
        Enters::Gpe { from } => {
            // The switch puts an empty Ethernet header before what comes without one.
            (packet.from_mac, packet.to_mac) = (Mac([0; 6]), Mac([0; 6]));
            (
                view.gpe.ok_or(NoWayIn::NoTunnel("VXLAN-GPE"))?,
                tunnel(*from),
            )
        }
        Enters::Gateway => {
            let port = view.gateways.get(&probe.cluster).copied();
            (
                port.ok_or(NoWayIn::NoTunnel("LISP gateway"))?,
                String::new(),
            )
        }
    };
    let words = words(&packet)?;
    Ok((port, format!("in_port={port}{around},{words}")))
}

fn words(packet: &Packet) -> Result<String, NoWayIn> {
    let Packet {
        from_mac, to_mac, ..
    } = packet;
    let ether = format!("dl_src={from_mac},dl_dst={to_mac}");
    let tcp_flags = if packet.established { "ack" } else { "syn" };
    let (v6, from, to) = match (packet.from, packet.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ("", from.to_string(), to.to_string()),
        (IpAddr::V6(from), IpAddr::V6(to)) => ("6", from.to_string(), to.to_string()),
        (from, to) => return Err(NoWayIn::Families(from, to)),
    };
    let addresses = match v6 {
        "" => format!("nw_src={from},nw_dst={to},nw_ttl=64"),
        _ => format!("ipv6_src={from},ipv6_dst={to},nw_ttl=64"),
    };
    Ok(match (packet.what, packet.to) {
        (What::Arp, IpAddr::V4(_)) => format!(
            "arp,{ether},arp_op=1,arp_sha={from_mac},arp_spa={from},arp_tpa={to},arp_tha=00:00:00:00:00:00"
        ),
        (What::Arp, IpAddr::V6(target)) => format!(
            "icmp6,{ether},ipv6_src={from},ipv6_dst={},nw_ttl=255,icmpv6_type=135,icmpv6_code=0,\
             nd_target={target},nd_sll={from_mac}",
            solicited(target)
        ),
        (What::Icmp, IpAddr::V4(_)) => {
            let kind = if packet.established { 0 } else { 8 };
            format!("icmp,{ether},{addresses},icmp_type={kind},icmp_code=0")
        }
        (What::Icmp, IpAddr::V6(_)) => {
            let kind = if packet.established { 129 } else { 128 };
            format!("icmp6,{ether},{addresses},icmpv6_type={kind},icmpv6_code=0")
        }
        (What::Tcp { from_port, to_port }, _) => format!(
            "tcp{v6},{ether},{addresses},tcp_src={from_port},tcp_dst={to_port},tcp_flags={tcp_flags}"
        ),
        (What::Udp { from_port, to_port }, _) => {
            format!("udp{v6},{ether},{addresses},udp_src={from_port},udp_dst={to_port}")
        }
    })
}

/// Where a solicitation for an address is sent to, RFC 4291 section 2.7.1.
fn solicited(target: Ipv6Addr) -> Ipv6Addr {
    let low = u128::from(target) & 0xff_ffff;
    Ipv6Addr::from(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}
