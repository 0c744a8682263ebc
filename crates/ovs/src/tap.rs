//! Tap devices: a VM's port, and the queue of a gate.
//!
//! A tap's transmit queue is where packets wait for a guest that does not run yet: 10,000 packets
//! instead of the kernel's 1,000, so that a flip before the resume loses nothing. The queue counts
//! what it had to drop (`tx_dropped`). The kernel's own IPv6 is switched off on every tap before it
//! comes up; otherwise router solicitations and multicast reports of the host would wait in the
//! queue and reach the guest.

use crate::descriptor;
use crate::error::{Error, Result};
use crate::netlink::{LinkState, Netlink};
use crate::netns::Netns;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A tap that another process has open is tried again for this long.
const HELD: Duration = Duration::from_secs(5);
/// And so often.
const AGAIN: Duration = Duration::from_millis(50);

/// The queue of every tap, packets.
pub const QUEUE: u32 = 10_000;

mod request {
    //! The requests of /dev/net/tun (linux/if_tun.h).
    #![allow(missing_docs)]
    nix::ioctl_write_ptr_bad!(attach, nix::request_code_write!(b'T', 202, 4), libc::ifreq);
    nix::ioctl_write_int_bad!(persist, nix::request_code_write!(b'T', 203, 4));
    nix::ioctl_write_int_bad!(owner, nix::request_code_write!(b'T', 204, 4));
    nix::ioctl_read_bad!(attached, nix::request_code_read!(b'T', 210, 4), libc::ifreq);
    nix::ioctl_read_bad!(header, nix::request_code_read!(b'T', 215, 4), libc::c_int);
}

/// Makes a tap that stays when nobody has it open, with a long queue, up, and silent; content when
/// it exists. Checks the queue by reading it back.
pub(crate) async fn make(netns: &Netns, netlink: &Netlink, ifname: &str) -> Result<LinkState> {
    match netlink.link(ifname).await? {
        Some(_) => {}
        None => {
            let name = ifname.to_owned();
            netns
                .run(move || {
                    let fd = attach(&name)?;
                    let failed = |what| {
                        let ifname = name.clone();
                        move |error: nix::Error| Error::Tap {
                            ifname,
                            what,
                            source: error.into(),
                        }
                    };
                    let owner = nix::unistd::geteuid().as_raw() as i32;
                    // SAFETY: both requests take an integer, on a descriptor that lives here.
                    unsafe {
                        request::owner(fd.as_raw_fd(), owner).map_err(failed("set its owner"))?;
                        request::persist(fd.as_raw_fd(), 1).map_err(failed("keep it"))?;
                    }
                    Ok::<(), Error>(())
                })
                .await??;
        }
    }
    settle(netns, netlink, ifname).await
}

/// Sets queue, silence and state of a tap that exists, and reads the queue back.
pub(crate) async fn settle(netns: &Netns, netlink: &Netlink, ifname: &str) -> Result<LinkState> {
    netns
        .sysctl(format!("ipv6/conf/{ifname}/disable_ipv6"), "1")
        .await
        .or_else(no_ipv6)?;
    let index = netlink.need_link(ifname).await?.index;
    netlink.up_with_queue(index, QUEUE).await?;
    let link = netlink.need_link(ifname).await?;
    if link.txqueuelen != QUEUE {
        return Err(Error::Queue {
            ifname: ifname.to_owned(),
            found: link.txqueuelen,
            wanted: QUEUE,
        });
    }
    Ok(link)
}

/// A kernel without IPv6 has nothing to switch off.
pub(crate) fn no_ipv6(error: Error) -> Result<()> {
    match error {
        Error::Sysctl { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Err(other),
    }
}

/// Opens a tap: frames without any header before them, not blocking, closed on exec. A tap has one
/// queue and so one opener: hand QEMU a duplicate, and keep this one to read what is left after
/// the VM has stopped. An opener that is on its way out is waited for: of a process that was killed the
/// descriptors close with its last thread, on a busy host seconds after it is no longer seen.
pub async fn open_tap(netns: &Netns, ifname: &str) -> Result<OwnedFd> {
    let since = Instant::now();
    loop {
        let name = ifname.to_owned();
        match netns.run(move || attach(&name)).await? {
            Err(Error::Tap { source, .. })
                if source.raw_os_error() == Some(libc::EBUSY) && since.elapsed() < HELD =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            other => return other,
        }
    }
}

/// Bytes before each frame.
fn header(tap: &OwnedFd) -> std::io::Result<usize> {
    // SAFETY: an ifreq of zeroes is valid, and outlives the call, as the length does.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request::attached(tap.as_raw_fd(), &raw mut request)?;
        let flags = i32::from(request.ifr_ifru.ifru_flags);
        if flags & libc::IFF_VNET_HDR == 0 {
            return Ok(0);
        }
        let mut length: libc::c_int = 0;
        request::header(tap.as_raw_fd(), &raw mut length)?;
        Ok(usize::try_from(length).unwrap_or_default())
    }
}

/// The descriptor of a tap that another process has open, of this name. It is the same queue: what is read
/// here is not read there.
pub fn of_process(pid: i32, ifname: &str) -> std::io::Result<OwnedFd> {
    let wanted = |number: i32| {
        let about = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
        about.is_ok_and(|text| {
            let mut words = text.lines().filter_map(|line| line.strip_prefix("iff:"));
            words.any(|name| name.trim() == ifname)
        })
    };
    descriptor::of_process(pid, wanted)?
        .ok_or_else(|| std::io::Error::other(format!("process {pid} does not have {ifname} open")))
}

/// Attaches to the tap of this name, making one that vanishes with the descriptor when there is none.
fn attach(ifname: &str) -> Result<OwnedFd> {
    let failed = |what| {
        move |source: std::io::Error| Error::Tap {
            ifname: ifname.to_owned(),
            what,
            source,
        }
    };
    let path = c"/dev/net/tun";
    // SAFETY: the path is a C string; the result is checked before it becomes an owned descriptor.
    let raw = unsafe {
        libc::open(
            path.as_ptr(),
            libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC,
        )
    };
    if raw < 0 {
        return Err(failed("open /dev/net/tun")(std::io::Error::last_os_error()));
    }
    // SAFETY: just opened, owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: an ifreq of zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if ifname.len() >= request.ifr_name.len() {
        return Err(failed("use a name of more than 15 bytes")(
            std::io::ErrorKind::InvalidInput.into(),
        ));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(ifname.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is an ifreq that outlives the call.
    unsafe { request::attach(fd.as_raw_fd(), &request) }
        .map_err(|error| failed("attach to it; is another process holding it?")(error.into()))?;
    Ok(fd)
}

/// Reads every frame that waits in a tap, in order; does not wait for more. A tap that somebody else opened may
/// put a header before each frame (linux/virtio_net.h); it is left out.
pub fn read_waiting(tap: &OwnedFd) -> std::io::Result<Vec<Vec<u8>>> {
    let header = header(tap)?;
    let mut frames = Vec::new();
    let mut buffer = vec![0u8; 65_536 + header];
    loop {
        match nix::unistd::read(tap, &mut buffer) {
            Ok(length) => frames.push(buffer[header.min(length)..length].to_vec()),
            Err(nix::Error::EAGAIN) => return Ok(frames),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
