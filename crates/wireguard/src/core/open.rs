//! What comes from outside: anyone's bytes, until they are found to be a peer's.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use defguard_boringtun::noise::errors::WireGuardError;
use defguard_boringtun::noise::handshake::parse_handshake_anon;
use defguard_boringtun::noise::{Packet, Tunn, TunnResult};
use offload::outer;
use offload::packet::Inner;

use super::link::link_of;
use super::{Core, Datagram, PeerNumber, URGENT};
use crate::event::Event;
use crate::status::Reason;

/// A packet that has come through, at the beginning of the room that it was opened into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its header.
    pub inner: Inner,
}

impl Core {
    /// Takes a datagram. Nothing if it was not a peer's packet, or was dropped. `room` is [`super::ROOM`] bytes longer
    /// than the datagram.
    pub fn open(
        &mut self,
        from: SocketAddr,
        class: u8,
        datagram: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<Opened> {
        if room.len() < datagram.len() + super::ROOM {
            self.refuse(from, Reason::Malformed, now);
            return None;
        }
        match Tunn::parse_incoming_packet(datagram) {
            Ok(Packet::PacketData(data)) => {
                let session = data.receiver_idx;
                self.data(from, class, session, datagram, room, now)
            }
            Ok(Packet::HandshakeInit(_)) => {
                self.initiation(from, datagram, room, now);
                None
            }
            Ok(Packet::HandshakeResponse(response)) => {
                let session = response.receiver_idx;
                self.response(from, session, datagram, room, now);
                None
            }
            Ok(Packet::PacketCookieReply(reply)) => {
                self.cookie(from, reply.receiver_idx, datagram, room, now);
                None
            }
            Err(_) => self.plain(from, class, datagram, room, now),
        }
    }

    fn data(
        &mut self,
        from: SocketAddr,
        class: u8,
        session: u32,
        datagram: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<Opened> {
        let Some(&(number, place)) = self.links.get(&link_of(session)) else {
            self.stray(from, now);
            return None;
        };
        let peer = self.peers.get_mut(number)?;
        let link = peer.links.get_mut(place)?;
        let (length, why) = match link.take(datagram, room) {
            TunnResult::WriteToTunnelV4(packet, _) => (Some(packet.len()), None),
            TunnResult::WriteToTunnelV6(packet, _) => (Some(packet.len()), None),
            TunnResult::Done => (None, None),
            // What is in it is checked only after it has been found to be the peer's.
            TunnResult::Err(WireGuardError::InvalidPacket) => (None, Some(Reason::NotIp)),
            TunnResult::Err(error) => {
                let why = match error {
                    WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => {
                        Reason::Replayed
                    }
                    WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => {
                        self.stray(from, now);
                        return None;
                    }
                    _ => Reason::Forged,
                };
                self.refuse(from, why, now);
                return None;
            }
            TunnResult::WriteToNetwork(_) => return None,
        };
        let completed = link.heard(session);
        let key = link.key;
        peer.received.add(datagram.len());
        if completed {
            peer.handshake = Some(now);
            self.events.push(Event::Handshake { peer: key });
        }
        self.at(number, from);
        if completed {
            self.send_waiting(number, now);
        }
        if let Some(why) = why {
            self.refuse(from, why, now);
        }
        self.admit(number, from, class, room.get_mut(..length?)?, now)
    }

    /// Looks at a packet that a peer has sent: it has to be from the peer's own addresses.
    fn admit(
        &mut self,
        number: PeerNumber,
        from: SocketAddr,
        class: u8,
        packet: &mut [u8],
        now: Instant,
    ) -> Option<Opened> {
        let Some(inner) = Inner::read(packet) else {
            self.refuse(from, Reason::NotIp, now);
            return None;
        };
        if !self.is_from(number, inner.source) {
            self.refuse(from, Reason::ForeignSource, now);
            return None;
        }
        // Hops are the inside's own: WireGuard is one hop, however long.
        if outer::to_inner(packet, u8::MAX, class).is_err() {
            self.drops.add(Reason::Congested, 1);
            return None;
        }
        Some(Opened { inner })
    }

    fn is_from(&mut self, number: PeerNumber, source: IpAddr) -> bool {
        let known = self.peers.get(number).and_then(|peer| peer.source);
        if known == Some(source) {
            return true;
        }
        let own = self.route(source) == Some(number);
        if let (true, Some(peer)) = (own, self.peers.get_mut(number)) {
            peer.source = Some(source);
        }
        own
    }

    fn plain(
        &mut self,
        from: SocketAddr,
        class: u8,
        datagram: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<Opened> {
        let Some(&number) = self.plain.get(&from) else {
            self.refuse(from, Reason::Malformed, now);
            return None;
        };
        let packet = room.get_mut(..datagram.len())?;
        packet.copy_from_slice(datagram);
        self.peers.get_mut(number)?.received.add(datagram.len());
        self.admit(number, from, class, packet, now)
    }

    /// A packet of a session that we do not know. If it is from where a peer is, one of us has forgotten the other:
    /// a handshake now is better than one after its timers.
    fn stray(&mut self, from: SocketAddr, now: Instant) {
        self.refuse(from, Reason::UnknownSession, now);
        if !self.strays.take(now) {
            return;
        }
        let here = |peer: &super::PeerState| peer.endpoint == Some(from) && !peer.is_plain();
        if let Some(number) = self.peers.iter().position(here)
            && let Some(peer) = self.peers.get_mut(number)
        {
            let messages = peer.hunt(now);
            self.say(number, messages, now);
        }
    }

    fn initiation(&mut self, from: SocketAddr, message: &[u8], room: &mut [u8], now: Instant) {
        let mut found = None;
        for identity in &self.identities {
            match identity
                .strict
                .verify_packet(Some(from.ip()), message, room)
            {
                Ok(Packet::HandshakeInit(init)) => {
                    let (secret, public) = (identity.secret.secret(), identity.public.point());
                    found = Some((
                        identity.public,
                        parse_handshake_anon(&secret, &public, &init),
                    ));
                    break;
                }
                Err(TunnResult::WriteToNetwork(cookie)) => {
                    self.outgoing.push(Datagram {
                        to: from,
                        class: URGENT,
                        bytes: cookie.to_vec(),
                    });
                    return self.refuse(from, Reason::Cookie, now);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let Some((identity, half)) = found else {
            return self.refuse(from, Reason::UnknownIdentity, now);
        };
        let Ok(half) = half else {
            return self.refuse(from, Reason::BadHandshake, now);
        };
        let key = crate::key::PublicKey::from_bytes(half.peer_static_public);
        let number = self.keys.get(&key).copied();
        let Some((number, peer)) = number.and_then(|n| Some((n, self.peers.get_mut(n)?))) else {
            return self.refuse(from, Reason::UnknownKey, now);
        };
        let pair = |link: &&mut super::Link| link.identity == identity && link.key == key;
        let Some(link) = peer.links.iter_mut().find(pair) else {
            return self.refuse(from, Reason::UnknownKey, now);
        };
        let answer = match link.take(message, room) {
            TunnResult::WriteToNetwork(answer) => answer.to_vec(),
            TunnResult::Err(WireGuardError::WrongTai64nTimestamp) => {
                return self.refuse(from, Reason::OldHandshake, now);
            }
            _ => return self.refuse(from, Reason::BadHandshake, now),
        };
        let index = answer.get(4..8).and_then(|index| index.first_chunk());
        link.has_offered(index.map(|index| u32::from_le_bytes(*index)));
        peer.received.add(message.len());
        self.at(number, from);
        self.say(number, vec![answer], now);
    }

    fn response(
        &mut self,
        from: SocketAddr,
        session: u32,
        message: &[u8],
        room: &mut [u8],
        now: Instant,
    ) {
        let Some(&(number, place)) = self.links.get(&link_of(session)) else {
            return self.refuse(from, Reason::BadHandshake, now);
        };
        let Some(link) = self
            .peers
            .get_mut(number)
            .and_then(|peer| peer.links.get_mut(place))
        else {
            return;
        };
        let own = |identity: &&super::Identity| identity.public == link.identity;
        let Some(identity) = self.identities.iter().find(own) else {
            return;
        };
        match identity
            .strict
            .verify_packet(Some(from.ip()), message, room)
        {
            Ok(_) => {}
            Err(TunnResult::WriteToNetwork(cookie)) => {
                self.outgoing.push(Datagram {
                    to: from,
                    class: URGENT,
                    bytes: cookie.to_vec(),
                });
                return self.refuse(from, Reason::Cookie, now);
            }
            Err(_) => return self.refuse(from, Reason::BadHandshake, now),
        }
        let confirmation = match link.take(message, room) {
            TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
            _ => return self.refuse(from, Reason::BadHandshake, now),
        };
        link.completed();
        let key = link.key;
        if let Some(peer) = self.peers.get_mut(number) {
            peer.handshake = Some(now);
            peer.received.add(message.len());
        }
        self.events.push(Event::Handshake { peer: key });
        self.at(number, from);
        self.say(number, vec![confirmation], now);
        self.send_waiting(number, now);
    }

    fn cookie(
        &mut self,
        from: SocketAddr,
        session: u32,
        message: &[u8],
        room: &mut [u8],
        now: Instant,
    ) {
        let link = self.links.get(&link_of(session)).copied();
        let link = link.and_then(|(number, place)| {
            let peer = self.peers.get_mut(number)?;
            peer.links.get_mut(place)
        });
        let taken = link.map(|link| link.take(message, room));
        if !matches!(taken, Some(TunnResult::Done)) {
            self.refuse(from, Reason::BadHandshake, now);
        }
    }

    /// A peer's good message has come from there.
    fn at(&mut self, number: PeerNumber, from: SocketAddr) {
        let Some(peer) = self.peers.get_mut(number) else {
            return;
        };
        if peer.endpoint == Some(from) || (!peer.wanted.roam && peer.endpoint.is_some()) {
            return;
        }
        let event = Event::Roamed {
            peer: *peer
                .wanted
                .keys
                .first()
                .unwrap_or(&crate::key::PublicKey::from_bytes([0; 32])),
            from: peer.endpoint,
            to: from,
        };
        peer.endpoint = Some(from);
        self.events.push(event);
    }
}
