//! Ethernet frames on a port's interface: watch what goes to the guest, put frames in its queue.
//!
//! All of it is AF_PACKET (packet(7)). What the switch gives to a guest *leaves* the host through
//! the tap, so the kernel calls it outgoing; what the guest sends comes in. A frame put on the tap
//! here joins the end of the guest's queue and is not seen by the switch.

use crate::error::{Error, Result};
use crate::netlink::Netlink;
use crate::netns::Netns;
use model::Mac;
use nix::sys::socket::sockopt;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Buffer of a capture, bytes; the kernel may give less to a user who is not root on the machine.
pub const CAPTURE_BUFFER: usize = 16 << 20;

/// A capture keeps at most this many bytes in memory; what comes later is counted and lost.
const MOST_KEPT: usize = 256 << 20;

/// Larger than any frame of an Ethernet with jumbo frames; taps here carry no offloads.
const LARGEST: usize = 16_384;

/// A packet socket bound to one interface.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: AsyncFd<OwnedFd>,
    ifname: String,
}

impl PacketSocket {
    /// Opens one that receives the frames which `filter` accepts, or none when there is no filter.
    pub(crate) async fn open(
        netns: &Netns,
        netlink: &Netlink,
        ifname: &str,
        filter: Option<Vec<libc::sock_filter>>,
        buffer: usize,
    ) -> Result<Self> {
        let index = netlink.need_link(ifname).await?.index;
        let name = ifname.to_owned();
        let fd = netns
            .run(move || raw_socket(index, filter.as_deref(), buffer))
            .await?
            .map_err(|source| Error::Packet {
                ifname: name,
                what: "open it",
                source,
            })?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: the descriptor is owned by the AsyncFd and so stays open as long as it is watched.
        let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(|error| {
            Error::Packet {
                ifname: ifname.to_owned(),
                what: "watch it",
                source: error.into(),
            }
        })?;
        Ok(Self {
            fd,
            ifname: ifname.to_owned(),
        })
    }

    /// The next frame; waits for it.
    pub(crate) async fn receive(&self) -> Result<Vec<u8>> {
        self.fd
            .async_io(Interest::READABLE, receive_now)
            .await
            .map_err(|source| self.failed("receive", source))
    }

    /// Sends one frame; waits while the socket's buffer is full.
    pub(crate) async fn send(&self, frame: &[u8]) -> Result<()> {
        self.fd
            .async_io(Interest::WRITABLE, |fd| {
                // SAFETY: pointer and length are the frame's.
                let sent = unsafe {
                    libc::send(
                        fd.as_raw_fd(),
                        frame.as_ptr().cast(),
                        frame.len(),
                        libc::MSG_DONTWAIT,
                    )
                };
                if sent < 0 {
                    Err(std::io::Error::last_os_error())
                } else {
                    Ok(())
                }
            })
            .await
            .map_err(|source| self.failed("send", source))
    }

    fn failed(&self, what: &'static str, source: std::io::Error) -> Error {
        Error::Packet {
            ifname: self.ifname.clone(),
            what,
            source,
        }
    }
}

fn receive_now(fd: &OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0u8; LARGEST];
    // SAFETY: pointer and length are the buffer's.
    let length = unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    };
    match usize::try_from(length) {
        Ok(length) => Ok(buffer[..length.min(buffer.len())].to_vec()),
        Err(_) => Err(std::io::Error::last_os_error()),
    }
}

fn raw_socket(
    index: u32,
    filter: Option<&[libc::sock_filter]>,
    buffer: usize,
) -> std::io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0 until the filter is in place: nothing unwanted gets into the buffer.
    // SAFETY: no pointers; the result is checked before it becomes an owned descriptor.
    let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if raw < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: just made, owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    if nix::sys::socket::setsockopt(&fd, sockopt::RcvBufForce, &buffer).is_err() {
        nix::sys::socket::setsockopt(&fd, sockopt::RcvBuf, &buffer)?;
    }
    if let Some(filter) = filter {
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).map_err(std::io::Error::other)?,
            filter: filter.as_ptr().cast_mut(),
        };
        // SAFETY: the program and its instructions outlive the call, which only reads them.
        let set = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        if set < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    // SAFETY: a sockaddr_ll of zeroes is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = i32::try_from(index).map_err(std::io::Error::other)?;
    address.sll_protocol = if filter.is_some() {
        (libc::ETH_P_ALL as u16).to_be()
    } else {
        0
    };
    // SAFETY: pointer and length are the address's.
    let bound = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(fd)
    }
}

/// Classic BPF (bpf in the kernel's Documentation/networking/filter.rst): frames that leave through
/// the interface for this Ethernet address or for a group.
fn to_guest(mac: Mac) -> Vec<libc::sock_filter> {
    let [a, b, c, d, e, f] = mac.0;
    vec![
        load_kind(),
        jump(libc::BPF_JEQ, u32::from(libc::PACKET_OUTGOING), 0, 7),
        load(libc::BPF_B, 0),
        jump(libc::BPF_JSET, 1, 4, 0),
        load(libc::BPF_W, 2),
        jump(libc::BPF_JEQ, u32::from_be_bytes([c, d, e, f]), 0, 3),
        load(libc::BPF_H, 0),
        jump(libc::BPF_JEQ, u32::from(u16::from_be_bytes([a, b])), 0, 1),
        accept(u32::MAX),
        accept(0),
    ]
}

/// Frames that come in from the guest.
pub(crate) fn from_guest() -> Vec<libc::sock_filter> {
    vec![
        load_kind(),
        jump(libc::BPF_JEQ, u32::from(libc::PACKET_OUTGOING), 1, 0),
        accept(u32::MAX),
        accept(0),
    ]
}

/// SKF_AD_OFF + SKF_AD_PKTTYPE: the kernel's own word about the direction of a frame.
const DIRECTION: u32 = 0xffff_f000 + 4;

fn load_kind() -> libc::sock_filter {
    load(libc::BPF_W, DIRECTION)
}

fn load(size: u32, at: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: (libc::BPF_LD | size | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: at,
    }
}

fn jump(test: u32, value: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: (libc::BPF_JMP | test | libc::BPF_K) as u16,
        jt: then,
        jf: otherwise,
        k: value,
    }
}

fn accept(bytes: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: bytes,
    }
}

/// A running capture of what the switch gives to a guest. Started before a flip, it lets an abort
/// replay what waits in the target's queue. It ends when it is dropped.
#[derive(Debug)]
pub struct Capture {
    socket: Arc<PacketSocket>,
    kept: Arc<Mutex<Kept>>,
    reader: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
    /// Where only the latest frames matter, how many bytes of them.
    latest: Option<usize>,
}

impl Kept {
    fn keep(&mut self, frame: Vec<u8>) {
        if self.latest.is_none() && self.bytes + frame.len() > MOST_KEPT {
            self.lost += 1;
            return;
        }
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.latest.is_some_and(|most| self.bytes > most)
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    fn read(&mut self, fd: &OwnedFd) -> std::io::Result<()> {
        loop {
            match receive_now(fd) {
                Ok(frame) => self.keep(frame),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Capture {
    /// Begins: from now on every frame to `mac`, or to a group, that leaves through the interface
    /// is kept.
    /// With `latest`, older frames are forgotten as soon as these many bytes of newer ones are there.
    pub async fn start(
        netns: &Netns,
        netlink: &Netlink,
        ifname: &str,
        mac: Mac,
        latest: Option<usize>,
    ) -> Result<Self> {
        let socket =
            PacketSocket::open(netns, netlink, ifname, Some(to_guest(mac)), CAPTURE_BUFFER).await?;
        let socket = Arc::new(socket);
        let kept = Arc::new(Mutex::new(Kept {
            latest,
            ..Kept::default()
        }));
        let reader = tokio::spawn({
            let (socket, kept) = (Arc::clone(&socket), Arc::clone(&kept));
            async move {
                loop {
                    let done = socket
                        .fd
                        .async_io(Interest::READABLE, |fd| {
                            kept.lock().unwrap_or_else(PoisonError::into_inner).read(fd)
                        })
                        .await;
                    if let Err(error) = done {
                        tracing::warn!(ifname = socket.ifname, %error, "capture ended");
                        return;
                    }
                }
            }
        });
        Ok(Self {
            socket,
            kept,
            reader,
        })
    }

    /// The frames since the start or the last call, in order. The capture goes on.
    pub fn take(&self) -> Vec<Vec<u8>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What the reader has not been woken for yet is in the socket; WouldBlock ends it.
        let _ = kept.read(self.socket.fd.get_ref());
        kept.bytes = 0;
        std::mem::take(&mut kept.frames).into()
    }

    /// Frames that were seen and could not be kept: over the limit here, or over the kernel's
    /// buffer.
    pub fn lost(&self) -> u64 {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: pointer and length are those of the value, which is plain integers.
        let got = unsafe {
            libc::getsockopt(
                self.socket.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if got == 0 {
            // The kernel's count begins anew with each question.
            kept.lost += u64::from(statistics.tp_drops);
        }
        kept.lost
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Puts frames at the end of the guest's queue, in order.
pub async fn inject<F: AsRef<[u8]>>(
    netns: &Netns,
    netlink: &Netlink,
    ifname: &str,
    frames: &[F],
) -> Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let socket = PacketSocket::open(netns, netlink, ifname, None, 65_536).await?;
    for frame in frames {
        socket.send(frame.as_ref()).await?;
    }
    Ok(())
}
