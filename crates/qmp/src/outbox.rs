//! Bytes and file descriptors on their way to QEMU.
//!
//! A request is written from the caller's own task where the socket takes it at once, which saves a task
//! switch; what the socket does not take waits here and the connection's task sends it. A caller that is
//! cancelled can so never leave half a line behind.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::{io::Interest, net::UnixStream};

struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    fd: Option<OwnedFd>,
}

#[derive(Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends `bytes` now as far as the socket takes them and keeps the rest.
    pub(crate) fn push(
        &mut self,
        stream: &UnixStream,
        bytes: Vec<u8>,
        fd: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let sent = if self.is_empty() {
            send(stream, &bytes, fd)?
        } else {
            0
        };
        if sent < bytes.len() {
            // The descriptor travels with the first byte.
            let fd = if sent == 0 {
                fd.map(|fd| fd.try_clone_to_owned()).transpose()?
            } else {
                None
            };
            self.waiting.push_back(Waiting { bytes, sent, fd });
        }
        Ok(())
    }

    /// Sends what waits, until the socket is full again.
    pub(crate) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        while let Some(first) = self.waiting.front_mut() {
            let sent = send(
                stream,
                &first.bytes[first.sent..],
                first.fd.as_ref().map(AsFd::as_fd),
            )?;
            if sent == 0 {
                return Ok(());
            }
            first.fd = None;
            first.sent += sent;
            if first.sent == first.bytes.len() {
                self.waiting.pop_front();
            }
        }
        Ok(())
    }
}

/// Bytes taken; 0 when the socket is full.
fn send(stream: &UnixStream, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let fds = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = fds.as_ref().map(|fds| ControlMessage::ScmRights(fds));
    let sent = stream.try_io(Interest::WRITABLE, || {
        sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(bytes)],
            rights.as_slice(),
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(io::Error::from)
    });
    match sent {
        Err(e)
            if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted =>
        {
            Ok(0)
        }
        other => other,
    }
}
