//! The relay's control socket: JSON lines, one answer for each request.
//!
//! ```text
//! {"op":"set","site":"north","direction":"up","delay_ms":20}   ->  {"ok":true}
//! {"op":"stats"}                                               ->  {"ok":true,"stats":{...}}
//! {"op":"reset_lateness"}                                      ->  {"ok":true}
//! anything else                                                ->  {"ok":false,"error":"..."}
//! ```
//!
//! [`serve`] runs on threads of its own and hands requests to the relay's loop; [`Client`] is the
//! other end.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::{Deserialize, Serialize};

use super::shaping::{Change, Shaping};
use super::stats::WanStats;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    Set(Change),
    Stats,
    ResetLateness,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<WanStats>,
}

impl Answer {
    pub(crate) fn done() -> Self {
        Self {
            ok: true,
            ..Self::default()
        }
    }

    pub(crate) fn error(text: impl ToString) -> Self {
        Self {
            error: Some(text.to_string()),
            ..Self::default()
        }
    }
}

pub(crate) type Pending = (Request, Sender<Answer>);

/// The loop's end of the control socket.
pub(crate) struct Inbox {
    wake: Arc<EventFd>,
    requests: Receiver<Pending>,
}

impl Inbox {
    pub(crate) fn take(&self) -> Option<Pending> {
        self.requests.try_recv().ok()
    }

    pub(crate) fn clear(&self) {
        // Non-blocking: nothing to read is fine.
        let _ = self.wake.read();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Listens on a path and serves every connection on a thread.
pub(crate) fn serve(path: &Path) -> io::Result<Inbox> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let wake = Arc::new(EventFd::from_flags(flags)?);
    let (sender, requests) = channel();
    let inbox = Inbox {
        wake: Arc::clone(&wake),
        requests,
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, wake) = (sender.clone(), Arc::clone(&wake));
            std::thread::spawn(move || {
                // A caller that breaks off ends its own thread only.
                let _ = converse(stream, &sender, &wake);
            });
        }
    });
    Ok(inbox)
}

fn converse(stream: UnixStream, sender: &Sender<Pending>, wake: &EventFd) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let answer = match serde_json::from_str(&line?) {
            Err(e) => Answer::error(e),
            Ok(request) => {
                let (reply, answer) = channel();
                let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
                sender
                    .send((request, reply))
                    .map_err(|_| io::ErrorKind::BrokenPipe)?;
                wake.write(1)?;
                answer.recv().map_err(gone)?
            }
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        out.write_all(&text)?;
    }
    Ok(())
}

/// What can go wrong with a request to the relay.
#[derive(Debug, thiserror::Error)]
pub enum WanError {
    /// It does not answer.
    #[error(
        "the WAN relay does not answer at {path}: see log/wan.log, or start the lab anew with `transhume lab down` and `transhume lab up`"
    )]
    Unreachable {
        /// Its control socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// A connection to the relay's control socket. Calls block for less than a millisecond.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    out: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Client {
    /// Connects to a relay.
    pub fn connect(path: &Path) -> Result<Self, WanError> {
        let open = || {
            let out = UnixStream::connect(path)?;
            out.set_read_timeout(Some(Duration::from_secs(10)))?;
            let answers = BufReader::new(out.try_clone()?);
            Ok(Self {
                path: path.to_owned(),
                out,
                answers,
            })
        };
        open().map_err(|source| WanError::Unreachable {
            path: path.to_owned(),
            source,
        })
    }

    /// Changes what accesses do. Refused as a whole when the site is unknown or a value is out of
    /// range.
    pub fn set(&mut self, change: &Change) -> Result<(), WanError> {
        self.ask(&Request::Set(change.clone())).map(drop)
    }

    /// Sets everything for all sites and both directions.
    pub fn set_all(&mut self, shaping: &Shaping) -> Result<(), WanError> {
        self.set(&Change::all_to(shaping))
    }

    /// Counters and settings.
    pub fn stats(&mut self) -> Result<WanStats, WanError> {
        let stats = self.ask(&Request::Stats)?.stats;
        stats.ok_or_else(|| WanError::Refused("the WAN relay sent no stats".to_owned()))
    }

    /// Starts the record of the relay's own error anew.
    pub fn reset_lateness(&mut self) -> Result<(), WanError> {
        self.ask(&Request::ResetLateness).map(drop)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, WanError> {
        let mut talk = || {
            let mut text = serde_json::to_vec(request)?;
            text.push(b'\n');
            self.out.write_all(&text)?;
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            Ok(serde_json::from_str::<Answer>(&line)?)
        };
        let answer = talk().map_err(|source| WanError::Unreachable {
            path: self.path.clone(),
            source,
        })?;
        match answer.ok {
            true => Ok(answer),
            false => Err(WanError::Refused(answer.error.unwrap_or_default())),
        }
    }
}
