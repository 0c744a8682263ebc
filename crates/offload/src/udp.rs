//! UDP sockets, and batched receiving: several datagrams a system call, and several equal ones a
//! datagram of the kernel's (`UDP_GRO`), each with hops and traffic class. Sending is in
//! [`super::outbox`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use crate::error::Error;

pub(crate) const SOL_UDP: libc::c_int = 17;
const UDP_GRO: libc::c_int = 104;
const UDP_NO_CHECK6_RX: libc::c_int = 102;

/// Bytes that the kernel should keep for us; it takes what it allows.
const BUFFER: usize = 8 << 20;
/// Room for what the kernel says of a datagram, or we of one: three numbers with their headers.
pub(crate) const CONTROL: usize = 128;
/// Bytes of a received datagram; also of several in one.
pub const SLOT: usize = 1 << 16;

/// How a socket is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Receives from locators, together with other sockets of the same port.
    Receive,
    /// Sends to locators.
    Send,
    /// Control messages.
    Control,
    /// Receives and sends: the one port of a tunnel. What the underlay does not carry whole is cut by the
    /// kernel.
    Tunnel,
}

/// A UDP socket of one family.
#[derive(Debug)]
pub struct Socket(OwnedFd, bool);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// Opens a socket at an address; port 0 is any.
    ///
    /// # Errors
    /// [`Error::Socket`]: the address is not this host's, or the port is taken.
    pub fn open(address: SocketAddr, how: Use) -> Result<Self, Error> {
        let failed = |error: nix::Error| Error::Socket {
            address,
            source: error.into(),
        };
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let mut flags = SockFlag::SOCK_CLOEXEC;
        if !matches!(how, Use::Send | Use::Tunnel) {
            flags |= SockFlag::SOCK_NONBLOCK;
        }
        let fd = socket(family, SockType::Datagram, flags, None).map_err(failed)?;
        let set = |level, name, value: libc::c_int| {
            set(&fd, level, name, value).map_err(|source| Error::Socket { address, source })
        };
        if address.is_ipv6() {
            set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        match how {
            Use::Receive | Use::Tunnel => {
                if how == Use::Receive {
                    setsockopt(&fd, sockopt::ReusePort, &true).map_err(failed)?;
                }
                set(SOL_UDP, UDP_GRO, 1)?;
                match address {
                    SocketAddr::V4(_) => {
                        set(libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
                        set(libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
                    }
                    SocketAddr::V6(_) => {
                        set(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
                        set(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
                        // Others send zero as checksum (RFC 9300, section 5.3), and IPv6 drops that
                        // unless told otherwise.
                        if how == Use::Receive {
                            set(SOL_UDP, UDP_NO_CHECK6_RX, 1)?;
                        }
                    }
                }
                if how == Use::Tunnel {
                    match address {
                        SocketAddr::V4(_) => {
                            let never = libc::IP_PMTUDISC_DONT;
                            set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, never)?;
                        }
                        SocketAddr::V6(_) => {
                            let never = libc::IPV6_PMTUDISC_DONT;
                            set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, never)?;
                        }
                    }
                }
            }
            // What the underlay does not let through is refused, not cut: whoever sends too much for
            // it has been told the right size before (`oversize`).
            Use::Send => match address {
                SocketAddr::V4(_) => {
                    let always = libc::IP_PMTUDISC_DO;
                    set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, always)?;
                }
                SocketAddr::V6(_) => {
                    let always = libc::IPV6_PMTUDISC_DO;
                    set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, always)?;
                }
            },
            Use::Control => {}
        }
        // The forcing options need a right that the other ones do not.
        if setsockopt(&fd, sockopt::RcvBufForce, &BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &BUFFER).map_err(failed)?;
        }
        if setsockopt(&fd, sockopt::SndBufForce, &BUFFER).is_err() {
            setsockopt(&fd, sockopt::SndBuf, &BUFFER).map_err(failed)?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).map_err(failed)?;
        Ok(Self(fd, address.is_ipv4()))
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.1
    }

    /// Sends one control message.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let flags = nix::sys::socket::MsgFlags::empty();
        let to = SockaddrStorage::from(to);
        nix::sys::socket::sendto(self.0.as_raw_fd(), bytes, &to, flags)?;
        Ok(())
    }

    /// Receives one control message; nothing when none waits.
    ///
    /// # Errors
    /// The socket is broken. What an ICMP message reports of an earlier datagram is no error.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        loop {
            match nix::sys::socket::recvfrom::<SockaddrStorage>(self.0.as_raw_fd(), buffer) {
                Ok((length, Some(from))) => {
                    let v4 = from.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
                    let v6 = from.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into()));
                    if let Some(from) = v4.or(v6) {
                        return Ok(Some((length, from)));
                    }
                }
                Ok((_, None)) | Err(nix::Error::ECONNREFUSED | nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn set(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an int that outlives the call, and its size is said.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A datagram that was received, or several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it is in the buffer.
    pub place: Range<usize>,
    /// Who sent it.
    pub from: SocketAddr,
    /// Bytes of each datagram in there but the last.
    pub size: usize,
    /// Hops that were left.
    pub ttl: u8,
    /// Traffic class that it arrived with.
    pub class: u8,
}

/// Room for control messages, aligned as their headers are.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control(pub(super) [u8; CONTROL]);

/// Receives as many datagrams as wait and fit, each in a slot of [`SLOT`] bytes; none when none waits.
///
/// # Errors
/// The socket is broken.
pub fn receive(socket: &Socket, buffer: &mut [u8], into: &mut Vec<Received>) -> io::Result<()> {
    into.clear();
    let slots = buffer.len() / SLOT;
    let mut controls = vec![Control([0; CONTROL]); slots];
    // SAFETY: addresses of zeroes are valid.
    let mut names: Vec<libc::sockaddr_storage> = vec![unsafe { std::mem::zeroed() }; slots];
    let mut parts: Vec<libc::iovec> = buffer
        .chunks_exact_mut(SLOT)
        .map(|slot| libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: slot.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .zip(&mut controls)
        .zip(&mut names)
        .map(|((part, control), name)| {
            // SAFETY: a header of zeroes is valid.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
            header.msg_hdr.msg_name = (name as *mut libc::sockaddr_storage).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            header
        })
        .collect();
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: every header points to a part of the buffer, a control buffer and an address of its own,
    // with their sizes, and all of them live until the end of this function.
    let count = unsafe {
        libc::recvmmsg(
            fd,
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    if count < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED) => Ok(()),
            _ => Err(error),
        };
    }
    for (slot, header) in headers.iter().take(count as usize).enumerate() {
        let length = (header.msg_len as usize).min(SLOT);
        let Some(from) = names.get(slot).and_then(address) else {
            continue;
        };
        let mut received = Received {
            place: slot * SLOT..slot * SLOT + length,
            from,
            size: length,
            ttl: u8::MAX,
            class: 0,
        };
        // SAFETY: the kernel has filled the control buffer and its length in; the macros stay inside.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        while !control.is_null() {
            // SAFETY: not null, so a header that the kernel wrote; its data is as long as it says, and
            // of all that we have asked for at least one byte (IP_TOS) or an int.
            let (level, kind, value) = unsafe {
                let data = libc::CMSG_DATA(control);
                let whole = (*control).cmsg_len as usize >= libc::CMSG_LEN(4) as usize;
                let value = match whole {
                    true => data.cast::<libc::c_int>().read_unaligned(),
                    false => libc::c_int::from(data.read()),
                };
                ((*control).cmsg_level, (*control).cmsg_type, value)
            };
            match (level, kind) {
                (SOL_UDP, UDP_GRO) => received.size = (value as usize).max(1),
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    received.ttl = value as u8
                }
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    received.class = value as u8;
                }
                _ => {}
            }
            // SAFETY: as above.
            control = unsafe { libc::CMSG_NXTHDR(&raw const header.msg_hdr, control) };
        }
        into.push(received);
    }
    Ok(())
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let family = libc::c_int::from(name.ss_family);
    let name = &raw const *name;
    match family {
        libc::AF_INET => {
            // SAFETY: a sockaddr_storage has room and alignment for every family's address.
            let v4 = unsafe { &*name.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*name.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Any address of a family.
pub fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
