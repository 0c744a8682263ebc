//! The system calls that std does not offer, each behind a safe function. Nothing here keeps state.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(rc)
    }
}

/// Monotonic time in nanoseconds. It stands still while the VM is stopped.
pub(crate) fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Wall-clock time in milliseconds since 1970, as the guest believes it to be.
pub(crate) fn unix_ms() -> u64 {
    clock(libc::CLOCK_REALTIME) / 1_000_000
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` outlives the call; both clocks always exist, so the result needs no check.
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Free memory of the guest in MiB.
pub(crate) fn free_mb() -> u64 {
    // SAFETY: sysinfo is plain numbers, so all zeroes is a value, and it outlives the call.
    let info = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        libc::sysinfo(&mut info);
        info
    };
    (info.freeram * u64::from(info.mem_unit)) >> 20
}

/// A level-triggered epoll instance.
pub(crate) struct Epoll(OwnedFd);

/// Readable, or the other side is gone.
pub(crate) const READ: u32 = libc::EPOLLIN as u32;
/// Writable.
pub(crate) const WRITE: u32 = libc::EPOLLOUT as u32;

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: the new descriptor is owned by nobody else.
        unsafe {
            Ok(Epoll(OwnedFd::from_raw_fd(check(libc::epoll_create1(
                libc::EPOLL_CLOEXEC,
            ))?)))
        }
    }

    pub(crate) fn add(&self, fd: &impl AsRawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), interest, token)
    }

    pub(crate) fn change(&self, fd: &impl AsRawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), interest, token)
    }

    fn control(&self, op: libc::c_int, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest,
            u64: token,
        };
        // SAFETY: `event` outlives the call; the kernel checks both descriptors.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd, &mut event) }).map(drop)
    }

    /// Waits for events and appends the tokens of what is ready.
    pub(crate) fn wait(&self, ready: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: the kernel writes at most `events.len()` entries.
        let n = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                -1,
            )
        };
        let n = usize::try_from(n).unwrap_or(0);
        ready.extend(events[..n].iter().map(|e| e.u64));
    }
}

/// One alarm, finer than milliseconds. It stays set over any number of waits: a timeout of epoll's own
/// would be set and cancelled at each, which is dear under emulation.
pub(crate) struct Alarm {
    fd: OwnedFd,
    set: u64,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Alarm> {
        // SAFETY: the new descriptor is owned by nobody else.
        let fd = unsafe {
            OwnedFd::from_raw_fd(check(libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
            ))?)
        };
        Ok(Alarm { fd, set: 0 })
    }

    /// Becomes readable at `at`, monotonic ns; `None` is never.
    pub(crate) fn set(&mut self, at: Option<u64>) {
        // Zero would disarm it; a moment that has passed rings at once.
        let at = at.map_or(0, |at| at.max(1));
        if at == self.set {
            return;
        }
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = libc::itimerspec {
            it_interval: none,
            it_value: libc::timespec {
                tv_sec: (at / 1_000_000_000) as libc::time_t,
                tv_nsec: (at % 1_000_000_000) as libc::c_long,
            },
        };
        // SAFETY: `value` outlives the call; nothing is written back to a null pointer.
        let done = check(unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const value,
                std::ptr::null_mut(),
            )
        });
        if done.is_ok() {
            self.set = at;
        }
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// A non-blocking UDP socket with room for a burst of some thousand datagrams, as arrives when a
/// migrated VM resumes and its port's queue drains.
pub(crate) fn udp(bind: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(bind)?;
    socket.set_nonblocking(true)?;
    let bytes: libc::c_int = 8 << 20;
    // Forced as the guest's root; outside a guest the plain option gives what the machine allows.
    if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
    }
    Ok(socket)
}

fn set(
    fd: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` outlives the call and its size is given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Turns generic receive offload off at a device (`ethtool -K dev gro off`; linux/ethtool.h).
pub(crate) fn no_gro(dev: &str) -> io::Result<()> {
    const ETHTOOL_SGRO: u32 = 0x2c;
    const SIOCETHTOOL: u64 = 0x8946;
    let mut value = [ETHTOOL_SGRO, 0u32];
    // SAFETY: plain numbers and a pointer, so all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(dev.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the kernel reads and writes `value`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) }).map(drop)
}

/// Lets this process run before every ordinary one, the kernel's own threads included (sched(7)).
pub(crate) fn before_others() -> io::Result<()> {
    // SAFETY: plain numbers, so all zeroes is a value; musl has more fields than glibc.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = 1;
    // SAFETY: `param` outlives the call; 0 is this process.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) }).map(drop)
}

/// Begins a thread of ordinary precedence, whatever that of the caller (see [`before_others`]).
pub(crate) fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let ordinary = || {
        // SAFETY: plain numbers, so all zeroes is a value, and it outlives the call; 0 is this thread.
        unsafe {
            let param: libc::sched_param = std::mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const param)
        };
    };
    let begin = move || {
        ordinary();
        run();
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(begin)
        .map(drop)
}

/// What other threads wake the event loop with.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        let flags = libc::EFD_NONBLOCK | libc::EFD_CLOEXEC;
        // SAFETY: the new descriptor is owned by nobody else.
        unsafe { Ok(Bell(OwnedFd::from_raw_fd(check(libc::eventfd(0, flags))?))) }
    }

    /// Becomes readable.
    pub(crate) fn ring(&self) {
        // SAFETY: no pointers; it fails only when the bell has been ringing 2^64 times.
        unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) };
    }

    /// Becomes unreadable.
    pub(crate) fn silence(&self) {
        let mut count = 0;
        // SAFETY: `count` outlives the call; a silent bell fails at once.
        unsafe { libc::eventfd_read(self.0.as_raw_fd(), &raw mut count) };
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A buffer at the boundary of a page, as reading past the page cache wants it.
pub(crate) struct Aligned {
    room: Vec<u8>,
    skip: usize,
    length: usize,
}

impl Aligned {
    pub(crate) fn new(length: usize) -> Aligned {
        const PAGE: usize = 4096;
        let room = vec![0; length + PAGE];
        let skip = room.as_ptr().align_offset(PAGE);
        Aligned { room, skip, length }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.skip..self.skip + self.length]
    }
}

/// Gives a file its full size on the medium.
pub(crate) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    // SAFETY: numbers only; the descriptor is open.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) }).map(drop)
}

/// Takes a part of a file that is on the medium out of the page cache.
pub(crate) fn forget(file: &File, at: u64, bytes: u64) {
    let (at, bytes) = (at as libc::off_t, bytes as libc::off_t);
    // SAFETY: numbers only. It is advice: nothing depends on whether it is taken.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), at, bytes, libc::POSIX_FADV_DONTNEED) };
}

/// Writes back everything that is not on the medium, and waits for it.
pub(crate) fn sync() {
    // SAFETY: nothing goes in, nothing comes out.
    unsafe { libc::sync() };
}

/// Empties the page cache of what is on the medium as well, and the caches of names.
pub(crate) fn drop_caches() -> io::Result<()> {
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

/// Begins a TCP connection without waiting for it; std can only wait.
pub(crate) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: the new descriptor is owned by nobody else.
    let stream = unsafe {
        TcpStream::from_raw_fd(check(libc::socket(
            family,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        ))?)
    };
    stream.set_nodelay(true)?;
    let rc = match to.ip() {
        IpAddr::V4(ip) => {
            let addr = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: `addr` outlives the call and its size is given.
            unsafe {
                libc::connect(
                    stream.as_raw_fd(),
                    (&raw const addr).cast(),
                    size_of_val(&addr) as libc::socklen_t,
                )
            }
        }
        IpAddr::V6(ip) => {
            let addr = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                sin6_scope_id: 0,
            };
            // SAFETY: as above.
            unsafe {
                libc::connect(
                    stream.as_raw_fd(),
                    (&raw const addr).cast(),
                    size_of_val(&addr) as libc::socklen_t,
                )
            }
        }
    };
    match check(rc) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(stream),
    }
}
