//! Sockets with the kernel's arrival stamps.
//!
//! `SO_TIMESTAMPNS` gives each message the Unix time at which the kernel took it from the device;
//! `SO_RXQ_OVFL` the number of datagrams that this socket dropped so far for want of room
//! (socket(7)).

use super::{ProbeError, Target};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Receive buffer asked for, bytes: room for seconds of replies that arrive in one burst.
const RECEIVE_BUFFER: usize = 8 << 20;

/// A UDP socket connected to a VM's echo port.
pub(super) fn open_udp(target: &Target) -> Result<UdpSocket, ProbeError> {
    let address = target.echo();
    let open = || -> std::io::Result<UdpSocket> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        // The first needs CAP_NET_ADMIN and ignores rmem_max; the second takes what is allowed,
        // and whatever is too little shows in `socket_drops`.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        socket.connect(address)?;
        Ok(socket)
    };
    open().map_err(|source| ProbeError::Socket { address, source })
}

/// A second handle of the socket for the other thread.
pub(super) fn clone_udp(socket: &UdpSocket) -> Result<UdpSocket, ProbeError> {
    socket.try_clone().map_err(|source| ProbeError::Socket {
        address: socket
            .peer_addr()
            .unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
        source,
    })
}

/// One message read from a socket.
pub(super) struct Message {
    /// Bytes read; 0 on a stream means that the peer has closed.
    pub(super) len: usize,
    /// Arrival, Unix ns; none when the kernel gave no stamp.
    pub(super) unix_ns: Option<i64>,
    /// Datagrams that this socket has dropped since it was opened, when the kernel says so.
    pub(super) drops: Option<u64>,
}

/// Reads one message without waiting; none when nothing is there.
pub(super) fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> std::io::Result<Option<Message>> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec, u32);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let read =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
    let read = match read {
        Ok(read) => read,
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let mut message = Message {
        len: read.bytes,
        unix_ns: None,
        drops: None,
    };
    // A truncated control buffer costs the stamp, not the message.
    for item in read.cmsgs().into_iter().flatten() {
        match item {
            ControlMessageOwned::ScmTimestampns(t) => {
                message.unix_ns = Some(t.tv_sec() * 1_000_000_000 + t.tv_nsec());
            }
            ControlMessageOwned::RxqOvfl(drops) => message.drops = Some(u64::from(drops)),
            _ => {}
        }
    }
    Ok(Some(message))
}
