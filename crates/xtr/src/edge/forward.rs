//! The way of a packet, both directions: tables and rules of [`crate::data`] on the buffers and sockets
//! of one worker.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use lisp::DataHeader;
use lisp::data::{DataFlags, HEADER_LEN, NextProtocol};

use super::hooks::{Hooks, Port, Settings};
use crate::data::counters::{Count, Counters};
use crate::data::table::{Presence, Route, Tables};
use offload::coalesce::{Coalescer, Taken};
use offload::outbox::{Buffer, Outbox, Part, Way};
use offload::outer::{self, Refused};
use offload::oversize;
use offload::packet::{self, Inner};
use offload::segment::{self, Plan};
use offload::udp::{self, Received, SLOT, Socket};
use offload::vnet::{Gso, Vnet};

/// Packets that are read from a TUN before they are sent.
const READS: usize = 64;
/// Bytes for them: most packets are small or few.
const READ_BYTES: usize = 8 * SLOT;
/// Datagrams that are received at once, each maybe many in one.
const RECEIVES: usize = 16;
/// Destinations that a worker remembers.
const REMEMBERED: usize = 1024;
/// ICMP messages between two refills, which happen once in a call of [`Forwarder::tick`].
const ICMP_BURST: u32 = 100;
/// Packets between two refills of which control is told, since it does one thing at a time for all
/// workers: without a mapping, and for an endpoint that has left.
const MISS_BURST: u32 = 20_000;
const LATE_BURST: u32 = 2_000;

#[derive(Clone, Debug)]
struct Remembered {
    epoch: u64,
    instance: u32,
    address: IpAddr,
    route: Option<Route>,
    own: Option<Presence>,
}

/// One worker's state.
pub struct Forwarder {
    settings: Settings,
    tables: Arc<Tables>,
    hooks: Arc<dyn Hooks>,
    counters: Arc<Counters>,
    sockets: Vec<Socket>,
    ports: Vec<Port>,
    coalescers: Vec<Coalescer>,
    outbox: Outbox,
    received: Vec<Received>,
    read: Vec<u8>,
    made: Vec<u8>,
    arrived: Vec<u8>,
    remembered: Vec<Option<Remembered>>,
    changes: u64,
    icmp: u32,
    misses: u32,
    lates: u32,
    complained: bool,
}

/// A packet and where it is.
struct Subject {
    instance: u32,
    buffer: Buffer,
    place: Range<usize>,
    inner: Inner,
    flow: u64,
}

impl Forwarder {
    /// Sends through `sockets`, hands over through `ports`.
    pub fn new(
        settings: Settings,
        tables: Arc<Tables>,
        hooks: Arc<dyn Hooks>,
        counters: Arc<Counters>,
        sockets: Vec<Socket>,
        ports: Vec<Port>,
    ) -> Self {
        let coalescers = ports
            .iter()
            .map(|port| Coalescer::new(port.queue.udp_offload));
        Self {
            coalescers: coalescers.collect(),
            settings,
            tables,
            hooks,
            counters,
            sockets,
            ports,
            outbox: Outbox::default(),
            received: Vec::new(),
            read: vec![0; READ_BYTES],
            made: Vec::with_capacity(SLOT),
            arrived: vec![0; RECEIVES * SLOT],
            remembered: vec![None; REMEMBERED],
            changes: 0,
            icmp: ICMP_BURST,
            misses: MISS_BURST,
            lates: LATE_BURST,
            complained: false,
        }
    }

    /// The ports, to be waited for.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Call it about once a second.
    pub fn tick(&mut self) {
        self.icmp = ICMP_BURST;
        self.misses = MISS_BURST;
        self.lates = LATE_BURST;
        self.complained = false;
    }

    /// Takes what waits in a port's TUN. True if more may wait.
    pub fn from_tun(&mut self, port: usize) -> bool {
        let mut at = 0;
        let mut more = true;
        for _ in 0..READS {
            let Some(port) = self.ports.get(port) else {
                return false;
            };
            // A place for the data header is left before each packet, so that packets of one flow lie
            // as they are sent.
            let start = at + HEADER_LEN;
            let Some(room) = self.read.get_mut(start..start + SLOT) else {
                break;
            };
            let (vnet, length) = match port.queue.read(room) {
                Ok(Some(read)) => read,
                Ok(None) | Err(_) => {
                    more = false;
                    break;
                }
            };
            let instance = port.instance;
            self.outbound(instance, Buffer::Read, start..start + length, vnet);
            at = start + length;
        }
        self.flush();
        more
    }

    /// Takes what waits in a socket of the data port. True if more may wait.
    pub fn from_locators(&mut self, socket: &Socket) -> bool {
        let mut received = std::mem::take(&mut self.received);
        if let Err(error) = udp::receive(socket, &mut self.arrived, &mut received) {
            self.complain("receive from locators", &error);
        }
        for datagram in &received {
            let mut at = datagram.place.start;
            while at < datagram.place.end {
                let end = (at + datagram.size).min(datagram.place.end);
                self.inbound(at..end, datagram);
                at = end;
            }
        }
        let more = received.len() == RECEIVES;
        self.received = received;
        self.flush();
        more
    }

    /// Sends a packet that has waited, as it was read from the TUN.
    pub fn resume(&mut self, instance: u32, vnet: Vnet, packet: &[u8]) {
        let place = HEADER_LEN..HEADER_LEN + packet.len();
        if let Some(room) = self.read.get_mut(place.clone()) {
            room.copy_from_slice(packet);
            self.outbound(instance, Buffer::Read, place, vnet);
            self.flush();
        }
    }

    fn buffer(&mut self, which: Buffer) -> &mut [u8] {
        match which {
            Buffer::Read => &mut self.read,
            Buffer::Made => &mut self.made,
            Buffer::Received => &mut self.arrived,
        }
    }

    /// What is known of an address.
    fn known(&mut self, instance: u32, address: IpAddr) -> (Option<Route>, Option<Presence>) {
        let changes = self.tables.changes();
        let key = match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                (bits >> 64) as u64 ^ bits as u64
            }
        };
        let slot = packet::mix(u64::from(instance), key) as usize % REMEMBERED;
        if let Some(Some(known)) = self.remembered.get(slot)
            && known.epoch == changes
            && known.address == address
            && known.instance == instance
        {
            return (known.route.clone(), known.own);
        }
        let route = self.tables.route(instance, address);
        let own = self.tables.own(instance, address);
        if let Some(place) = self.remembered.get_mut(slot) {
            *place = Some(Remembered {
                epoch: changes,
                instance,
                address,
                route: route.clone(),
                own,
            });
        }
        self.changes = changes;
        (route, own)
    }

    /// Encapsulates a packet and adds it to what will be sent.
    fn outbound(&mut self, instance: u32, buffer: Buffer, place: Range<usize>, vnet: Vnet) {
        let seed = self.settings.seed;
        let counters = Arc::clone(&self.counters);
        let Some(packet) = self.buffer(buffer).get_mut(place.clone()) else {
            return;
        };
        let Some(inner) = Inner::read(packet) else {
            return counters.count(Count::DropMalformed);
        };
        if packet::ttl(packet) == 0 {
            return counters.count(Count::DropTtl);
        }
        if vnet.gso == Gso::None
            && let Some(checksum) = vnet.checksum
            && segment::complete_checksum(packet, checksum).is_none()
        {
            return counters.count(Count::DropMalformed);
        }
        if !inner.is_for_one() {
            return counters.count(Count::DropNotUnicast);
        }
        let flow = inner.flow(packet, seed);
        let place = place.start..place.start + inner.total;
        let subject = Subject {
            instance,
            buffer,
            place,
            inner,
            flow,
        };
        let (route, _) = self.known(instance, inner.destination);
        let choice = match route {
            Some(Route::To(choice)) => choice,
            Some(Route::Native | Route::Negative) => return counters.count(Count::DropNegative),
            Some(Route::Unreachable) => return counters.count(Count::DropNoLocator),
            None | Some(Route::Unknown | Route::Asked) => {
                let Some(left) = self.misses.checked_sub(1) else {
                    return counters.count(Count::DropQueue);
                };
                self.misses = left;
                let hooks = Arc::clone(&self.hooks);
                let packet = self.buffer(buffer).get(subject.place).unwrap_or_default();
                // Its checksum is complete now, unless it is still to be cut.
                let checksum = vnet.checksum.filter(|_| vnet.gso != Gso::None);
                let vnet = Vnet { checksum, ..vnet };
                return counters.count(match hooks.missed(instance, vnet, packet, &inner) {
                    true => Count::Waiting,
                    false => Count::DropQueue,
                });
            }
        };
        match choice.pick(flow) {
            Some(to) => self.encapsulate(&subject, vnet, to),
            None => counters.count(Count::DropNoLocator),
        }
    }

    fn encapsulate(&mut self, subject: &Subject, vnet: Vnet, to: SocketAddr) {
        let inner = &subject.inner;
        let v4 = self.settings.v4_sockets;
        let (sockets, first, outer_header) = match to {
            SocketAddr::V4(_) => (v4, 0, 28),
            SocketAddr::V6(_) => (self.sockets.len().saturating_sub(v4), v4, 48),
        };
        if sockets == 0 {
            return self.counters.count(Count::DropNoLocator);
        }
        let limit = self
            .settings
            .underlay_mtu
            .saturating_sub(outer_header + HEADER_LEN);
        let mut header = DataHeader::new();
        if subject.instance != 0 {
            header = header.with_instance(subject.instance);
        }
        if let Some(bits) = self.settings.status {
            header = header.with_status(bits);
        }
        let prefix = header.to_bytes();
        let Self {
            outbox,
            made,
            read,
            arrived,
            counters,
            ..
        } = self;
        let whole = match subject.buffer {
            Buffer::Read => read,
            Buffer::Received => arrived,
            Buffer::Made => return,
        };
        let Some(packet) = whole.get(subject.place.clone()) else {
            return;
        };
        let (ttl, class) = outer::to_outer(packet);
        let way = Way {
            to,
            socket: first + (subject.flow as u32 as usize) % sockets,
            ttl,
            class,
        };
        let start = subject.place.start;
        let mut pieces = 0;
        let mut bytes = 0;
        let mut add = |header: Range<usize>, payload: Range<usize>| {
            pieces += 1;
            bytes += header.len() + payload.len() - HEADER_LEN;
            let header = Part {
                buffer: Buffer::Made,
                place: header,
            };
            let payload = Part {
                buffer: subject.buffer,
                place: start + payload.start..start + payload.end,
            };
            outbox.add(way, [header, payload]);
        };
        if vnet.gso != Gso::None {
            let Some(plan) = Plan::new(packet, inner, vnet.gso, vnet.size.into()) else {
                return counters.count(Count::DropMalformed);
            };
            let plan = match plan.within(limit) {
                Some(plan) if plan.largest() <= limit && !inner.dont_fragment => plan,
                _ if plan.largest() <= limit => plan,
                _ => return self.refuse(subject, limit),
            };
            plan.cut(packet, inner, &prefix, made, add);
        } else if inner.total > limit {
            if !oversize::fragment(packet, inner, limit, &prefix, made, &mut add) {
                return self.refuse(subject, limit);
            }
            counters.count(Count::Fragmented);
        } else {
            let Some(place) = whole.get_mut(start - HEADER_LEN..start) else {
                return;
            };
            place.copy_from_slice(&prefix);
            pieces = 1;
            bytes = inner.total;
            let part = |place| Part {
                buffer: subject.buffer,
                place,
            };
            let end = subject.place.end;
            outbox.add(way, [part(start - HEADER_LEN..start), part(start..end)]);
        }
        counters.add(Count::Encapsulated, pieces);
        counters.add(Count::EncapsulatedBytes, bytes as u64);
    }

    /// Tells the sender of a packet that it is too large.
    fn refuse(&mut self, subject: &Subject, limit: usize) {
        self.counters.count(Count::DropTooBig);
        if self.icmp == 0 {
            return;
        }
        let packet = self.buffer(subject.buffer).get(subject.place.clone());
        let message = oversize::too_big(packet.unwrap_or_default(), &subject.inner, limit);
        let port = self
            .ports
            .iter()
            .find(|port| port.instance == subject.instance);
        if let (Some(message), Some(port)) = (message, port) {
            self.icmp -= 1;
            let whole = 0..message.len();
            if port
                .queue
                .write(Vnet::default(), &message, &[whole])
                .is_ok()
            {
                self.counters.count(Count::TooBig);
            }
        }
    }

    /// Takes one datagram from a locator.
    fn inbound(&mut self, place: Range<usize>, datagram: &Received) {
        let counters = Arc::clone(&self.counters);
        let bytes = self.arrived.get(place.clone()).unwrap_or_default();
        let Ok((header, _)) = DataHeader::decode(bytes) else {
            return counters.count(Count::DropMalformed);
        };
        let carries_ip = match header.protocol() {
            None | Some(NextProtocol::Ipv4 | NextProtocol::Ipv6) => true,
            Some(_) => false,
        };
        if header.key_id() != 0 || !carries_ip {
            return counters.count(Count::DropHeader);
        }
        let instance = header.instance().unwrap_or(0);
        let Some(port) = self.ports.iter().position(|port| port.instance == instance) else {
            return counters.count(Count::DropInstance);
        };
        if header.flags().contains(DataFlags::STATUS)
            && let Some((bits, _)) = header.status()
        {
            self.hooks.status(datagram.from.ip(), bits);
        }
        let start = place.start + HEADER_LEN;
        let Some(packet) = self.arrived.get_mut(start..place.end) else {
            return counters.count(Count::DropMalformed);
        };
        let Some(inner) = Inner::read(packet) else {
            return counters.count(Count::DropMalformed);
        };
        match outer::to_inner(packet, datagram.ttl, datagram.class) {
            Ok(()) => {}
            Err(Refused::Congested) => return counters.count(Count::DropEcn),
            Err(Refused::Ttl) => return counters.count(Count::DropTtl),
        }
        let place = start..start + inner.total;
        let flow = inner.flow(packet, self.settings.seed);
        match self.known(instance, inner.destination).1 {
            Some(Presence::Here) => {}
            Some(Presence::Left) => {
                self.tell_late(instance, &inner, datagram.from.ip());
                return self.pass_on(instance, place);
            }
            Some(Presence::Fenced) => {
                self.tell_late(instance, &inner, datagram.from.ip());
                return counters.count(Count::DropFenced);
            }
            None if self.settings.takes_all => {}
            None => return counters.count(Count::DropNotOurs),
        }
        counters.count(Count::Decapsulated);
        counters.add(Count::DecapsulatedBytes, inner.total as u64);
        if let Some(coalescer) = self.coalescers.get_mut(port) {
            match coalescer.push(&self.arrived, place, &inner, flow) {
                Taken::New => {}
                Taken::Joined => counters.count(Count::Coalesced),
                Taken::Damaged => counters.count(Count::ChecksumWrong),
            }
        }
    }

    fn tell_late(&mut self, instance: u32, inner: &Inner, from: IpAddr) {
        if let Some(left) = self.lates.checked_sub(1) {
            self.lates = left;
            self.hooks.late(instance, inner, from);
        }
    }

    /// Sends a packet that came from a locator on to the endpoint's new place.
    fn pass_on(&mut self, instance: u32, place: Range<usize>) {
        let Some(packet) = self.arrived.get_mut(place.clone()) else {
            return;
        };
        if outer::one_hop_less(packet).is_err() {
            return self.counters.count(Count::DropTtl);
        }
        self.counters.count(Count::Forwarded);
        self.outbound(instance, Buffer::Received, place, Vnet::default());
    }

    /// Sends and hands over all that waits.
    fn flush(&mut self) {
        let Self {
            coalescers,
            ports,
            arrived,
            counters,
            ..
        } = self;
        let mut refused = None;
        for (coalescer, port) in coalescers.iter_mut().zip(ports.iter()) {
            if coalescer.is_empty() {
                continue;
            }
            coalescer.flush(arrived, |buffer, vnet, pieces| {
                if let Err(error) = port.queue.write(vnet, buffer, pieces) {
                    counters.add(Count::DropTun, pieces.len() as u64);
                    refused = Some(error);
                }
            });
        }
        if let Some(error) = refused {
            self.complain("hand a packet to the TUN", &error);
        }
        if !self.outbox.is_empty() {
            let buffers = [&*self.read, &*self.made, &*self.arrived];
            let (count, error) = self.outbox.flush(&self.sockets, buffers);
            self.counters.add(Count::DropUnderlay, count as u64);
            if let Some(error) = error {
                self.complain("send to a locator", &error);
            }
        }
        self.made.clear();
    }

    /// One line a tick at most: every packet may fail for the same reason.
    fn complain(&mut self, what: &str, error: &std::io::Error) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(%error, "cannot {what}");
        }
    }
}
