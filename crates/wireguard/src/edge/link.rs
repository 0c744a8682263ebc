//! What the kernel is told of the device: its MTU, and that it is up.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::Error;

mod request {
    //! Requests for interfaces (netdevice(7)).
    #![allow(missing_docs)]
    nix::ioctl_write_ptr_bad!(set_mtu, libc::SIOCSIFMTU, libc::ifreq);
    nix::ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);
}

/// Gives an interface of the thread's network namespace its MTU, and switches it on.
pub(super) fn bring_up(name: &str, mtu: u16) -> Result<(), Error> {
    let failed = |what| {
        move |error: nix::Error| Error::Device {
            name: name.to_owned(),
            what,
            source: io::Error::from(error),
        }
    };
    let socket: OwnedFd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(failed("ask for the state"))?;
    // SAFETY: an ifreq of zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The device was opened by this name, so it fits.
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let fd = socket.as_raw_fd();
    request.ifr_ifru.ifru_mtu = mtu.into();
    // SAFETY: the request is an ifreq that outlives the call.
    unsafe { request::set_mtu(fd, &request) }.map_err(failed("set the MTU"))?;
    // SAFETY: as above; the kernel writes the flags into it.
    unsafe { request::get_flags(fd, &mut request) }.map_err(failed("ask for the state"))?;
    // SAFETY: the kernel has just written this field.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    // SAFETY: as above.
    unsafe { request::set_flags(fd, &request) }.map_err(failed("switch on the link"))?;
    Ok(())
}
