//! The device on the inside: IP packets of the kernel, or frames of a switch.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use offload::coalesce::Coalescer;
use offload::packet::Inner;
use offload::segment;
use offload::tun::{Layer, Queue};
use offload::vnet::{Gso, Vnet};

use super::link;
use crate::device::Attach;
use crate::error::Error;
use crate::ethernet::{Frame, Wire};

/// Makes one flow's packets find each other; that others can guess it does no harm here.
const SEED: u64 = 0x7761_7967;

/// What was read.
pub(crate) enum Read {
    /// Nothing waits.
    Empty,
    /// Something that was seen to, or that no peer has to see.
    Other,
    /// A packet, and how it is to be cut.
    Packet(Vnet, Range<usize>),
}

pub(crate) struct Inside {
    queue: Queue,
    wire: Option<Wire>,
    coalescer: Coalescer,
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Inside {
    pub(crate) fn open(attach: &Attach, mtu: u16) -> Result<Self, Error> {
        let (name, layer, wire) = match attach {
            Attach::Tun { name } => (name, Layer::Ip, None),
            Attach::Tap {
                name, mac, inside, ..
            } => {
                let (mac, inside) = (*mac, *inside);
                (name, Layer::Ethernet, Some(Wire { mac, inside }))
            }
        };
        let queue = Queue::open(name, layer)?;
        if let Attach::Tap { stays: true, .. } = attach
            && let Err(error) = queue.keep()
        {
            tracing::warn!(%error, name, "the tap goes when this process does");
        }
        if layer == Layer::Ethernet {
            // Best effort: the kernel need not speak on a port that is a switch's.
            let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            drop(std::fs::write(path, "1"));
        }
        link::bring_up(name, mtu)?;
        Ok(Self {
            coalescer: Coalescer::new(queue.udp_offload),
            queue,
            wire,
        })
    }

    /// Reads what waits next into `buffer`.
    pub(crate) fn read(&self, buffer: &mut [u8], is_peers: impl Fn(IpAddr) -> bool) -> Read {
        let (vnet, length) = match self.queue.read(buffer) {
            Ok(Some(read)) => read,
            Ok(None) | Err(_) => return Read::Empty,
        };
        let Some(frame) = buffer.get_mut(..length) else {
            return Read::Other;
        };
        if vnet.gso == Gso::None
            && let Some(checksum) = vnet.checksum
            && segment::complete_checksum(frame, checksum).is_none()
        {
            return Read::Other;
        }
        let Some(wire) = &self.wire else {
            return Read::Packet(vnet, 0..length);
        };
        match wire.look(frame, is_peers) {
            Frame::Packet(place) => Read::Packet(vnet, place),
            Frame::Answer(answer) => {
                let whole = 0..answer.len();
                drop(self.queue.write(Vnet::default(), &answer, &[whole]));
                Read::Other
            }
            Frame::Nothing => Read::Other,
        }
    }

    /// Hands one packet over at once.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        let Some(wire) = &self.wire else {
            let whole = 0..packet.len();
            return self.queue.write(Vnet::default(), packet, &[whole]);
        };
        match wire.header(packet) {
            Some(header) => self.queue.write_frame(header, packet),
            None => Ok(()),
        }
    }

    /// Takes a packet that [`Inside::flush`] hands over. `buffer` must stay as it is until then.
    pub(crate) fn push(&mut self, buffer: &[u8], place: Range<usize>, inner: &Inner) {
        let packet = buffer.get(place.clone()).unwrap_or_default();
        let flow = inner.flow(packet, SEED);
        self.coalescer.push(buffer, place, inner, flow);
    }

    /// Hands over all that was pushed. Returns how many packets the kernel refused, and why the last of them.
    pub(crate) fn flush(&mut self, buffer: &mut [u8]) -> (u64, Option<io::Error>) {
        let mut refused = (0, None);
        let Self {
            queue, coalescer, ..
        } = self;
        coalescer.flush(buffer, |buffer, vnet, pieces| {
            if let Err(error) = queue.write(vnet, buffer, pieces) {
                refused = (refused.0 + pieces.len() as u64, Some(error));
            }
        });
        refused
    }

    /// Whether packets are handed over each by itself, as a switch needs them.
    pub(crate) fn is_frames(&self) -> bool {
        self.wire.is_some()
    }
}
