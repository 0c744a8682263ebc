//! Abstract packets: just what rules can see and change.

use model::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const BROADCAST: Mac = Mac([0xff; 6]);

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Other(u16),
    Arp {
        op: u16,
        sha: Mac,
        spa: Ipv4Addr,
        tha: Mac,
        tpa: Ipv4Addr,
    },
    Ipv4 {
        src: Ipv4Addr,
        dst: Ipv4Addr,
        udp: Option<(u16, u16)>,
    },
    Ipv6 {
        src: Ipv6Addr,
        dst: Ipv6Addr,
        ttl: u8,
        nd: Option<Nd>,
    },
    Segment(Segment),
}

/// A packet of a connection: TCP, UDP or ICMP, of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub protocol: u8,
    pub src: (IpAddr, u16),
    pub dst: (IpAddr, u16),
    /// Of TCP: whether it opens the connection.
    pub opening: bool,
}

/// Neighbour discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nd {
    pub kind: u8,
    pub flags: u32,
    pub target: Ipv6Addr,
    /// Type and address of the link-layer option.
    pub option: Option<(u8, Mac)>,
}

/// The outside of a packet in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tunnel {
    pub id: u32,
    pub src: Option<IpAddr>,
    pub dst4: Option<Ipv4Addr>,
    pub dst6: Option<Ipv6Addr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub in_port: u32,
    pub reg0: u32,
    /// The member that it is for, where that matters.
    pub reg1: u32,
    /// What the table of connections says of it.
    pub state: u32,
    pub tagged: bool,
    pub tunnel: Tunnel,
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub payload: Payload,
}

impl Packet {
    pub fn new(eth_src: Mac, eth_dst: Mac, payload: Payload) -> Self {
        Self {
            in_port: 0,
            reg0: 0,
            reg1: 0,
            state: 0,
            tagged: false,
            tunnel: Tunnel::default(),
            eth_src,
            eth_dst,
            payload,
        }
    }

    pub fn arp_request(mac: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Self {
        Self::new(
            mac,
            BROADCAST,
            Payload::Arp {
                op: 1,
                sha: mac,
                spa,
                tha: Mac([0; 6]),
                tpa,
            },
        )
    }

    pub fn solicitation(mac: Mac, src: Ipv6Addr, target: Ipv6Addr) -> Self {
        let [.., a, b, c] = target.octets();
        let dst = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        let option = (!src.is_unspecified()).then_some((1, mac));
        let nd = Some(Nd {
            kind: 135,
            flags: 0,
            target,
            option,
        });
        Self::new(
            mac,
            Mac([0x33, 0x33, 0xff, a, b, c]),
            Payload::Ipv6 {
                src,
                dst,
                ttl: 255,
                nd,
            },
        )
    }

    /// A packet between two addresses of the same family.
    pub fn ip(eth_src: Mac, eth_dst: Mac, src: IpAddr, dst: IpAddr) -> Self {
        let payload = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Payload::Ipv4 {
                src,
                dst,
                udp: None,
            },
            (IpAddr::V6(src), IpAddr::V6(dst)) => Payload::Ipv6 {
                src,
                dst,
                ttl: 64,
                nd: None,
            },
            other => panic!("no packet goes from one family to the other: {other:?}"),
        };
        Self::new(eth_src, eth_dst, payload)
    }
}
