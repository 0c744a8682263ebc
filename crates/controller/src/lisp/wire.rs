//! The Map-Server's sockets: many datagrams in a call of the kernel.

use mapping::Outcome;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, setsockopt, sockopt};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams in one call.
const AT_ONCE: usize = 64;
/// What the kernel may keep for us, bytes: the answers of ten thousand subscribers come at once.
const BUFFER: usize = 8 << 20;

/// One socket of the control port.
pub(super) struct Wire {
    socket: UdpSocket,
    pub(super) address: SocketAddr,
}

impl Wire {
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        // Less is given where the machine allows less; that is no reason not to start.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        }
        let _ = setsockopt(&socket, sockopt::SndBuf, &BUFFER);
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Waits for datagrams and gives all that are there, up to some dozens, to `take`.
    pub(super) async fn receive(
        &self,
        buffer: &mut [u8],
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<()> {
        self.socket.readable().await?;
        for _ in 0..AT_ONCE {
            match self.socket.try_recv_from(buffer) {
                Ok((length, from)) => take(from, buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier datagram of ours came to nobody.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends datagrams. One that the kernel refuses is left out: its receiver asks again, or is told
    /// again.
    pub(super) async fn send(&self, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<()> {
        let mut left = datagrams;
        while !left.is_empty() {
            let some = left.get(..AT_ONCE).unwrap_or(left);
            let send = || batch(&self.socket, some);
            let sent = self.socket.async_io(Interest::WRITABLE, send);
            let sent = match sent.await {
                Ok(sent) => sent,
                Err(error) => {
                    let to = some.first().map(|(to, _)| *to);
                    tracing::debug!(%error, ?to, "a datagram was not sent");
                    1
                }
            };
            left = left.get(sent.max(1)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// How many of the datagrams the kernel took, at least one.
fn batch(socket: &UdpSocket, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(datagrams.len(), None);
    let to: Vec<Option<SockaddrStorage>> = datagrams
        .iter()
        .map(|(to, _)| Some(SockaddrStorage::from(*to)))
        .collect();
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams
        .iter()
        .map(|(_, bytes)| [IoSlice::new(bytes)])
        .collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, to, [], flags) {
        Ok(results) => Ok(results.count()),
        Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// Several sockets, of both families.
pub(super) struct Wires(pub(super) Vec<Wire>);

impl Wires {
    /// Sends what a call of the server wants sent, from the socket of `from` where there is one, else from
    /// the first of the receiver's family.
    pub(super) async fn send(&self, outcome: &Outcome, from: Option<usize>) {
        if outcome.datagrams().len() == 0 {
            return;
        }
        let mut sorted: Vec<Vec<(SocketAddr, &[u8])>> = vec![Vec::new(); self.0.len()];
        for (to, bytes) in outcome.datagrams() {
            let fits = |wire: &usize| {
                let wire = self.0.get(*wire);
                wire.is_some_and(|wire| wire.address.is_ipv4() == to.is_ipv4())
            };
            let other = || (0..self.0.len()).find(fits);
            let wire = from.filter(fits).or_else(other);
            if let Some(list) = wire.and_then(|wire| sorted.get_mut(wire)) {
                list.push((to, bytes));
            }
        }
        for (wire, list) in self.0.iter().zip(sorted) {
            if let Err(error) = wire.send(&list).await {
                tracing::warn!(%error, "LISP messages were not sent");
            }
        }
    }
}
