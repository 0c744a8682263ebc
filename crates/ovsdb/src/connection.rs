//! The task that keeps a connection: opens it, moves bytes, probes, and opens it again when it broke.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
    time::{sleep, sleep_until, timeout},
};

use crate::{
    client::{ConnectionState, Options},
    error::RpcError,
    probe::{Probe, ProbeStep},
    protocol::{Incoming, Protocol, ProtocolError, RequestId, UpdateFormat},
    remote::{Remote, Stream},
};

pub(crate) type Answer = oneshot::Receiver<Result<Json, RpcError>>;

/// An update on its way to its monitor.
pub(crate) struct RawUpdate {
    pub(crate) format: UpdateFormat,
    pub(crate) tables: Json,
}

pub(crate) struct Shared {
    pub(crate) remote: Remote,
    pub(crate) options: Options,
    pub(crate) state: watch::Sender<ConnectionState>,
    pub(crate) next_monitor: AtomicU64,
    link: Mutex<Link>,
}

/// What belongs to one connection and is gone with it.
struct Link {
    protocol: Protocol,
    out: Option<mpsc::UnboundedSender<Vec<u8>>>,
    waiting: HashMap<RequestId, oneshot::Sender<Result<Json, RpcError>>>,
    /// `None` for a monitor whose reader fell behind: the server still has it, we no longer deliver.
    monitors: HashMap<u64, Option<mpsc::Sender<RawUpdate>>>,
}

impl Link {
    fn new(message_limit: usize, out: Option<mpsc::UnboundedSender<Vec<u8>>>) -> Self {
        Self {
            protocol: Protocol::new(message_limit),
            out,
            waiting: HashMap::new(),
            monitors: HashMap::new(),
        }
    }

    fn send(&mut self, method: &str, params: Json) -> Option<Answer> {
        let out = self.out.as_ref()?;
        let (id, bytes) = self.protocol.request(method, params);
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(id, sender);
        // If the task is just ending, it drops `waiting` next, which answers the caller.
        let _ = out.send(bytes);
        Some(receiver)
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        for incoming in self.protocol.feed(bytes)? {
            match incoming {
                Incoming::Reply { id, result } => {
                    if let Some(waiter) = self.waiting.remove(&id) {
                        // A caller that no longer waits does not want the answer.
                        let _ = waiter.send(result);
                    }
                }
                Incoming::Update {
                    monitor,
                    format,
                    tables,
                } => {
                    if let Some(slot) = self.monitors.get_mut(&monitor)
                        && let Some(reader) = slot
                        && reader.try_send(RawUpdate { format, tables }).is_err()
                    {
                        // The reader drains what it has, then finds the end and reads all tables anew.
                        *slot = None;
                    }
                }
                Incoming::Answer(bytes) => {
                    if let Some(out) = &self.out {
                        let _ = out.send(bytes);
                    }
                }
                Incoming::Stray(why) => tracing::debug!(why, "skipped an OVSDB message"),
            }
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) fn new(remote: Remote, options: Options) -> Self {
        let link = Link::new(options.message_limit, None);
        let state = watch::Sender::new(ConnectionState::Connecting {
            attempts: 0,
            cause: String::new(),
        });
        Self {
            remote,
            options,
            state,
            next_monitor: AtomicU64::new(1),
            link: Mutex::new(link),
        }
    }

    /// `None` while there is no connection. With `monitor`, its updates go to that channel from the first one on.
    pub(crate) fn send(
        &self,
        method: &str,
        params: Json,
        monitor: Option<(u64, mpsc::Sender<RawUpdate>)>,
    ) -> Option<Answer> {
        let mut link = self.link();
        let answer = link.send(method, params)?;
        if let Some((id, reader)) = monitor {
            link.monitors.insert(id, Some(reader));
        }
        Some(answer)
    }

    /// Ends a monitor here, and at the server if it is one of this connection.
    pub(crate) fn cancel_monitor(&self, id: u64) {
        let mut link = self.link();
        if link.monitors.remove(&id).is_some() {
            // Nobody waits for the answer.
            drop(link.send("monitor_cancel", json!([id])));
        }
    }

    /// Never ends; the client aborts it.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut generation = 0;
        let mut attempts = 0;
        let mut pause = self.options.backoff_min;
        loop {
            let limit = self.options.attempt_timeout;
            let cause = match timeout(limit, self.remote.open()).await {
                Ok(Ok(stream)) => {
                    generation += 1;
                    let (heard, cause) = self.serve(stream, generation).await;
                    if heard {
                        attempts = 0;
                        pause = self.options.backoff_min;
                    }
                    cause
                }
                Ok(Err(e)) => e.to_string(),
                Err(_) => format!("no connection within {limit:?}"),
            };
            attempts += 1;
            tracing::debug!(remote = %self.remote, cause, attempts, "no OVSDB connection");
            self.state
                .send_replace(ConnectionState::Connecting { attempts, cause });
            sleep(pause).await;
            pause = (pause * 2).min(self.options.backoff_max);
        }
    }

    /// One connection, to its end. Whether the server said anything, and why it ended.
    async fn serve(&self, stream: Box<dyn Stream>, generation: u64) -> (bool, String) {
        let (out, queue) = mpsc::unbounded_channel();
        *self.link() = Link::new(self.options.message_limit, Some(out));
        self.state
            .send_replace(ConnectionState::Connected { generation });
        let mut heard = false;
        let cause = match self.pump(stream, queue, &mut heard).await {
            Ok(never) => match never {},
            Err(e) => e.to_string(),
        };
        // Order matters: who finds no link must find the state changed as well, and wait.
        self.state.send_replace(ConnectionState::Connecting {
            attempts: 0,
            cause: cause.clone(),
        });
        *self.link() = Link::new(self.options.message_limit, None);
        (heard, cause)
    }

    async fn pump(
        &self,
        stream: Box<dyn Stream>,
        mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
        heard: &mut bool,
    ) -> io::Result<Infallible> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let probe = Mutex::new(Probe::new(self.options.probe_interval, Instant::now()));
        let read = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = reader.read(&mut buffer).await?;
                if count == 0 {
                    return Err(io::Error::other("the server hung up"));
                }
                *heard = true;
                lock(&probe).heard(Instant::now());
                self.link()
                    .take_in(&buffer[..count])
                    .map_err(io::Error::other)?;
            }
        };
        let write = async {
            while let Some(mut bytes) = queue.recv().await {
                while let Ok(more) = queue.try_recv() {
                    bytes.extend(more);
                }
                writer.write_all(&bytes).await?;
                writer.flush().await?;
            }
            Err(io::Error::other("the client was dropped"))
        };
        let probing = async {
            loop {
                let step = lock(&probe).step(Instant::now());
                match step {
                    ProbeStep::Sleep(until) => sleep_until(until.into()).await,
                    ProbeStep::Echo => drop(self.link().send("echo", json!([]))),
                    ProbeStep::Dead => return Err(io::Error::other("the server is silent")),
                }
            }
        };
        tokio::select! {
            end = read => end,
            end = write => end,
            end = probing => end,
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.link)
    }
}

/// Every change below a lock is whole before anything could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time limits of [`Options`], in one place.
pub(crate) const DEFAULTS: Options = Options {
    connect_timeout: Duration::from_secs(10),
    attempt_timeout: Duration::from_secs(5),
    probe_interval: Duration::from_secs(5),
    backoff_min: Duration::from_millis(10),
    backoff_max: Duration::from_secs(1),
    message_limit: 256 << 20,
};
