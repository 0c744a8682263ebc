//! What travels over the warden's control socket: one JSON line each way, and with `exec` the
//! caller's three standard descriptors (SCM_RIGHTS, unix(7)).
//!
//! Here: the types and the framing. Not here: what the warden does with them.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::process::ProcessId;

/// A program to run in the box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The network namespace it runs in; `None` is the box's own (empty) one.
    pub netns: Option<String>,
    /// Program and arguments. [`crate::boxed::SELF_EXE`] as the first word runs our own binary.
    pub argv: Vec<String>,
    /// Environment variables on top of those of `lab up`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working directory; the lab folder when `None`.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Whether it goes before everything else when it has something to do (real-time scheduling).
    /// For what stands for hardware or measures: the WAN, probes. Only a caller who is root on the
    /// host can give that; otherwise it has no effect.
    #[serde(default)]
    pub urgent: bool,
}

impl Program {
    /// A program with its arguments, in a network namespace of the box.
    pub fn new<S: Into<String>>(netns: &str, argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            netns: Some(netns.to_owned()),
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The same program, going before everything else; see [`Program::urgent`].
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// The same program with one more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A request to the warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Makes a network namespace.
    NetnsAdd { name: String },
    /// Removes a network namespace (it lives on while processes are in it).
    NetnsDel { name: String },
    /// Starts a process under a name; its output goes to its log file.
    Spawn { name: String, program: Program },
    /// Runs a program with the three descriptors sent along, until it ends or the caller hangs up.
    Exec { program: Program },
    /// Sends a signal to a named process.
    Kill { name: String, signal: i32 },
    /// Lists namespaces and processes.
    Status,
    /// Ends everything: SIGTERM, and after the grace the box itself.
    Shutdown { grace_ms: u64 },
}

/// The warden's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Done.
    Done,
    /// A process runs.
    Spawned { process: ProcessStatus },
    /// A program ended.
    Exited { end: End },
    /// The list.
    Status { status: BoxStatus },
    /// Refused or failed.
    Error { message: String },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// Whether the exit code was 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// One supervised process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its name in the lab.
    pub name: String,
    /// Its network namespace.
    pub netns: Option<String>,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its pid inside the box.
    pub pid: i32,
    /// Its identity outside the box (what its pid file holds). `None` once it has ended, or where
    /// the host does not show it.
    pub outside: Option<ProcessId>,
    /// How it ended; `None` while it runs.
    pub end: Option<End>,
}

impl ProcessStatus {
    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        self.end.is_none()
    }
}

/// What is in the box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxStatus {
    /// The network namespaces by name, sorted.
    pub namespaces: Vec<String>,
    /// The supervised processes in the order of their start. One that has ended stays listed until
    /// its name is used again.
    pub processes: Vec<ProcessStatus>,
    /// Every process in the box, supervised or not, as pids inside (1 is the warden).
    pub all_pids: Vec<i32>,
}

/// Longest request line; more is refused.
const LONGEST_LINE: usize = 1 << 20;

/// Sends one line, and descriptors with its first byte.
pub(crate) fn send<T: Serialize>(
    stream: &mut UnixStream,
    value: &T,
    fds: &[RawFd],
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut sent = 0;
    if !fds.is_empty() {
        let rights = [ControlMessage::ScmRights(fds)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(&line)],
            &rights,
            flags,
            None,
        )?;
    }
    stream.write_all(&line[sent..])
}

/// Receives one line and the descriptors that came with it. `None` at the end of the stream.
pub(crate) fn receive<T: DeserializeOwned>(
    stream: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut line = Vec::new();
    let mut fds = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let mut space = nix::cmsg_space!([RawFd; 3]);
        let mut iov = [IoSliceMut::new(&mut chunk)];
        let received = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(stream.as_raw_fd(), &mut iov, Some(&mut space), flags) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => break other?,
            }
        };
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel has just installed these descriptors for us alone.
                fds.extend(
                    raw.into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
        }
        let bytes = received.bytes;
        if bytes == 0 {
            return match line.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        line.extend_from_slice(&chunk[..bytes]);
        if line.last() == Some(&b'\n') {
            return Ok(Some((serde_json::from_slice(&line)?, fds)));
        }
        if line.len() > LONGEST_LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "request too long",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn a_request_arrives_with_its_descriptors() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let file = File::open("/dev/zero").unwrap();
        let sent = Request::Exec {
            program: Program::new("north", ["true"]).env("A", "b"),
        };
        send(&mut left, &sent, &[file.as_raw_fd(); 3]).unwrap();
        let (got, fds) = receive::<Request>(&right).unwrap().unwrap();
        assert_eq!(got, sent);
        assert_eq!(fds.len(), 3);
        let mut byte = [1u8];
        File::from(fds.into_iter().next().unwrap())
            .read_exact(&mut byte)
            .unwrap();
        assert_eq!(byte, [0]);
    }

    #[test]
    fn half_a_request_is_an_error_and_none_at_all_is_the_end() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(b"{\"op\":").unwrap();
        drop(left);
        assert!(receive::<Request>(&right).is_err());
        let (left, right) = UnixStream::pair().unwrap();
        drop(left);
        assert!(receive::<Request>(&right).unwrap().is_none());
    }
}
