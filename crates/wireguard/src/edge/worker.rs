//! The device's thread: waits for packets and for what it is told, and carries both out.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use offload::outbox::{Buffer, Outbox, Part, Way};
use offload::oversize;
use offload::packet::{self, Inner};
use offload::segment::Plan;
use offload::udp::{self, Received, SLOT, Socket};
use offload::vnet::{Gso, Vnet};
use tokio::sync::mpsc;

use super::inside::{Inside, Read};
use crate::core::{Core, PeerNumber, ROOM};
use crate::event::{Bucket, Event};
use crate::status::{Reason, Status};
use crate::wanted::{Contradiction, Wanted};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Packets that are read on the inside before the outside has its turn.
const READS: usize = 64;
/// Datagrams that are received at once, each maybe many in one.
const RECEIVES: usize = 16;
/// Behind a switch, the least time from one look at few packets to the next. Each look wakes the switch too, which
/// costs it more than what it then does for a packet; so a few at a time cost less, for a delay that no WAN shows.
/// (Network cards moderate their interrupts so, ethtool(8) `-C rx-usecs`.)
const REST: Duration = Duration::from_micros(400);
/// So many packets at a look are few.
const FEW: usize = 16;
/// Bytes that are encrypted before they are sent: what stays in the processor's cache.
const BATCH: usize = 4 * SLOT;
/// Bytes for one more packet as large as the kernel gives them, cut and encrypted.
const LARGEST: usize = 2 * SLOT;
/// Hops of our datagrams.
const HOPS: u8 = 64;
/// ICMP messages: at once, and how long until the next one.
const MESSAGES: u32 = 20;
const MESSAGE: Duration = Duration::from_millis(50);

/// What the thread is told.
pub(crate) enum Command {
    Set(Wanted, Sender<Result<(), Contradiction>>),
    Status(Sender<Status>),
    Subscribe(mpsc::Sender<Event>),
    Stop,
}

pub(crate) struct Worker {
    core: Core,
    mtu: usize,
    inside: Inside,
    socket: Socket,
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
    listeners: Vec<mpsc::Sender<Event>>,
    outbox: Outbox,
    read: Vec<u8>,
    /// Headers of packets that were cut.
    made: Vec<u8>,
    cuts: Vec<(Range<usize>, Range<usize>)>,
    sealed: Vec<u8>,
    used: usize,
    arrived: Vec<u8>,
    received: Vec<Received>,
    opened: Vec<u8>,
    messages: Bucket,
    complained: bool,
    inside_gone: bool,
    /// Packets of the last look.
    seen: usize,
}

impl Worker {
    pub(crate) fn new(
        core: Core,
        mtu: u16,
        inside: Inside,
        socket: Socket,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
    ) -> Self {
        Self {
            core,
            mtu: mtu.into(),
            inside,
            socket,
            commands,
            wake,
            listeners: Vec::new(),
            outbox: Outbox::default(),
            read: vec![0; SLOT + 64],
            made: Vec::new(),
            cuts: Vec::new(),
            sealed: vec![0; BATCH + LARGEST],
            used: 0,
            arrived: vec![0; RECEIVES * SLOT],
            received: Vec::new(),
            opened: vec![0; SLOT + 2 * ROOM],
            messages: Bucket::new(MESSAGES, MESSAGE, Instant::now()),
            complained: false,
            inside_gone: false,
            seen: 0,
        }
    }

    /// Runs until it is told to stop, or until nobody can tell it anything.
    pub(crate) fn run(mut self) {
        let mut ticked = Instant::now();
        let mut looked = ticked;
        loop {
            let [inside, outside, told] = self.wait();
            if !told && self.inside.is_frames() && self.seen < FEW {
                std::thread::sleep(REST.saturating_sub(looked.elapsed()));
            }
            let now = Instant::now();
            looked = now;
            self.seen = 0;
            if told {
                let _ = self.wake.read();
                if !self.obey(now) {
                    return;
                }
            }
            if outside {
                self.take_outside(now);
            }
            if inside {
                self.take_inside(now);
            }
            if now.saturating_duration_since(ticked) >= TICK {
                ticked = now;
                self.complained = false;
                self.core.tick(now);
                self.flush();
            }
            self.tell();
        }
    }

    /// Waits until something is there: inside, outside, a command.
    fn wait(&mut self) -> [bool; 3] {
        let fds = [self.inside.as_fd(), self.socket.as_fd(), self.wake.as_fd()];
        let mut waited = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if self.inside_gone {
            // What is gone is always ready, which would not let us sleep.
            waited[0] = PollFd::new(self.wake.as_fd(), PollFlags::empty());
        }
        let timeout = PollTimeout::from(TICK.as_millis() as u16);
        if let Err(error) = poll(&mut waited, timeout)
            && error != nix::Error::EINTR
        {
            tracing::warn!(%error, "cannot wait for packets");
            std::thread::sleep(TICK);
        }
        let seen = waited.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        if seen[0].intersects(PollFlags::POLLERR | PollFlags::POLLNVAL) {
            tracing::error!(
                "the device has been removed; packets go nowhere until it is opened again"
            );
            self.inside_gone = true;
        }
        seen.map(|flags| !flags.is_empty())
    }

    /// Does what it was told. False if it shall stop.
    fn obey(&mut self, now: Instant) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Set(wanted, done)) => {
                    let result = self.core.set(wanted, now);
                    self.flush();
                    drop(done.send(result));
                }
                Ok(Command::Status(reply)) => drop(reply.send(self.core.status(now))),
                Ok(Command::Subscribe(listener)) => self.listeners.push(listener),
                Ok(Command::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    return false;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
            }
        }
    }

    fn tell(&mut self) {
        for event in self.core.take_events() {
            // Who does not listen fast enough misses some.
            self.listeners.retain(|listener| {
                !matches!(
                    listener.try_send(event.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
        }
    }

    fn take_inside(&mut self, now: Instant) {
        for _ in 0..READS {
            let core = &self.core;
            match self
                .inside
                .read(&mut self.read, |address| core.is_allowed(address))
            {
                Read::Empty => break,
                Read::Other => {}
                Read::Packet(vnet, place) => {
                    self.seen += 1;
                    self.outbound(vnet, place, now);
                }
            }
            if self.used >= BATCH {
                self.flush();
            }
        }
        self.flush();
    }

    fn outbound(&mut self, vnet: Vnet, place: Range<usize>, now: Instant) {
        let read = std::mem::take(&mut self.read);
        let packet = read.get(place).unwrap_or_default();
        match Inner::read(packet) {
            Some(inner) => match self.core.route(inner.destination) {
                Some(peer) => {
                    let packet = packet.get(..inner.total).unwrap_or_default();
                    self.cut_for(peer, vnet, packet, &inner, now);
                }
                None => self.core.dropped(Reason::NoPeer, 1),
            },
            None => self.core.dropped(Reason::NotForUs, 1),
        }
        self.read = read;
    }

    /// Cuts a packet into what fits, and encrypts each piece.
    fn cut_for(
        &mut self,
        peer: PeerNumber,
        vnet: Vnet,
        packet: &[u8],
        inner: &Inner,
        now: Instant,
    ) {
        let class = packet::traffic_class(packet) & 3;
        let mut cuts = std::mem::take(&mut self.cuts);
        let mut made = std::mem::take(&mut self.made);
        cuts.clear();
        made.clear();
        let mut add = |head, tail| cuts.push((head, tail));
        let fits = if vnet.gso != Gso::None {
            let plan = Plan::new(packet, inner, vnet.gso, vnet.size.into());
            match plan.and_then(|plan| plan.within(self.mtu)) {
                Some(plan) => {
                    plan.cut(packet, inner, &[], &mut made, add);
                    true
                }
                None => false,
            }
        } else if inner.total > self.mtu {
            oversize::fragment(packet, inner, self.mtu, &[], &mut made, &mut add)
        } else {
            add(0..0, 0..packet.len());
            true
        };
        if fits {
            for (head, tail) in &cuts {
                let head = made.get(head.clone()).unwrap_or_default();
                let tail = packet.get(tail.clone()).unwrap_or_default();
                let room = self.sealed.get_mut(self.used..).unwrap_or_default();
                if let Some((length, to)) = self.core.seal(peer, [head, tail], room, now) {
                    self.send(to, class, length);
                }
            }
        } else {
            self.refuse(packet, inner, now);
        }
        self.cuts = cuts;
        self.made = made;
    }

    /// Adds the next bytes of `sealed` to what will be sent.
    fn send(&mut self, to: SocketAddr, class: u8, length: usize) {
        if to.is_ipv4() != self.socket.is_ipv4() {
            return self.core.dropped(Reason::NoEndpoint, 1);
        }
        let way = Way {
            to,
            socket: 0,
            ttl: HOPS,
            class,
        };
        let place = self.used..self.used + length;
        let part = |place| Part {
            buffer: Buffer::Made,
            place,
        };
        self.outbox
            .add(way, [part(place.clone()), part(place.end..place.end)]);
        self.used = place.end;
    }

    /// Tells the sender of a packet that it is too large.
    fn refuse(&mut self, packet: &[u8], inner: &Inner, now: Instant) {
        self.core.dropped(Reason::TooBig, 1);
        if !self.messages.take(now) {
            return;
        }
        if let Some(message) = oversize::too_big(packet, inner, self.mtu) {
            drop(self.inside.write(&message));
        }
    }

    fn take_outside(&mut self, now: Instant) {
        let mut received = std::mem::take(&mut self.received);
        if let Err(error) = udp::receive(&self.socket, &mut self.arrived, &mut received) {
            self.complain("receive from peers", &error);
        }
        let mut used = 0;
        self.seen += received.len();
        for datagrams in &received {
            let mut at = datagrams.place.start;
            while at < datagrams.place.end {
                let end = (at + datagrams.size).min(datagrams.place.end);
                if self.opened.len() < used + (end - at) + ROOM {
                    self.hand_over();
                    used = 0;
                }
                let datagram = self.arrived.get(at..end).unwrap_or_default();
                let room = self.opened.get_mut(used..).unwrap_or_default();
                let (from, class) = (datagrams.from, datagrams.class);
                if let Some(opened) = self.core.open(from, class, datagram, room, now) {
                    let place = used..used + opened.inner.total;
                    used = place.end;
                    self.deliver(place, &opened.inner);
                }
                at = end;
            }
        }
        self.received = received;
        self.hand_over();
        self.flush();
    }

    fn deliver(&mut self, place: Range<usize>, inner: &Inner) {
        if !self.inside.is_frames() {
            return self.inside.push(&self.opened, place, inner);
        }
        let packet = self.opened.get(place).unwrap_or_default();
        if let Err(error) = self.inside.write(packet) {
            self.core.dropped(Reason::Inside, 1);
            self.complain("hand a packet to the device", &error);
        }
    }

    fn hand_over(&mut self) {
        let (count, error) = self.inside.flush(&mut self.opened);
        self.core.dropped(Reason::Inside, count);
        if let Some(error) = error {
            self.complain("hand a packet to the device", &error);
        }
    }

    /// Sends all that waits, what the device itself has to say too.
    fn flush(&mut self) {
        for datagram in self.core.take_outgoing() {
            let length = datagram.bytes.len();
            if self.sealed.len() < self.used + length {
                self.send_all();
            }
            if let Some(place) = self.sealed.get_mut(self.used..self.used + length) {
                place.copy_from_slice(&datagram.bytes);
                self.send(datagram.to, datagram.class, length);
            }
        }
        self.send_all();
    }

    fn send_all(&mut self) {
        if !self.outbox.is_empty() {
            let sockets = std::slice::from_ref(&self.socket);
            let (count, error) = self.outbox.flush(sockets, [&[], &self.sealed, &[]]);
            self.core.dropped(Reason::Underlay, count as u64);
            if let Some(error) = error {
                self.complain("send to a peer", &error);
            }
        }
        self.used = 0;
    }

    /// One line a tick at most: every packet may fail for the same reason.
    fn complain(&mut self, what: &str, error: &std::io::Error) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(%error, "cannot {what}");
        }
    }
}
