//! Carrier of the uplinks, told by the kernel (rtnetlink(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTMGRP_LINK: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) interface: i32,
    pub(crate) name: String,
    /// Up, and with carrier.
    pub(crate) up: bool,
}

pub(crate) struct LinkEvents {
    fd: OwnedFd,
}

impl LinkEvents {
    /// Subscribes, and asks for all links there are; they come as events.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
        let events = Self { fd };
        events.ask()?;
        Ok(events)
    }

    /// Asks for all links again (RTM_GETLINK with NLM_F_DUMP).
    pub(crate) fn ask(&self) -> io::Result<()> {
        let mut request = Vec::with_capacity(32);
        request.extend(32u32.to_ne_bytes());
        request.extend(RTM_GETLINK.to_ne_bytes());
        request.extend(0x0301u16.to_ne_bytes());
        request.resize(32, 0);
        send(self.fd.as_raw_fd(), &request, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads what the kernel has told meanwhile.
    pub(crate) fn read(&self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => parse(&buffer[..length], &mut links),
                Err(nix::errno::Errno::EAGAIN) => return Ok(links),
                Err(nix::errno::Errno::EINTR) => {}
                // Events were lost: ask for the whole picture.
                Err(nix::errno::Errno::ENOBUFS) => self.ask()?,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Netlink messages (length, type, flags, sequence, port), each with an ifinfomsg (family, type,
/// index, flags, change) and attributes (length, type, value), all aligned to four.
fn parse(mut bytes: &[u8], links: &mut Vec<Link>) {
    while let Some(length) = word(bytes, 0).map(|l| l as usize) {
        let Some(message) = bytes.get(16..length) else {
            return;
        };
        let kind = half(bytes, 4);
        if kind == Some(RTM_NEWLINK) || kind == Some(RTM_DELLINK) {
            links.extend(link(message, kind == Some(RTM_DELLINK)));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn link(message: &[u8], gone: bool) -> Option<Link> {
    let interface = word(message, 4)? as i32;
    let flags = word(message, 8)?;
    let mut attributes = message.get(16..)?;
    let mut name = String::new();
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
        let Some(value) = attributes.get(4..usize::from(length)) else {
            break;
        };
        if kind == IFLA_IFNAME {
            let text = value.split(|b| *b == 0).next().unwrap_or_default();
            name = String::from_utf8_lossy(text).into_owned();
        }
        attributes = attributes
            .get(usize::from(length).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    let wanted = IFF_UP | IFF_LOWER_UP;
    Some(Link {
        interface,
        name,
        up: !gone && flags & wanted == wanted,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_of_this_namespace_is_told_with_its_name() {
        let events = LinkEvents::open().unwrap();
        let mut links = Vec::new();
        while !links.iter().any(|l: &Link| l.name == "lo") {
            links.extend(events.read().unwrap());
            std::thread::yield_now();
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_parser_fail(bytes: Vec<u8>) {
            parse(&bytes, &mut Vec::new());
        }
    }
}
