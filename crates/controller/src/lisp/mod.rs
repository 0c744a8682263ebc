//! The LISP Map-Server and Map-Resolver of the controller: sockets, clock, store and directory around
//! [`mapping::MapServer`].
//!
//! | module | job |
//! |---|---|
//! | [`config`] | what it is told when it starts |
//! | `feed` | the directory's changes become changes of mappings |
//! | [`turns`] | at which moment they do |
//! | `rows` | a row of the directory as mappings |
//! | `asked` | sites and mappings over REST |
//! | `outside` | what others register becomes rows of the directory |
//! | `kept` | what survives a restart |
//! | `wire` | sockets |

mod asked;
pub mod config;
mod feed;
mod kept;
mod log;
mod outside;
mod rows;
pub mod turns;
mod wire;

pub use config::LispConfig;
pub use turns::Turns;

use crate::{ControllerError, clock, lock};
use control::Key;
use feed::{Announcement, Followed};
use lisp::Eid;
use mapping::{Config, MapServer, Outcome, Pace};
use model::Nanos;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use store::Store;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use wire::{Wire, Wires};

/// The largest datagram that is read, bytes.
const MOST_BYTES: usize = 16 * 1024;
/// How often time is told to the server.
const TICK: Duration = Duration::from_millis(50);
/// How often what was registered is saved.
const SAVE: Duration = Duration::from_millis(100);

/// The Map-Server. Clones share it.
#[derive(Clone)]
pub struct Lisp {
    inner: Arc<Inner>,
}

struct Inner {
    server: Mutex<MapServer>,
    store: Arc<dyn Store>,
    turns: Turns,
    /// Who keeps the rows of the directory.
    registry: OnceLock<crate::Registry>,
    wires: Wires,
    ttl_minutes: u32,
    /// Also held while it is changed in the server and in the store, so that both say the same.
    described: AsyncMutex<kept::Described>,
    /// What endpoints of the directory have.
    directory: Mutex<BTreeSet<Eid>>,
    announce: UnboundedSender<Announcement>,
    log: log::Log,
}

/// A Map-Server that has taken its sockets and does not answer yet.
pub struct Opened {
    /// What it can be asked and told.
    pub lisp: Lisp,
    followed: Followed,
    announced: UnboundedReceiver<Announcement>,
}

impl Lisp {
    /// Takes the sockets and reads the store.
    ///
    /// # Errors
    /// An address is not this machine's or not free, or the store fails.
    pub async fn open(
        config: &LispConfig,
        store: Arc<dyn Store>,
        turns: Turns,
    ) -> Result<Opened, ControllerError> {
        let mut wires = Vec::new();
        for &address in &config.listen {
            let listen = |cause| ControllerError::Lisp { address, cause };
            wires.push(Wire::bind(address).await.map_err(listen)?);
        }
        let first = wires.first().map(|wire| wire.address.ip());
        let address = config.address.or(first);
        let address = address
            .filter(|address| !address.is_unspecified())
            .ok_or(ControllerError::LispAddress)?;
        let mut server = MapServer::new(
            Config {
                pace: Some(Pace {
                    per_second: config.per_second,
                    burst: config.burst,
                }),
                retry_after: Duration::from_millis(config.retry_ms.max(10)),
                most_bytes: MOST_BYTES,
                remember_unsaved: true,
                ..Config::default()
            },
            address,
        );
        let described = kept::Described::load(&store).await?;
        let before = kept::Before::load(&store).await?;
        let mut outcome = Outcome::default();
        for (name, spec) in &described.sites {
            let known = asked::site(spec).map_err(|problem| problem.to_string());
            let taken = known.and_then(|site| {
                let taken = server.put_site(site, now(), &mut outcome);
                taken.map_err(|error| error.to_string())
            });
            if let Err(error) = taken {
                tracing::error!(%name, %error, "a LISP site is left out");
            }
        }
        for (eid, spec) in &described.mappings {
            if let Err(error) = asked::hold(&mut server, *eid, spec, now(), &mut outcome) {
                tracing::error!(%eid, %error, "a mapping is left out");
            }
        }
        let (announce, announced) = unbounded_channel();
        let lisp = Self {
            inner: Arc::new(Inner {
                server: Mutex::new(server),
                store: store.clone(),
                turns,
                registry: OnceLock::new(),
                wires: Wires(wires),
                ttl_minutes: config.ttl_minutes,
                described: AsyncMutex::new(described),
                directory: Mutex::default(),
                announce,
                log: log::Log::default(),
            }),
        };
        let mut followed = Followed::default();
        lisp.read(&mut followed).await?;
        // After the directory: what it holds, no registration takes.
        before.restore(&mut lock(&lisp.inner.server), now());
        Ok(Opened {
            lisp,
            followed,
            announced,
        })
    }

    /// Where it is asked.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let wires = self.inner.wires.0.iter();
        wires.map(|wire| wire.address).collect()
    }

    /// Lets an endpoint's mapping turn to `locator` at a moment of the controller's clock; at once if that
    /// has passed. The directory's next change of the endpoint takes its place.
    pub fn announce(&self, key: &Key, locator: &model::Locator, at: Nanos) {
        let news = Announcement {
            key: key.clone(),
            locator: locator.clone(),
            at,
        };
        // Without a receiver the controller has ended.
        let _ = self.inner.announce.send(news);
    }

    /// How many mappings there are, of whatever source.
    pub fn mappings_count(&self) -> usize {
        lock(&self.inner.server).mappings()
    }

    /// How many subscriptions there are, and how many notifications wait for an acknowledgement.
    pub fn subscriptions(&self) -> (usize, usize) {
        let server = lock(&self.inner.server);
        (server.subscriptions(), server.unacknowledged())
    }

    /// How many datagrams were dropped, or parts of them refused, by reason.
    pub fn rejected(&self) -> Vec<(&'static str, u64)> {
        lock(&self.inner.server).rejected().iter().collect()
    }

    /// Does something to the server now, and logs what came of it; what is to be sent is the caller's.
    fn with_server(&self, act: impl FnOnce(&mut MapServer, Duration, &mut Outcome)) -> Outcome {
        let mut outcome = Outcome::default();
        let mut server = lock(&self.inner.server);
        act(&mut server, now(), &mut outcome);
        drop(server);
        self.inner.log.take(&outcome.audit);
        outcome
    }

    async fn listen(self, wire: usize) {
        let mut buffer = vec![0; MOST_BYTES + 1];
        let mut outcome = Outcome::default();
        let Some(socket) = self.inner.wires.0.get(wire) else {
            return std::future::pending().await;
        };
        loop {
            outcome.clear();
            let took = socket.receive(&mut buffer, |from, datagram| {
                lock(&self.inner.server).receive(from, datagram, now(), &mut outcome);
            });
            if let Err(error) = took.await {
                tracing::warn!(%error, "LISP messages cannot be received");
                tokio::time::sleep(TICK).await;
            }
            self.inner.log.take(&outcome.audit);
            self.inner.wires.send(&outcome, Some(wire)).await;
        }
    }

    async fn tick(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let outcome = self.with_server(MapServer::tick);
            self.inner.wires.send(&outcome, None).await;
        }
    }

    async fn save(self) {
        let mut ticks = tokio::time::interval(SAVE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (rows, eids) = {
                let mut server = lock(&self.inner.server);
                let unsaved = server.take_unsaved();
                (kept::changed(&server, &unsaved, now()), unsaved.eids)
            };
            self.reach(eids).await;
            let done = async {
                for txn in rows? {
                    self.inner.store.txn(txn).await?;
                }
                Ok::<_, store::StoreError>(())
            };
            if let Err(error) = done.await {
                tracing::error!(%error, "registrations are not saved");
            }
        }
    }
}

impl Opened {
    /// Has what other sites register told to the directory.
    pub async fn telling(self, registry: crate::Registry) -> Self {
        let _ = self.lisp.inner.registry.set(registry);
        self.lisp.reach_again().await;
        self
    }

    /// Answers until the tasks are ended.
    pub fn serve(self, tasks: &mut JoinSet<()>) {
        let Self {
            lisp,
            followed,
            announced,
        } = self;
        for wire in 0..lisp.inner.wires.0.len() {
            tasks.spawn(lisp.clone().listen(wire));
        }
        tasks.spawn(lisp.clone().tick());
        tasks.spawn(lisp.clone().save());
        tasks.spawn(lisp.follow(followed, announced));
    }
}

/// The server's clock.
fn now() -> Duration {
    Duration::from_nanos(u64::try_from(clock::now().0).unwrap_or_default())
}
