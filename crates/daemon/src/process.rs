//! A program that runs beside us and says on a pipe what it does.

use crate::{Error, Result};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// One running program. It ends with the value, and with this process.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
}

impl Daemon {
    /// Starts it. Nothing is given it to read.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let parent = getpid();
        // SAFETY: two system calls; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(Signal::SIGTERM)?;
                // The parent may have ended before it was asked for.
                match getppid() == parent {
                    true => Ok(()),
                    false => Err(std::io::ErrorKind::NotConnected.into()),
                }
            });
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| Error::Program {
                program: command.as_std().get_program().to_string_lossy().into(),
                cause,
            })?;
        let (say, log) = mpsc::unbounded_channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, say.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, say));
        }
        Ok(Self { child, log })
    }

    /// Its process, unless it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|id| i32::try_from(id).ok())
    }

    /// The next line that it says; `None` when it has closed its output, as it does when it ends.
    pub async fn line(&mut self) -> Option<String> {
        self.log.recv().await
    }

    /// A line that it has said already.
    pub fn try_line(&mut self) -> Option<String> {
        self.log.try_recv().ok()
    }

    /// How it has ended, when it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(status.to_string())
    }

    /// Asks it to end, waits so long, then kills it. Gives how it ended.
    pub async fn end(mut self, grace: Duration) -> String {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if let Ok(Ok(status)) = timeout(grace, self.child.wait()).await {
            return status.to_string();
        }
        let _ = self.child.kill().await;
        "it did not end by itself and was killed".to_owned()
    }
}

async fn listen(pipe: impl AsyncRead + Unpin, say: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    // To the end, even when nobody listens: it must not block on a pipe that is full.
    while let Ok(Some(line)) = lines.next_segment().await {
        let _ = say.send(String::from_utf8_lossy(&line).into_owned());
    }
}
