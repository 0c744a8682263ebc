//! The task that keeps openvpn running.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::management::{self, Status};
use crate::refused;
use crate::{Refusals, port};
use daemon::{Daemon, Host};
use std::collections::VecDeque;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// A process that ended is started again after this, doubled each time it does not last, up to [`REST`].
const SOON: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_secs(10);

/// The process is there this long after its start, or it is not coming.
const START: Duration = Duration::from_secs(10);

/// A process that was asked to end gets this long.
const GRACE: Duration = Duration::from_secs(2);

/// How many of its last words are kept, to say why it ended.
const WORDS: usize = 6;

/// What the keeper is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Status(oneshot::Sender<Result<Status>>),
    Revoke(String, oneshot::Sender<Result<()>>),
    Pid(oneshot::Sender<Option<i32>>),
    End(oneshot::Sender<()>),
}

/// Why the keeper leaves its process.
enum Left {
    Ended,
    Again,
    Told(Option<oneshot::Sender<()>>),
}

pub(crate) struct Keeper {
    config: Config,
    host: Host,
    refusals: Refusals,
    running: Option<Daemon>,
}

impl Keeper {
    /// Makes the port and starts the first process.
    pub(crate) async fn start(config: Config, refusals: Refusals) -> Result<Self> {
        let host = Host::open(config.netns.as_deref())?;
        let mut keeper = Self {
            config,
            host,
            refusals,
            running: None,
        };
        let first = async {
            port::make(&keeper.host, &keeper.config).await?;
            keeper.launch().await
        };
        match first.await {
            Ok(running) => keeper.running = Some(running),
            Err(error) => {
                port::remove(&keeper.host, &keeper.config).await;
                return Err(error);
            }
        }
        Ok(keeper)
    }

    /// Looks after it until it is told to end, or nobody is left who could tell.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut wait = SOON;
        let reply = loop {
            let Some(mut running) = self.running.take() else {
                if let Some(reply) = self.rest(&mut inbox, wait).await {
                    break reply;
                }
                wait = (wait * 2).min(REST);
                match self.launch().await {
                    Ok(running) => self.running = Some(running),
                    Err(error) => tracing::error!(%error, "the bridge is down"),
                }
                continue;
            };
            let begun = Instant::now();
            let left = self.look_after(&mut running, &mut inbox).await;
            let how = running.end(GRACE).await;
            match left {
                Left::Told(reply) => break reply,
                Left::Again => wait = SOON,
                Left::Ended => {
                    tracing::warn!(how, "openvpn has ended and is started again");
                    if begun.elapsed() > REST {
                        wait = SOON;
                    }
                }
            }
        };
        port::remove(&self.host, &self.config).await;
        // It holds the key.
        let _ = std::fs::remove_file(self.config.file());
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    async fn launch(&self) -> Result<Daemon> {
        self.write()?;
        let _ = std::fs::remove_file(self.config.socket());
        let mut command = self.host.command(&self.config.program);
        command.arg("--config").arg(self.config.file());
        let mut daemon = Daemon::spawn(command)?;
        let begun = Instant::now();
        let mut words = VecDeque::new();
        loop {
            let ended = daemon.ended();
            while let Some(line) = daemon.try_line() {
                tracing::debug!(target: "openvpn", "{line}");
                words.push_back(line);
                if words.len() > WORDS {
                    words.pop_front();
                }
            }
            if ended.is_some() || begun.elapsed() > START {
                let how = ended.unwrap_or_else(|| "it does not answer".to_owned());
                let said = words.make_contiguous().join("; ");
                return Err(Error::Start(format!("{how} ({said})")));
            }
            if UnixStream::connect(self.config.socket()).await.is_ok() {
                return Ok(daemon);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn write(&self) -> Result<()> {
        use std::io::Write;
        let rundir = &self.config.rundir;
        let failed = |path: &std::path::Path| {
            let path = path.to_owned();
            move |cause| Error::File { path, cause }
        };
        std::fs::create_dir_all(rundir)
            .and_then(|()| std::fs::set_permissions(rundir, PermissionsExt::from_mode(0o700)))
            .map_err(failed(rundir))?;
        let path = self.config.file();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        file.write_all(self.config.text().as_bytes())
            .map_err(failed(&path))
    }

    async fn look_after(
        &mut self,
        running: &mut Daemon,
        inbox: &mut mpsc::Receiver<Order>,
    ) -> Left {
        loop {
            tokio::select! {
                biased;
                line = running.line() => match line {
                    None => return Left::Ended,
                    Some(line) => self.heard(&line),
                },
                order = inbox.recv() => match order {
                    None => return Left::Told(None),
                    Some(Order::End(reply)) => return Left::Told(Some(reply)),
                    Some(Order::Status(reply)) => {
                        let _ = reply.send(management::status(&self.config.socket()).await);
                    }
                    Some(Order::Revoke(list, reply)) => {
                        self.config.revoked = Some(list);
                        let _ = reply.send(Ok(()));
                        return Left::Again;
                    }
                    Some(Order::Pid(reply)) => {
                        let _ = reply.send(running.pid());
                    }
                },
            }
        }
    }

    /// Waits without a process. Gives whom to tell when it was told to end.
    async fn rest(
        &mut self,
        inbox: &mut mpsc::Receiver<Order>,
        wait: Duration,
    ) -> Option<Option<oneshot::Sender<()>>> {
        let mut over = std::pin::pin!(sleep(wait));
        loop {
            tokio::select! {
                () = &mut over => return None,
                order = inbox.recv() => match order {
                    None => return Some(None),
                    Some(Order::End(reply)) => return Some(Some(reply)),
                    Some(Order::Status(reply)) => {
                        let _ = reply.send(Ok(Status::DOWN));
                    }
                    Some(Order::Revoke(list, reply)) => {
                        self.config.revoked = Some(list);
                        let _ = reply.send(Ok(()));
                    }
                    Some(Order::Pid(reply)) => {
                        let _ = reply.send(None);
                    }
                },
            }
        }
    }

    fn heard(&self, line: &str) {
        tracing::debug!(target: "openvpn", "{line}");
        let Some(refusal) = refused::read(line, SystemTime::now()) else {
            return;
        };
        tracing::warn!(why = refusal.why, "bridge: an authentication was refused");
        let mut known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= crate::REFUSALS {
            known.pop_front();
        }
        known.push_back(refusal);
    }
}
