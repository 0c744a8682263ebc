//! The part that does something: hears the kernel, probes, runs commands, updates names.

mod command;
mod kernel;
mod names;
mod probe;
mod renew;
mod tunnel;

use crate::machine::{Do, Step, Watchdog};
use crate::{Status, WatchdogConfig};
use kernel::Kernel;
use names::OwnNames;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How often the kernel is asked even when it says nothing: its news can be lost.
const LOOK: Duration = Duration::from_secs(5);

/// Why the watchdog does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::InvalidConfig),
    /// Secrets of servers and providers.
    #[error(transparent)]
    Names(#[from] dns::edge::EdgeError),
    /// The kernel.
    #[error("the kernel cannot be asked about links and routes: {0}")]
    Kernel(io::Error),
    /// The status.
    #[error("cannot write the status to {}: {cause}; name another place in `status_file`", path.display())]
    Status {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
}

/// What has come of something that was started.
enum Came {
    Probed(bool),
    Done(Step, Result<(), String>),
}

struct Runner {
    config: Arc<WatchdogConfig>,
    dog: Watchdog,
    kernel: Kernel,
    names: Arc<Mutex<OwnNames>>,
    begun: Instant,
    work: JoinSet<Came>,
    told: Option<Status>,
}

/// Watches until it is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// See [`WatchdogError`].
pub async fn run(config: WatchdogConfig) -> Result<(), WatchdogError> {
    config.check()?;
    let names = OwnNames::open(&config.names)?;
    let kernel = Kernel::open(&config.interface).map_err(WatchdogError::Kernel)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(WatchdogError::Signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(WatchdogError::Signals)?;
    let mut runner = Runner {
        dog: Watchdog::new(config.tuning()),
        config: Arc::new(config),
        kernel,
        names: Arc::new(Mutex::new(names)),
        begun: Instant::now(),
        work: JoinSet::new(),
        told: None,
    };
    runner.look().await;
    runner.tell()?;
    tracing::info!(interface = runner.config.interface, "the watchdog watches");
    tokio::select! {
        ended = runner.watch() => ended,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

impl Runner {
    async fn watch(&mut self) -> Result<(), WatchdogError> {
        loop {
            while let Some(what) = self.dog.next(self.begun.elapsed()) {
                self.start(what);
            }
            self.tell()?;
            let wake = match self.dog.wake() {
                Some(wake) => wake.saturating_sub(self.begun.elapsed()).min(LOOK),
                None => LOOK,
            };
            tokio::select! {
                () = self.kernel.news() => self.look().await,
                Some(Ok(came)) = self.work.join_next() => match came {
                    Came::Probed(reached) => self.dog.probed(reached, self.begun.elapsed()),
                    Came::Done(step, outcome) => {
                        if let Err(why) = &outcome {
                            tracing::warn!(?step, %why, "a step failed");
                        }
                        // What it has changed, before what comes of it.
                        self.look().await;
                        self.dog.done(step, outcome, self.begun.elapsed());
                    }
                },
                () = tokio::time::sleep(wake) => {
                    if wake == LOOK {
                        self.look().await;
                    }
                }
            }
        }
    }

    async fn look(&mut self) {
        match self.kernel.look().await {
            Ok(seen) => self.dog.seen(seen, self.begun.elapsed()),
            Err(error) => tracing::warn!(%error, "the kernel does not say how the link is"),
        }
    }

    fn start(&mut self, what: Do) {
        let config = self.config.clone();
        match what {
            Do::Probe => {
                self.work.spawn(async move {
                    let reached = match &config.target {
                        Some(target) => probe::probe(target).await,
                        None => true,
                    };
                    Came::Probed(reached)
                });
            }
            Do::Start(step) => {
                let (names, place) = (
                    self.names.clone(),
                    self.dog.place().cloned().unwrap_or_default(),
                );
                tracing::info!(?step, why = self.dog.sentence(), "a step begins");
                self.work.spawn(async move {
                    let outcome = match step {
                        Step::Renew => renew::renew(&config).await,
                        Step::Tunnel => tunnel::restore(&config, &place).await,
                        Step::Names => names.lock().await.update(&place).await,
                    };
                    Came::Done(step, outcome)
                });
            }
        }
    }

    /// Writes how it stands, where that has changed.
    fn tell(&mut self) -> Result<(), WatchdogError> {
        let since = self.told.as_ref().map_or(0, |told| told.since_unix_ms);
        let mut status = Status::of(&self.dog, &self.config.interface, since);
        if self.told.as_ref() == Some(&status) {
            return Ok(());
        }
        if self
            .told
            .as_ref()
            .is_none_or(|told| told.phase != status.phase)
        {
            status.since_unix_ms = unix_ms();
            tracing::info!(phase = ?status.phase, "{}", status.message);
        }
        let path = &self.config.status_file;
        status.write(path).map_err(|cause| WatchdogError::Status {
            path: path.clone(),
            cause,
        })?;
        self.told = Some(status);
        Ok(())
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
