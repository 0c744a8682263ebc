//! Socket options of a relay connection.

use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::{AsFd, AsRawFd};
use tokio::net::TcpStream;

/// Queued but not yet sent bytes that the kernel takes (tcp(7), `TCP_NOTSENT_LOWAT`).
const NOTSENT_LOWAT: libc::c_uint = 64 << 10;

/// A connection whose peer has not been heard for this long has failed, s (tcp(7), `TCP_USER_TIMEOUT`):
/// longer than a WAN that is cut for ten seconds takes to come back by TCP's own attempts.
const UNHEARD_S: u32 = 20;

/// Prepares a connection: no delay, a small unsent queue, autotuned buffers.
///
/// # Errors
/// When the kernel refuses an option.
pub fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    set_u32(
        stream,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        NOTSENT_LOWAT,
    )?;
    // A peer that is gone is noticed by both ends, the one that sends and the one that waits.
    set_u32(
        stream,
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        UNHEARD_S * 1000,
    )?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &(UNHEARD_S / 2))?;
    setsockopt(stream, sockopt::TcpKeepInterval, &(UNHEARD_S / 4))?;
    setsockopt(stream, sockopt::TcpKeepCount, &2)?;
    Ok(())
}

/// Limits the connection's rate, bytes a second; the kernel's TCP paces by itself (socket(7),
/// `SO_MAX_PACING_RATE`). `None` lifts the limit.
///
/// # Errors
/// When the kernel refuses.
pub fn pace(stream: &impl AsFd, rate: Option<u64>) -> std::io::Result<()> {
    let rate = rate.map_or(libc::c_uint::MAX, |r| {
        libc::c_uint::try_from(r)
            .unwrap_or(libc::c_uint::MAX)
            .max(10_000)
    });
    set_u32(stream, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)
}

#[allow(unsafe_code)]
fn set_u32(
    stream: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_uint,
) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the call and the kernel reads exactly the
    // four bytes of `value`. nix has no wrapper for these two options.
    let result = unsafe {
        libc::setsockopt(
            stream.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
