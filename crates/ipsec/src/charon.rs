//! strongSwan's daemon as a child process with a private `/run`.

use crate::config::{Config, DEVICE, Esp, strongswan};
use crate::error::{Error, Result};
use daemon::{Daemon, Host};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chdir;
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

/// The daemon is there this long after its start, or it is not coming.
const START: Duration = Duration::from_secs(10);

/// A daemon that was asked to end says goodbye to its peers for at most this long.
pub(crate) const GRACE: Duration = Duration::from_millis(1500);

/// How many of its last words are kept, to say why it ended.
const WORDS: usize = 8;

/// Starts the daemon and waits until its VICI socket answers.
pub(crate) async fn start(config: &Config, host: &Host, esp: Esp) -> Result<Daemon> {
    let places = Places::make(config)?;
    let file = config.file();
    write(&file, &strongswan(esp, &config.socket()))?;
    remove(&config.socket())?;
    let mut command = host.command(&config.charon);
    command.env("STRONGSWAN_CONF", &file);
    // SAFETY: only system calls on what was prepared before the fork; nothing is allocated.
    unsafe {
        command.pre_exec(move || places.enter().map_err(Into::into));
    }
    let mut daemon = Daemon::spawn(command)?;
    wait_for(&mut daemon, &config.socket()).await?;
    Ok(daemon)
}

async fn wait_for(daemon: &mut Daemon, socket: &Path) -> Result<()> {
    let begun = Instant::now();
    let mut words = VecDeque::new();
    loop {
        let ended = daemon.ended();
        while let Some(line) = daemon.try_line() {
            tracing::debug!(target: "charon", "{line}");
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
        if UnixStream::connect(socket).await.is_ok() {
            return Ok(());
        }
        if ended.is_some() || begun.elapsed() > START {
            let how = ended.unwrap_or_else(|| "it does not answer".to_owned());
            let said = words.make_contiguous().join("; ");
            return Err(Error::Start(format!("{how} ({said})")));
        }
        sleep(Duration::from_millis(10)).await;
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
