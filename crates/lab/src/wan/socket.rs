//! One packet socket for all uplinks (packet(7)).
//!
//! Received frames come through a ring of memory shared with the kernel, each with its interface
//! and the kernel's own time of arrival: no system call a frame, and room for what arrives while
//! the relay has to wait for a processor. Frames are sent many to a system call.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::shaping::Nanos;

/// Frames per system call.
const BATCH: usize = 64;

/// Memory for received frames: 8192 frames of the usual size, 0.2 s of 500 Mbit/s.
const RING_BYTES: usize = 16 << 20;

/// Frames read before the next turn at sending.
const READ_AT_ONCE: usize = 256;

/// Headers of the ring before the frame itself (tpacket2_hdr, sockaddr_ll, alignment).
const RING_HEADROOM: usize = 96;

/// Where the sockaddr_ll stands behind the header of a slot (TPACKET_ALIGN, linux/if_packet.h).
const ADDRESS_AT: usize = mem::size_of::<libc::tpacket2_hdr>().next_multiple_of(16);

/// Asked for; the kernel caps it.
const SEND_BUFFER: libc::c_int = 64 << 20;

/// A received frame.
pub(crate) struct Frame<'a> {
    pub(crate) interface: i32,
    /// On the monotonic clock.
    pub(crate) arrived: Nanos,
    pub(crate) bytes: &'a [u8],
}

pub(crate) struct PacketSocket {
    ring: Ring,
    fd: OwnedFd,
    last_arrival: Nanos,
}

impl PacketSocket {
    /// A socket that sees every frame that arrives in this network namespace, up to an MTU.
    pub(crate) fn open(mtu: u16) -> io::Result<Self> {
        // No protocol yet: nothing arrives before the ring is there.
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain numbers in, a new fd or -1 out.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the fd was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let number = |level, name, value: libc::c_int| set(&fd, level, name, &value);
        number(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        number(libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER)?;
        number(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        let ring = Ring::map(&fd, mtu)?;
        // SAFETY: all-zero is a valid value of this C structure.
        let mut everything: libc::sockaddr_ll = unsafe { mem::zeroed() };
        everything.sll_family = libc::AF_PACKET as u16;
        everything.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        let size = mem::size_of_val(&everything) as libc::socklen_t;
        // SAFETY: the address lives across the call and its size is given.
        let rc = unsafe { libc::bind(fd.as_raw_fd(), (&raw const everything).cast(), size) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            ring,
            fd,
            last_arrival: 0,
        })
    }

    /// Reads what is there, in order of arrival. Returns whether there may be more: only so many
    /// frames are read at a time, so that sending gets its turn.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(Frame<'_>)) -> bool {
        let (now, wall) = (monotonic(), wall_clock());
        for _ in 0..READ_AT_ONCE {
            let Some(slot) = self.ring.current() else {
                return false;
            };
            // How long ago it arrived; a clock that was set meanwhile must not move it far.
            let age = wall.saturating_sub(slot.stamp).min(500_000_000);
            let arrived = now.saturating_sub(age).max(self.last_arrival);
            self.last_arrival = arrived;
            each(Frame {
                interface: slot.interface,
                arrived,
                bytes: slot.bytes,
            });
            self.ring.release();
        }
        true
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

/// The receive ring (TPACKET_V2): slots of equal size that belong to the kernel or to us by turns.
struct Ring {
    memory: NonNull<u8>,
    slot: usize,
    slots: usize,
    at: usize,
}

struct Slot<'a> {
    interface: i32,
    /// On the wall clock.
    stamp: Nanos,
    bytes: &'a [u8],
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Ring {}

impl Ring {
    fn map(fd: &OwnedFd, mtu: u16) -> io::Result<Self> {
        const BLOCK: usize = 1 << 16;
        let slot = (usize::from(mtu) + RING_HEADROOM)
            .next_power_of_two()
            .max(2048);
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        set(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let (slots, size) = (RING_BYTES / slot, RING_BYTES);
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (size / BLOCK) as u32,
            tp_frame_size: slot as u32,
            tp_frame_nr: slots as u32,
        };
        set(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of the size just agreed on; the kernel picks the place.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        let failed = memory == libc::MAP_FAILED;
        match NonNull::new(memory.cast::<u8>()) {
            Some(memory) if !failed => Ok(Self {
                memory,
                slot,
                slots,
                at: 0,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn header(&self) -> *mut libc::tpacket2_hdr {
        // SAFETY: `at` is less than the number of slots, so this stays within the mapping; slots are
        // aligned to their size.
        unsafe { self.memory.as_ptr().add(self.at * self.slot).cast() }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is the first, aligned word of a slot, and lives as long as the
        // mapping; the kernel changes it too, hence the atomic.
        unsafe { AtomicU32::from_ptr((&raw mut (*self.header()).tp_status).cast()) }
    }

    fn current(&self) -> Option<Slot<'_>> {
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let header = self.header();
        // SAFETY: the status says that the slot is ours; the kernel keeps its hands off until it
        // is released, which needs `&mut self`. Lengths are cut to the slot.
        unsafe {
            let start = usize::from((*header).tp_mac).min(self.slot);
            let length = ((*header).tp_snaplen as usize).min(self.slot - start);
            let address: *const libc::sockaddr_ll = header.byte_add(ADDRESS_AT).cast();
            let stamp = u64::from((*header).tp_sec) * 1_000_000_000 + u64::from((*header).tp_nsec);
            Some(Slot {
                interface: (*address).sll_ifindex,
                stamp,
                bytes: std::slice::from_raw_parts(header.cast::<u8>().add(start), length),
            })
        }
    }

    fn release(&mut self) {
        self.status()
            .store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.at = (self.at + 1) % self.slots;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this size, and nothing borrows from it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), RING_BYTES) };
    }
}

fn set<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let size = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: value lives across the call and its size is given.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size,
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
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
