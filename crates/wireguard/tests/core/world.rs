//! Two devices without I/O, and what is carried between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use etherparse::PacketBuilder;
use wireguard::core::{Core, ROOM};
use wireguard::{Peer, PublicKey, Reason, SecretKey, Transport, Wanted};

pub(crate) fn inner(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, host).into()
}

pub(crate) fn outer(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 51820))
}

pub(crate) fn peer(host: u8, keys: &[&SecretKey]) -> Peer {
    Peer {
        keys: keys.iter().map(|key| key.public()).collect(),
        allowed: vec![inner(host).into()],
        endpoint: Some(outer(host)),
        keepalive: None,
        transport: Transport::Wireguard,
        roam: true,
    }
}

pub(crate) fn packet(from: u8, to: u8, text: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4([10, 9, 0, from], [10, 9, 0, to], 64).udp(1, 2);
    let mut packet = Vec::new();
    builder.write(&mut packet, text).expect("a packet");
    packet
}

/// One device, and what it has taken from its peers.
pub(crate) struct Host {
    pub(crate) number: u8,
    pub(crate) core: Core,
    pub(crate) got: Vec<Vec<u8>>,
}

impl Host {
    pub(crate) fn new(number: u8, now: Instant) -> Self {
        let core = Core::new(1420, u32::from(number) << 12, now);
        let got = Vec::new();
        Self { number, core, got }
    }

    /// Two that know each other by these keys, ours first.
    pub(crate) fn pair(keys: &[SecretKey; 2], now: Instant) -> [Self; 2] {
        [(1, 2), (2, 1)].map(|(me, other)| {
            let mut host = Self::new(me, now);
            let own = &keys[usize::from(me) - 1];
            host.set(
                &[own],
                vec![peer(other, &[&keys[usize::from(other) - 1]])],
                now,
            );
            host
        })
    }

    pub(crate) fn set(&mut self, identities: &[&SecretKey], peers: Vec<Peer>, now: Instant) {
        let identities = identities.iter().copied().cloned().collect();
        let wanted = Wanted { identities, peers };
        self.core.set(wanted, now).expect("no contradiction");
    }

    /// Sends a packet; the datagrams that this makes.
    pub(crate) fn send(&mut self, to: u8, text: &[u8], now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let packet = packet(self.number, to, text);
        let mut room = vec![0; packet.len() + ROOM];
        let number = self.core.route(inner(to)).expect("a peer");
        let sealed = self.core.seal(number, [&packet, &[]], &mut room, now);
        let mut out = self.say();
        if let Some((length, to)) = sealed {
            room.truncate(length);
            out.push((to, room));
        }
        out
    }

    pub(crate) fn say(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let outgoing = self.core.take_outgoing().into_iter();
        outgoing
            .map(|datagram| (datagram.to, datagram.bytes))
            .collect()
    }

    /// Takes a datagram; the datagrams that this makes.
    pub(crate) fn take(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut room = vec![0; datagram.len() + ROOM];
        if let Some(opened) = self.core.open(from, 0, datagram, &mut room, now) {
            self.got.push(room[..opened.inner.total].to_vec());
        }
        self.say()
    }

    pub(crate) fn session(&self) -> Option<PublicKey> {
        self.core.status(Instant::now()).peers.first()?.session
    }

    pub(crate) fn dropped(&self, why: Reason) -> u64 {
        self.core.status(Instant::now()).drops.get(why)
    }
}

/// Carries datagrams between two until none are left. Everything that was carried, in order.
pub(crate) fn settle(
    hosts: &mut [Host; 2],
    first: Vec<(SocketAddr, Vec<u8>)>,
    now: Instant,
) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut carried = Vec::new();
    let mut waiting = first;
    while !waiting.is_empty() {
        let mut next = Vec::new();
        for (to, bytes) in waiting {
            let at = usize::from(to == outer(2));
            next.extend(hosts[at].take(outer(2 - at as u8), &bytes, now));
            carried.push((to, bytes));
        }
        waiting = next;
    }
    carried
}

pub(crate) fn keys() -> [SecretKey; 2] {
    [(); 2].map(|()| SecretKey::generate())
}
