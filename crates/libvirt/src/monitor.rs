//! A domain's QEMU as a QMP socket.
//!
//! libvirt holds the monitor itself, and passes commands and events on. One thread a domain makes a socket
//! of that: it greets as QEMU does (QMP reference, section "Server Greeting"), passes each line on, puts the
//! asker's id into the answer, and takes a command's file from the socket (`SCM_RIGHTS`). Events come
//! with QEMU's own time. The socket ends with the process.

use crate::{Error, Host, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A reader that does not read for this long is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line longer than this is no command.
const LONGEST: usize = 1 << 20;

/// Who writes to the socket: the thread, and libvirt's events.
#[derive(Clone)]
struct Writer(Arc<Mutex<UnixStream>>);

impl Writer {
    fn line(&self, value: &Value) -> std::io::Result<()> {
        let mut line = value.to_string();
        line.push_str("\r\n");
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(line.as_bytes())
    }
}

/// Opens the monitor of a running domain, whose process is this one.
///
/// # Errors
/// When it does not run, or libvirt does not answer.
pub fn open(host: Arc<Host>, name: &str, pid: i32) -> Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_write_timeout(Some(PATIENCE))?;
    let process = process(pid)?;
    let writer = Writer(Arc::new(Mutex::new(ours.try_clone()?)));
    let greeting = json!({"QMP": {"version": {"qemu": {"major": 0, "minor": 0, "micro": 0}, "package": "through libvirt"}, "capabilities": []}});
    writer.line(&greeting)?;
    let mut bridge = Bridge {
        name: name.to_owned(),
        host,
        writer,
        events: None,
        files: VecDeque::new(),
    };
    bridge.listen()?;
    std::thread::Builder::new()
        .name(format!("qmp-{name}").chars().take(15).collect())
        .spawn(move || {
            if let Err(error) = bridge.serve(&ours, &process) {
                tracing::warn!(%error, domain = bridge.name, "the way to its QEMU has ended");
            }
            let _ = ours.shutdown(std::net::Shutdown::Both);
        })?;
    Ok(theirs)
}

/// pidfd_open(2): readable when the process has ended.
fn process(pid: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: a system call without a pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

struct Bridge {
    name: String,
    host: Arc<Host>,
    writer: Writer,
    /// Where libvirt's events are registered.
    events: Option<Registered>,
    files: VecDeque<OwnedFd>,
}

struct Registered {
    connection: virt::connect::Connect,
    number: u64,
    id: i32,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the connection is alive; an id that it does not know is an error and nothing more.
        unsafe {
            virt_sys::virConnectDomainQemuMonitorEventDeregister(self.connection.as_ptr(), self.id)
        };
    }
}

impl Bridge {
    /// Registers for the domain's events on the connection that there is now.
    fn listen(&mut self) -> Result<()> {
        let (connection, number) = self.host.connection()?;
        if self.events.as_ref().is_some_and(|at| at.number == number) {
            return Ok(());
        }
        let domain = self.host.domain(&self.name)?;
        let opaque = Box::into_raw(Box::new(self.writer.clone()));
        // SAFETY: the connection and the domain are alive; libvirt gives `opaque` to `heard` only until it has
        // given it to `forget`, which it calls once.
        let id = unsafe {
            virt_sys::virConnectDomainQemuMonitorEventRegister(
                connection.as_ptr(),
                domain.as_ptr(),
                ptr::null(),
                Some(heard),
                opaque.cast(),
                Some(forget),
                0,
            )
        };
        if id < 0 {
            // SAFETY: it was not registered, so it is still ours.
            drop(unsafe { Box::from_raw(opaque) });
            return Err(Error::Refused {
                what: "pass on the events of",
                domain: self.name.clone(),
                why: virt::error::Error::last_error().message().to_owned(),
            });
        }
        self.events = Some(Registered {
            connection,
            number,
            id,
        });
        Ok(())
    }

    fn serve(&mut self, socket: &UnixStream, process: &OwnedFd) -> Result<()> {
        let mut waiting = Vec::new();
        loop {
            let mut watched = [
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(process.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.map_err(std::io::Error::from)?,
            };
            let ready = |at: usize| watched[at].revents().is_some_and(|what| !what.is_empty());
            if ready(1) {
                return Ok(());
            }
            if ready(0) && !self.take(socket, &mut waiting)? {
                return Ok(());
            }
            while let Some(at) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=at).collect();
                self.answer(&line)?;
            }
            if waiting.len() > LONGEST {
                return Err(Error::Client("a line without an end".to_owned()));
            }
        }
    }

    /// False at the end.
    fn take(&mut self, socket: &UnixStream, waiting: &mut Vec<u8>) -> Result<bool> {
        let mut buffer = [0u8; 16 << 10];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut space = cmsg_space!([RawFd; 4]);
        let got = recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        let got = match got {
            Err(Errno::EINTR) => return Ok(true),
            Err(Errno::ECONNRESET) => return Ok(false),
            other => other.map_err(std::io::Error::from)?,
        };
        for message in got.cmsgs().map_err(std::io::Error::from)? {
            if let ControlMessageOwned::ScmRights(files) = message {
                // SAFETY: the kernel has just made these descriptors for us.
                let owned = files
                    .into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                self.files.extend(owned);
            }
        }
        let bytes = got.bytes;
        waiting.extend_from_slice(&buffer[..bytes]);
        Ok(bytes > 0)
    }

    fn answer(&mut self, line: &[u8]) -> Result<()> {
        let Ok(Value::Object(mut request)) = serde_json::from_slice(line) else {
            return Ok(());
        };
        let id = request.remove("id");
        let name = request
            .get("execute")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut answer = match name {
            "qmp_capabilities" => json!({"return": {}}),
            _ => {
                let takes = name == "getfd" || name == "add-fd";
                let file = if takes { self.files.pop_front() } else { None };
                match self.pass(&Value::Object(request), file) {
                    Ok(answer) => answer,
                    Err(error) => {
                        json!({"error": {"class": "GenericError", "desc": error.to_string()}})
                    }
                }
            }
        };
        if let (Value::Object(answer), Some(id)) = (&mut answer, id) {
            answer.insert("id".to_owned(), id);
        }
        Ok(self.writer.line(&answer)?)
    }

    fn pass(&mut self, request: &Value, file: Option<OwnedFd>) -> Result<Value> {
        self.listen()?;
        let domain = self.host.domain(&self.name)?;
        let files: Vec<_> = file.iter().map(AsFd::as_fd).collect();
        let said = self.host.command(&domain, &request.to_string(), &files)?;
        serde_json::from_str(&said).map_err(|error| Error::Client(error.to_string()))
    }
}

/// libvirt's event: a line for the socket.
unsafe extern "C" fn heard(
    _: virt_sys::virConnectPtr,
    _: virt_sys::virDomainPtr,
    event: *const libc::c_char,
    seconds: libc::c_longlong,
    micros: libc::c_uint,
    details: *const libc::c_char,
    opaque: *mut libc::c_void,
) {
    // SAFETY: libvirt's strings live across the call; `opaque` is the writer that was registered.
    let (writer, name, details) = unsafe {
        let details = (!details.is_null()).then(|| CStr::from_ptr(details).to_string_lossy());
        (
            &*opaque.cast::<Writer>(),
            CStr::from_ptr(event).to_string_lossy(),
            details,
        )
    };
    let data = details.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut line = json!({
        "event": name, "timestamp": {"seconds": seconds, "microseconds": micros},
    });
    if let (Value::Object(line), Some(data)) = (&mut line, data) {
        line.insert("data".to_owned(), data);
    }
    // A reader that has gone has no use for it.
    let _ = writer.line(&line);
}

unsafe extern "C" fn forget(opaque: *mut libc::c_void) {
    // SAFETY: what was registered, given back once.
    drop(unsafe { Box::from_raw(opaque.cast::<Writer>()) });
}
