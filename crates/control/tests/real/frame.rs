//! Numbered test frames on raw sockets.

use super::netns::Netns;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Marks frames of ours among what kernels say by themselves.
const MAGIC: &[u8] = b"transhume-test";
/// An IP protocol for experiments, RFC 3692.
const EXPERIMENT: u8 = 253;

/// An IP packet that carries a number.
pub fn numbered(
    src_mac: [u8; 6],
    dst_mac: [u8; 6],
    src: IpAddr,
    dst: IpAddr,
    number: u32,
) -> Vec<u8> {
    let payload = [MAGIC, &number.to_be_bytes()].concat();
    let mut frame = [dst_mac, src_mac].concat();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let length = 20 + payload.len() as u16;
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, EXPERIMENT, 0, 0]);
            frame.extend(src.octets().into_iter().chain(dst.octets()));
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([EXPERIMENT, 64]);
            frame.extend(src.octets().into_iter().chain(dst.octets()));
        }
        other => panic!("no packet goes from one family to the other: {other:?}"),
    }
    frame.extend(payload);
    frame
}

/// A raw socket on one interface.
#[derive(Debug)]
pub struct Raw {
    socket: OwnedFd,
}

impl Raw {
    pub fn open(netns: &Netns, interface: &str) -> Self {
        let socket = netns.inside(|| {
            let index = nix::net::if_::if_nametoindex(interface).expect("the interface is there");
            raw_socket(index).expect("root may open raw sockets")
        });
        Self { socket }
    }

    pub fn send(&self, frame: &[u8]) {
        let sent = nix::unistd::write(&self.socket, frame).expect("the interface is up");
        assert_eq!(sent, frame.len());
    }

    /// The numbers of frames that came in, in order, up to and with `last`.
    pub fn numbers_until(&self, last: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        loop {
            let frame = self
                .next()
                .unwrap_or_else(|| panic!("frame {last} did not come, only {numbers:?}"));
            if let Some(number) = number_of(&frame) {
                numbers.push(number);
                if number == last {
                    return numbers;
                }
            }
        }
    }

    /// The next frame that came in; none after a long silence.
    pub fn next(&self) -> Option<Vec<u8>> {
        let mut buffer = [0u8; 2048];
        loop {
            // SAFETY: all-zero is a valid sockaddr_ll.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: buffer and address are ours and as large as said.
            let got = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut size,
                )
            };
            if got < 0 {
                return None;
            }
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                return Some(buffer[..got as usize].to_vec());
            }
        }
    }
}

fn number_of(frame: &[u8]) -> Option<u32> {
    let at = frame
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)?;
    let number = frame.get(at + MAGIC.len()..at + MAGIC.len() + 4)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

fn raw_socket(index: u32) -> io::Result<OwnedFd> {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: plain system calls on values of ours; the descriptor is owned from its birth.
    unsafe {
        let fd = libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            i32::from(protocol),
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index as i32;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        if libc::bind(fd, (&raw const address).cast(), size) < 0 {
            return Err(io::Error::last_os_error());
        }
        // A limit for a test that fails; one that passes never waits for it.
        let limit = libc::timeval {
            tv_sec: 10,
            tv_usec: 0,
        };
        let size = size_of::<libc::timeval>() as libc::socklen_t;
        if libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const limit).cast(),
            size,
        ) < 0
        {
            return Err(io::Error::last_os_error());
        }
        // What waits unread must not be lost for want of room.
        let room: libc::c_int = 32 << 20;
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        let option = libc::SO_RCVBUFFORCE;
        if libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const room).cast(), size) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }
}
