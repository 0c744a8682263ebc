//! Addresses and routes by rtnetlink, the three messages a guest needs. Layouts: rtnetlink(7).

use crate::params::Cidr;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const NLM_F_REQUEST_ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const NLM_F_SET: u16 = NLM_F_REQUEST_ACK | (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

/// Brings a link up and sets its MTU if one is given.
pub(crate) fn up(dev: &str, mtu: Option<u32>) -> io::Result<()> {
    let mut body = vec![libc::AF_UNSPEC as u8, 0];
    body.extend(0u16.to_ne_bytes());
    body.extend(index(dev)?.to_ne_bytes());
    body.extend((libc::IFF_UP as u32).to_ne_bytes());
    body.extend((libc::IFF_UP as u32).to_ne_bytes());
    if let Some(mtu) = mtu {
        attribute(&mut body, libc::IFLA_MTU, &mtu.to_ne_bytes());
    }
    request(libc::RTM_NEWLINK, NLM_F_REQUEST_ACK, &body)
}

/// Adds an address, usable at once (no duplicate address detection: the directory owns addresses).
pub(crate) fn address(dev: &str, cidr: Cidr) -> io::Result<()> {
    let (family, bytes) = octets(cidr.addr);
    let mut body = vec![family, cidr.prefix, libc::IFA_F_NODAD as u8, 0];
    body.extend(index(dev)?.to_ne_bytes());
    attribute(&mut body, libc::IFA_LOCAL, &bytes);
    attribute(&mut body, libc::IFA_ADDRESS, &bytes);
    request(libc::RTM_NEWADDR, NLM_F_SET, &body)
}

/// Sets the default route.
pub(crate) fn default_route(gateway: IpAddr) -> io::Result<()> {
    let (family, bytes) = octets(gateway);
    let mut body = vec![
        family,
        0,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
    ];
    body.extend(0u32.to_ne_bytes());
    attribute(&mut body, libc::RTA_GATEWAY, &bytes);
    request(libc::RTM_NEWROUTE, NLM_F_SET, &body)
}

fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (libc::AF_INET as u8, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6 as u8, ip.octets().to_vec()),
    }
}

fn index(dev: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{dev}/ifindex"))?;
    text.trim().parse().map_err(io::Error::other)
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    let mut answer = [0u8; 1024];
    // SAFETY: a socket of our own; both buffers outlive the calls and their sizes are given.
    let n = unsafe {
        let fd = libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        if libc::send(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            0,
        ) < 0
        {
            return Err(io::Error::last_os_error());
        }
        libc::recv(
            socket.as_raw_fd(),
            answer.as_mut_ptr().cast(),
            answer.len(),
            0,
        )
    };
    // nlmsghdr (16 bytes), then nlmsgerr: a negative errno, or 0 for done.
    if n < 20 {
        return Err(io::Error::other("the kernel's answer is too short"));
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}
