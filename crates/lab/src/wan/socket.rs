//! One packet socket for all uplinks (packet(7)): many frames a system call, each with its
//! interface and the kernel's own time of arrival.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::shaping::Nanos;

/// Frames per system call.
const BATCH: usize = 64;

/// Longest frame: MTU 9000 and an Ethernet header with room to spare.
const LONGEST: usize = 9216;

/// Asked for; the kernel caps it (4 MiB usual, counted twice).
const RECEIVE_BUFFER: libc::c_int = 64 << 20;

const CONTROL: usize = 64;

/// A received frame.
pub(crate) struct Frame<'a> {
    pub(crate) interface: i32,
    /// On the monotonic clock.
    pub(crate) arrived: Nanos,
    pub(crate) bytes: &'a [u8],
}

pub(crate) struct PacketSocket {
    fd: OwnedFd,
    buffers: Vec<[u8; LONGEST]>,
    last_arrival: Nanos,
}

impl PacketSocket {
    /// A socket that sees every frame that arrives in this network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain numbers in, a new fd or -1 out.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the fd was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let set = |level, name, value: libc::c_int| {
            // SAFETY: value lives across the call and its size is given.
            let rc = unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    level,
                    name,
                    (&raw const value).cast(),
                    mem::size_of_val(&value) as libc::socklen_t,
                )
            };
            if rc == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        };
        set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        set(libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        set(libc::SOL_SOCKET, libc::SO_SNDBUF, RECEIVE_BUFFER)?;
        set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        Ok(Self {
            fd,
            buffers: vec![[0; LONGEST]; BATCH],
            last_arrival: 0,
        })
    }

    /// Reads what is there, in order of arrival; at most a few hundred frames, so that sending
    /// gets its turn.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(Frame<'_>)) -> io::Result<()> {
        for _ in 0..8 {
            if self.receive_batch(&mut each)? < BATCH {
                break;
            }
        }
        Ok(())
    }

    fn receive_batch(&mut self, each: &mut impl FnMut(Frame<'_>)) -> io::Result<usize> {
        // SAFETY: all-zero is a valid value of these C structures.
        let mut names: [libc::sockaddr_ll; BATCH] = unsafe { mem::zeroed() };
        let mut controls = [[0u64; CONTROL / 8]; BATCH];
        let mut vectors: [MaybeUninit<libc::iovec>; BATCH] = [MaybeUninit::uninit(); BATCH];
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for i in 0..BATCH {
            let vector = vectors[i].write(libc::iovec {
                iov_base: self.buffers[i].as_mut_ptr().cast(),
                iov_len: LONGEST,
            });
            let header = &mut headers[i].msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: every pointer in the headers lives across the call and has the size given.
        let got = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if got < 0 {
            return match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
                e if e.kind() == io::ErrorKind::Interrupted => Ok(0),
                // An interface went down; the link events tell which.
                e if e.raw_os_error() == Some(libc::ENETDOWN) => Ok(0),
                e => Err(e),
            };
        }
        let (now, wall) = (monotonic(), wall_clock());
        let got = got as usize;
        for i in 0..got {
            let stamp = stamp(&headers[i].msg_hdr);
            // How long ago it arrived; a clock that was set meanwhile must not move it far.
            let age = stamp
                .map_or(0, |at| wall.saturating_sub(at))
                .min(100_000_000);
            let arrived = now.saturating_sub(age).max(self.last_arrival);
            self.last_arrival = arrived;
            let length = (headers[i].msg_len as usize).min(LONGEST);
            let bytes = &self.buffers[i][..length];
            each(Frame {
                interface: names[i].sll_ifindex,
                arrived,
                bytes,
            });
        }
        Ok(got)
    }

    /// Sends frames, each on its interface, and tells for each whether the kernel took it.
    pub(crate) fn send(&self, frames: &[(i32, &[u8])], mut each: impl FnMut(usize, bool)) {
        let mut done = 0;
        while done < frames.len() {
            let sent = self.send_batch(&frames[done..]);
            for i in 0..sent {
                each(done + i, true);
            }
            done += sent;
            if sent == 0 {
                // The first one was refused (link down, no room): it is lost, go on behind it.
                each(done, false);
                done += 1;
            }
        }
    }

    fn send_batch(&self, frames: &[(i32, &[u8])]) -> usize {
        let count = frames.len().min(BATCH);
        // SAFETY: all-zero is a valid value of these C structures.
        let (mut names, mut headers, mut vectors): (
            [libc::sockaddr_ll; BATCH],
            [libc::mmsghdr; BATCH],
            [libc::iovec; BATCH],
        ) = unsafe { mem::zeroed() };
        for (i, (interface, bytes)) in frames[..count].iter().enumerate() {
            names[i].sll_family = libc::AF_PACKET as u16;
            names[i].sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            names[i].sll_ifindex = *interface;
            vectors[i] = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            let header = &mut headers[i].msg_hdr;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        }
        // SAFETY: every pointer in the first `count` headers lives across the call; the kernel
        // only reads through iov_base.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).unwrap_or(0)
    }

    /// Frames the kernel dropped since the last call because we read too slowly.
    pub(crate) fn kernel_drops(&self) -> u64 {
        // SAFETY: all-zero is a valid value; the kernel fills at most the size given.
        let mut stats: libc::tpacket_stats = unsafe { mem::zeroed() };
        let mut size = mem::size_of_val(&stats) as libc::socklen_t;
        // SAFETY: as above.
        let rc = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut size,
            )
        };
        if rc == 0 {
            u64::from(stats.tp_drops)
        } else {
            0
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The kernel's time stamp of a message, on the wall clock (SO_TIMESTAMPNS, socket(7)).
fn stamp(header: &libc::msghdr) -> Option<Nanos> {
    // SAFETY: the header is as recvmmsg filled it, its control buffer still lives and is aligned
    // for cmsghdr; the macros stay within msg_controllen.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET
                && (*message).cmsg_type == libc::SCM_TIMESTAMPNS
            {
                let time: libc::timespec =
                    std::ptr::read_unaligned(libc::CMSG_DATA(message).cast());
                return Some(nanos(time));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

fn nanos(time: libc::timespec) -> Nanos {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn clock(id: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: time lives across the call. It cannot fail for the two clocks used here.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    nanos(time)
}

/// The clock that all of the relay runs on.
pub(crate) fn monotonic() -> Nanos {
    clock(libc::CLOCK_MONOTONIC)
}

fn wall_clock() -> Nanos {
    clock(libc::CLOCK_REALTIME)
}

/// CPU time of this process in milliseconds.
pub(crate) fn cpu_ms() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID) / 1_000_000
}
