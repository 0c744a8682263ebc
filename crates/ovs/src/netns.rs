//! A network namespace to work in, seen from a process that may live in another one.
//!
//! Sockets, tap devices and child processes belong to the namespace of the thread that makes them.
//! [`Netns`] is one thread that stays in one namespace and makes them on request, so that neither
//! tokio's workers nor the caller ever change theirs. An agent works in the namespace it was
//! started in ([`Netns::current`]); tests and benchmarks hold several hosts in one process
//! ([`Netns::fresh`]).
//!
//! What is not here: what is made in a namespace. See [`crate::netlink`], [`crate::tap`],
//! [`crate::frames`] and [`crate::daemons`].

use crate::error::{Error, Result};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, mpsc};

type Work = Box<dyn FnOnce() + Send>;

/// A thread that lives in one network namespace. Clones share the thread; it ends with the last.
#[derive(Clone, Debug)]
pub struct Netns {
    work: mpsc::Sender<Work>,
    handle: Arc<OwnedFd>,
}

impl Netns {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        Self::start(|| Ok(()))
    }

    /// A new, nameless namespace with `lo` down. It is gone when the last clone of the value, and
    /// every process and socket in it, is gone.
    pub fn fresh() -> Result<Self> {
        Self::start(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET))
    }

    /// A namespace with a name in the file system, for example `/run/netns/north`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Namespace {
            what: format!("open {}", path.display()),
            source,
        })?;
        Self::start(move || nix::sched::setns(file.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET))
    }

    fn start(enter: impl FnOnce() -> nix::Result<()> + Send + 'static) -> Result<Self> {
        let (work, jobs) = mpsc::channel::<Work>();
        let (entered, outcome) = mpsc::channel();
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                let done = enter()
                    .map_err(std::io::Error::from)
                    .and_then(|()| File::open("/proc/thread-self/ns/net"))
                    .map(OwnedFd::from);
                let good = done.is_ok();
                if entered.send(done).is_ok() && good {
                    for job in jobs {
                        job();
                    }
                }
            })
            .map_err(|source| Error::Namespace {
                what: "start a thread".to_owned(),
                source,
            })?;
        let handle = outcome
            .recv()
            .map_err(|_| std::io::Error::other("the thread ended early"))
            .and_then(|done| done)
            .map_err(|source| Error::Namespace {
                what: "enter it".to_owned(),
                source,
            })?;
        Ok(Self {
            work,
            handle: Arc::new(handle),
        })
    }

    /// The namespace as a file descriptor, for example to move a link into it.
    pub fn fd(&self) -> impl AsFd + '_ {
        self.handle.as_fd()
    }

    /// Runs `job` in the namespace and gives what it returns. The job may block for a short time.
    pub async fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, wait) = tokio::sync::oneshot::channel();
        self.work
            .send(Box::new(move || drop(answer.send(job()))))
            .map_err(|_| Error::NamespaceGone)?;
        wait.await.map_err(|_| Error::NamespaceGone)
    }

    /// As [`Netns::run`], for callers outside tokio.
    pub fn run_blocking<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, wait) = mpsc::channel();
        self.work
            .send(Box::new(move || drop(answer.send(job()))))
            .map_err(|_| Error::NamespaceGone)?;
        wait.recv().map_err(|_| Error::NamespaceGone)
    }

    /// Writes one value below `/proc/sys/net`, for example `ipv4/conf/all/arp_ignore`.
    pub async fn sysctl(&self, path: impl Into<String>, value: &'static str) -> Result<()> {
        self.sysctls(vec![(path.into(), value)]).await
    }

    /// Writes values below `/proc/sys/net`.
    pub async fn sysctls(&self, values: Vec<(String, &'static str)>) -> Result<()> {
        self.run(move || {
            for (path, value) in values {
                let path = format!("/proc/sys/net/{path}");
                std::fs::write(&path, value).map_err(|source| Error::Sysctl { path, source })?;
            }
            Ok(())
        })
        .await?
    }
}
