//! The task that keeps charon running and its tunnels up.

use crate::buffers;
use crate::charon;
use crate::config::{Config, Esp, Peer};
use crate::error::{Error, Result};
use crate::guard::Guard;
use crate::peers::{Told, associations};
use crate::refused::Reader;
use crate::status::{self, PeerStatus};
use crate::vici::Session;
use crate::{Refusals, join, kernel};
use daemon::{Daemon, Host};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often tunnels are looked for that are missing.
const LOOK: Duration = Duration::from_millis(300);

/// A daemon that ended is started again after this, doubled each time it does not come, up to [`REST`].
const SOON: Duration = Duration::from_millis(50);
const REST: Duration = Duration::from_secs(5);

/// What the keeper is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Set(Vec<Peer>, Option<String>, oneshot::Sender<Result<()>>),
    Status(oneshot::Sender<Result<Vec<PeerStatus>>>),
    Pid(oneshot::Sender<Option<i32>>),
    End(oneshot::Sender<()>),
}

/// A running daemon with the conversation.
struct Running {
    charon: Daemon,
    session: Session,
    told: Told,
    reader: Reader,
}

/// Why the keeper leaves its daemon.
enum Left {
    Ended,
    Told(Option<oneshot::Sender<()>>),
}

pub(crate) struct Keeper {
    config: Config,
    host: Host,
    esp: Esp,
    peers: Vec<Peer>,
    revoked: Option<String>,
    refusals: Refusals,
    running: Option<Running>,
    guard: Guard,
}

impl Keeper {
    /// Starts the first daemon.
    pub(crate) async fn start(config: Config, refusals: Refusals) -> Result<Self> {
        let host = Host::open(config.netns.as_deref())?;
        let esp = kernel::choose(config.esp, &host).await?;
        let inner = config.inner;
        let mut keeper = Self {
            config,
            host,
            esp,
            peers: Vec::new(),
            revoked: None,
            refusals,
            running: None,
            guard: Guard::new((esp == Esp::Kernel).then_some(inner)),
        };
        if keeper.esp == Esp::Kernel {
            kernel::enter(&keeper.host, &keeper.config).await?;
        }
        let first = keeper.launch().await;
        match first {
            Ok(running) => keeper.running = Some(running),
            Err(error) => {
                keeper.leave().await;
                return Err(error);
            }
        }
        Ok(keeper)
    }

    pub(crate) fn esp(&self) -> Esp {
        self.esp
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
                    Err(error) => tracing::error!(%error, "IPsec is down"),
                }
                continue;
            };
            let begun = Instant::now();
            match self.look_after(&mut running, &mut inbox).await {
                Left::Told(reply) => {
                    running.charon.end(charon::GRACE).await;
                    break reply;
                }
                Left::Ended => {
                    let how = running.charon.end(charon::GRACE).await;
                    tracing::warn!(how, "charon has ended and is started again");
                    if begun.elapsed() > REST {
                        wait = SOON;
                    }
                }
            }
        };
        self.leave().await;
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    /// Starts a daemon and tells it everything.
    async fn launch(&mut self) -> Result<Running> {
        let charon = charon::start(&self.config, &self.host, self.esp).await?;
        if self.esp == Esp::UserSpace
            && let Some(pid) = charon.pid()
            && let Err(error) = buffers::raise(pid)
        {
            tracing::warn!(%error, "charon's receive buffers stay small: bursts may lose packets");
        }
        // Before any tunnel is there, so that none of its packets is delivered elsewhere.
        if let Some(switch) = &self.config.switch {
            join::make(&self.host, &self.config, switch).await?;
        }
        let mut session = Session::connect(&self.config.socket()).await?;
        let told = Told::introduce(&mut session, &self.config).await?;
        let mut running = Running {
            charon,
            session,
            told,
            reader: Reader::default(),
        };
        self.tell(&mut running).await?;
        Ok(running)
    }

    async fn tell(&mut self, running: &mut Running) -> Result<()> {
        let nets = self
            .peers
            .iter()
            .flat_map(|peer| peer.inner.iter().copied());
        self.guard.set(&self.host, nets.collect()).await?;
        running
            .told
            .set(
                &mut running.session,
                &self.config,
                self.esp,
                &self.peers,
                self.revoked.as_deref(),
            )
            .await?;
        running
            .told
            .call(&mut running.session, &self.config.id, Instant::now())
            .await
    }

    async fn look_after(
        &mut self,
        running: &mut Running,
        inbox: &mut mpsc::Receiver<Order>,
    ) -> Left {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                biased;
                line = running.charon.line() => match line {
                    None => return Left::Ended,
                    Some(line) => {
                        self.heard(&mut running.reader, &line);
                        Ok(())
                    }
                },
                order = inbox.recv() => match order {
                    None => return Left::Told(None),
                    Some(Order::End(reply)) => return Left::Told(Some(reply)),
                    Some(order) => self.carry_out(running, order).await,
                },
                _ = look.tick() => running
                    .told
                    .call(&mut running.session, &self.config.id, Instant::now())
                    .await,
            };
            if let Err(error @ Error::Silent { .. }) = done {
                tracing::warn!(%error, "charon is started again");
                // A daemon that hangs does not say goodbye either.
                return Left::Ended;
            }
        }
    }

    async fn carry_out(&mut self, running: &mut Running, order: Order) -> Result<()> {
        match order {
            Order::Set(peers, revoked, reply) => {
                self.peers = peers;
                if revoked.is_some() {
                    self.revoked = revoked;
                }
                let done = self.tell(running).await;
                let silent = matches!(done, Err(Error::Silent { .. }));
                let (answer, outcome) = match done {
                    Err(error) if silent => (Ok(()), Err(error)),
                    other => (other, Ok(())),
                };
                let _ = reply.send(answer);
                outcome
            }
            Order::Status(reply) => {
                let answer = match associations(&mut running.session).await {
                    Ok(all) => Ok(self.status(|id| all.get(id).map_or(&[], Vec::as_slice))),
                    Err(error) => Err(error),
                };
                let _ = reply.send(answer);
                Ok(())
            }
            Order::Pid(reply) => {
                let _ = reply.send(running.charon.pid());
                Ok(())
            }
            Order::End(_) => Ok(()),
        }
    }

    /// Waits without a daemon. Gives whom to tell when it was told to end.
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
                    Some(Order::Set(peers, revoked, reply)) => {
                        self.peers = peers;
                        if revoked.is_some() {
                            self.revoked = revoked;
                        }
                        let _ = reply.send(Ok(()));
                    }
                    Some(Order::Status(reply)) => {
                        let _ = reply.send(Ok(self.status(|_| &[])));
                    }
                    Some(Order::Pid(reply)) => {
                        let _ = reply.send(None);
                    }
                },
            }
        }
    }

    fn status<'a>(
        &self,
        associations: impl Fn(&str) -> &'a [crate::messages::Association],
    ) -> Vec<PeerStatus> {
        let one = |peer| status::of(peer, associations(&peer.id));
        self.peers.iter().map(one).collect()
    }

    fn heard(&self, reader: &mut Reader, line: &str) {
        tracing::debug!(target: "charon", "{line}");
        let Some(refusal) = reader.read(line, SystemTime::now()) else {
            return;
        };
        tracing::warn!(
            peer = refusal.peer.as_deref().unwrap_or("unknown"),
            endpoint = refusal.endpoint.as_deref().unwrap_or("unknown"),
            by_us = refusal.by_us,
            why = refusal.why,
            "IPsec: an authentication was refused"
        );
        let mut known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= crate::REFUSALS {
            known.pop_front();
        }
        known.push_back(refusal);
    }

    async fn leave(&mut self) {
        let _ = self.guard.set(&self.host, Default::default()).await;
        if let Some(switch) = &self.config.switch {
            join::undo(&self.host, &self.config, switch).await;
        }
        if self.esp == Esp::Kernel {
            kernel::leave(&self.host).await;
        }
    }
}
