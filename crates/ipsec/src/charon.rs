//! strongSwan's daemon as a child process: private `/run`, log on a pipe, buffers that hold a burst.

use crate::config::{Config, DEVICE, Esp, strongswan};
use crate::error::{Error, Result};
use crate::host::Host;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chdir};
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// The daemon is there this long after its start, or it is not coming.
const START: Duration = Duration::from_secs(10);

/// A daemon that was asked to end says goodbye to its peers for at most this long.
const GRACE: Duration = Duration::from_millis(1500);

/// How many of its last words are kept, to say why it ended.
const WORDS: usize = 8;

/// One running daemon. Dropping it kills it.
pub(crate) struct Charon {
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
}

impl Charon {
    /// Starts the daemon and waits until its VICI socket answers.
    pub(crate) async fn start(config: &Config, host: &Host, esp: Esp) -> Result<Self> {
        let places = Places::make(config)?;
        let file = config.file();
        write(&file, &strongswan(esp, &config.socket()))?;
        remove(&config.socket())?;
        let mut command = host.command(&config.charon);
        command
            .env("STRONGSWAN_CONF", &file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let parent = nix::unistd::getpid();
        // SAFETY: only system calls on what was prepared before the fork; nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(Signal::SIGTERM)?;
                if nix::unistd::getppid() != parent {
                    return Err(std::io::ErrorKind::NotConnected.into());
                }
                places.enter().map_err(Into::into)
            });
        }
        let mut child = command.spawn().map_err(|cause| Error::Program {
            program: config.charon.display().to_string(),
            cause,
        })?;
        let (say, log) = mpsc::unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    tracing::debug!(target: "charon", "{line}");
                    if say.send(line).is_err() {
                        // It must not block on a pipe that nobody reads.
                        continue;
                    }
                }
            });
        }
        let mut charon = Self { child, log };
        charon.wait_for(&config.socket()).await?;
        Ok(charon)
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|id| i32::try_from(id).ok())
    }

    /// The next line that it says, or `None` when it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.log.recv().await
    }

    /// Ends it, so that it takes leave of its peers.
    pub(crate) async fn end(mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            if timeout(GRACE, self.child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = self.child.kill().await;
    }

    /// How it ended, for one that has.
    pub(crate) async fn status(&mut self) -> String {
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            _ => "its log was closed".to_owned(),
        }
    }

    async fn wait_for(&mut self, socket: &Path) -> Result<()> {
        let begun = Instant::now();
        let mut words = VecDeque::new();
        loop {
            while let Ok(line) = self.log.try_recv() {
                if let Some((_, device)) = line.split_once("created TUN device: ")
                    && device != DEVICE
                {
                    return Err(Error::Start(format!(
                        "there is a device {DEVICE} already; end the other IPsec on this host"
                    )));
                }
                words.push_back(line);
                if words.len() > WORDS {
                    words.pop_front();
                }
            }
            if tokio::net::UnixStream::connect(socket).await.is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > START {
                let how = ended.map_or("it does not answer".to_owned(), |s| s.to_string());
                let said = words.make_contiguous().join("; ");
                return Err(Error::Start(format!("{how} ({said})")));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Where the daemon lives. It writes `/run/charon.pid` and refuses a second one, so each has a `/run` of
/// its own, a folder of the run directory; where the run directory is itself below `/run`, it stays
/// visible at its own path.
struct Places {
    rundir: CString,
    again: bool,
}

impl Places {
    fn make(config: &Config) -> Result<Self> {
        let own = |path: PathBuf| -> Result<()> {
            std::fs::create_dir_all(&path)
                .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)))
                .map_err(|cause| Error::File { path, cause })
        };
        own(config.rundir.clone())?;
        let rundir = config.rundir.canonicalize().map_err(|cause| Error::File {
            path: config.rundir.clone(),
            cause,
        })?;
        own(rundir.join("run"))?;
        // Left by one that was killed; its process number may be another one's by now.
        remove(&rundir.join("run/charon.pid"))?;
        let below = rundir.strip_prefix("/run").ok();
        if let Some(below) = below {
            own(rundir.join("run").join(below))?;
        }
        let again = below.is_some();
        let rundir = CString::new(rundir.as_os_str().as_bytes())
            .map_err(|_| Error::Config("rundir has a zero byte".to_owned()))?;
        Ok(Self { rundir, again })
    }

    fn enter(&self) -> nix::Result<()> {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        // The folder stays in reach as the current one while its path is covered.
        chdir(self.rundir.as_c_str())?;
        mount(Some("run"), "/run", NONE, MsFlags::MS_BIND, NONE)?;
        if self.again {
            mount(
                Some("."),
                self.rundir.as_c_str(),
                NONE,
                MsFlags::MS_BIND,
                NONE,
            )?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|cause| Error::File {
        path: path.to_owned(),
        cause,
    })
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            path: path.to_owned(),
            cause,
        }),
        _ => Ok(()),
    }
}
