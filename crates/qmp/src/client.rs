//! The protocol over a unix socket, with Tokio.

use std::{
    collections::HashMap,
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{Notify, broadcast, oneshot},
    task::AbortHandle,
};

use crate::{
    error::QmpError,
    outbox::Outbox,
    protocol::{Event, Greeting, Incoming, Protocol, RequestId},
};

/// How long [`Qmp::connect`] tries: 10 s.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Events kept for a receiver that is slow; one that falls further behind is told how many it missed.
pub const EVENT_CAPACITY: usize = 1024;

/// A connection to one QEMU. Clones share it; it closes when the last one is dropped.
///
/// Every method may be called from many tasks at once and may be cancelled at any time: a request that was
/// sent is then still carried out. No method but `connect` has a deadline of its own, since some commands
/// rightly take long; wrap it in `tokio::time::timeout` where needed.
#[derive(Clone)]
pub struct Qmp {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    greeting: Greeting,
    task: AbortHandle,
    first_receiver: Mutex<Option<broadcast::Receiver<Event>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    stream: UnixStream,
    state: Mutex<State>,
    outbox_filled: Notify,
}

struct State {
    protocol: Protocol,
    waiting: HashMap<RequestId, oneshot::Sender<Result<Value, QmpError>>>,
    greeting: Option<oneshot::Sender<Greeting>>,
    outbox: Outbox,
    events: Option<broadcast::Sender<Event>>,
    closed: Option<String>,
}

impl fmt::Debug for Qmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qmp")
            .field("greeting", self.greeting())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl Qmp {
    /// Connects and negotiates, trying for [`CONNECT_DEADLINE`]; see [`Qmp::connect_within`].
    ///
    /// # Errors
    /// As [`Qmp::connect_within`].
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, QmpError> {
        Self::connect_within(path, CONNECT_DEADLINE).await
    }

    /// Waits until the socket exists and accepts, then for QEMU's greeting, then leaves the negotiation mode.
    ///
    /// # Errors
    /// [`QmpError::Deadline`] when that took longer than `deadline`; [`QmpError::Connect`] when the socket cannot
    /// be opened for another reason than that nobody listens yet; [`QmpError::Closed`] when QEMU hung up.
    pub async fn connect_within(
        path: impl AsRef<Path>,
        deadline: Duration,
    ) -> Result<Self, QmpError> {
        let path = path.as_ref();
        let mut state =
            "nobody listens there; is QEMU started with -qmp unix:PATH,server=on,wait=off?";
        let handshake = async {
            let stream = open(path, &mut state).await?;
            state = TAKEN;
            Self::negotiate(stream).await
        };
        match tokio::time::timeout(deadline, handshake).await {
            Ok(result) => result,
            Err(_) => Err(QmpError::Deadline {
                path: path.to_owned(),
                waited: deadline,
                state: state.to_owned(),
            }),
        }
    }

    /// Negotiates over a stream that is already connected, without a deadline.
    ///
    /// # Errors
    /// [`QmpError::Closed`] when QEMU hung up, [`QmpError::Command`] when it refused.
    pub async fn negotiate(stream: UnixStream) -> Result<Self, QmpError> {
        let (greeting_sender, greeting) = oneshot::channel();
        let (events, first_receiver) = broadcast::channel(EVENT_CAPACITY);
        let shared = Arc::new(Shared {
            stream,
            outbox_filled: Notify::new(),
            state: Mutex::new(State {
                protocol: Protocol::default(),
                waiting: HashMap::new(),
                greeting: Some(greeting_sender),
                outbox: Outbox::default(),
                events: Some(events),
                closed: None,
            }),
        });
        let runner = shared.clone();
        let task = tokio::spawn(async move { runner.run().await }).abort_handle();
        let mut handle = Handle {
            shared,
            greeting: Greeting {
                version: None,
                package: String::new(),
                capabilities: Vec::new(),
            },
            task,
            first_receiver: Mutex::new(Some(first_receiver)),
        };
        handle.greeting = match greeting.await {
            Ok(greeting) => greeting,
            Err(_) => return Err(handle.shared.closed()),
        };
        let qmp = Self {
            handle: Arc::new(handle),
        };
        qmp.execute("qmp_capabilities", Value::Null).await?;
        Ok(qmp)
    }

    /// What QEMU said of itself.
    pub fn greeting(&self) -> &Greeting {
        &self.handle.greeting
    }

    /// Runs a command; `args` is an object, or null for none.
    ///
    /// # Errors
    /// [`QmpError::Command`] when QEMU refuses, [`QmpError::Closed`] when the connection is or gets lost.
    pub async fn execute(&self, command: &str, args: Value) -> Result<Value, QmpError> {
        self.handle.shared.request(command, args, None).await
    }

    /// [`Qmp::execute`], with the answer read into a type.
    ///
    /// # Errors
    /// As `execute`, and [`QmpError::Shape`].
    pub async fn query<T: DeserializeOwned>(
        &self,
        command: &str,
        args: Value,
    ) -> Result<T, QmpError> {
        let value = self.execute(command, args).await?;
        serde_json::from_value(value).map_err(|source| QmpError::Shape {
            command: command.to_owned(),
            source,
        })
    }

    /// Runs a command that takes a file descriptor along (`getfd`, `add-fd`), by `SCM_RIGHTS`. The caller
    /// keeps its own copy.
    ///
    /// # Errors
    /// As `execute`, and [`QmpError::Descriptor`].
    pub async fn execute_with_fd(
        &self,
        command: &str,
        args: Value,
        fd: impl AsFd,
    ) -> Result<Value, QmpError> {
        self.handle
            .shared
            .request(command, args, Some(fd.as_fd()))
            .await
    }

    /// Hands QEMU a file descriptor under a name that later commands use (`migrate fd:NAME`, `netdev_add`).
    ///
    /// # Errors
    /// As [`Qmp::execute_with_fd`].
    pub async fn getfd(&self, name: &str, fd: impl AsFd) -> Result<(), QmpError> {
        self.execute_with_fd("getfd", serde_json::json!({"fdname": name}), fd)
            .await
            .map(drop)
    }

    /// Events from now on. The first receiver that is asked for also gets those since the connection was made,
    /// so none is missed. A receiver ends with `Closed` when the connection does.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        if let Some(first) = lock(&self.handle.first_receiver).take() {
            return first;
        }
        match &lock(&self.handle.shared.state).events {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.handle.shared.state).closed.is_some()
    }
}

impl Shared {
    fn request(
        &self,
        command: &str,
        args: Value,
        fd: Option<BorrowedFd<'_>>,
    ) -> impl Future<Output = Result<Value, QmpError>> + Send + use<> {
        let answer = self.send(command, args, fd);
        async move {
            let lost = || QmpError::Closed {
                reason: "the client was dropped".to_owned(),
            };
            answer?.await.unwrap_or_else(|_| Err(lost()))
        }
    }

    fn send(
        &self,
        command: &str,
        args: Value,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<oneshot::Receiver<Result<Value, QmpError>>, QmpError> {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            drop(state);
            return Err(self.closed());
        }
        let state = &mut *state;
        let (id, bytes) = state.protocol.request(command, args)?;
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id, sender);
        if let Err(e) = state.outbox.push(&self.stream, bytes, fd) {
            if fd.is_some()
                && matches!(
                    e.raw_os_error(),
                    Some(nix::libc::EMFILE | nix::libc::ETOOMANYREFS)
                )
            {
                // Nothing was sent, so only this request fails.
                state.waiting.remove(&id);
                state.protocol.forget(id);
                return Err(QmpError::Descriptor {
                    command: command.to_owned(),
                    source: e,
                });
            }
            state.close(&e.to_string());
        } else if !state.outbox.is_empty() {
            self.outbox_filled.notify_one();
        }
        Ok(receiver)
    }

    async fn run(&self) {
        let reason = match self.pump().await {
            Ok(()) => "QEMU hung up".to_owned(),
            Err(e) => e.to_string(),
        };
        lock(&self.state).close(&reason);
    }

    async fn pump(&self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let mut interest = Interest::READABLE;
            if !lock(&self.state).outbox.is_empty() {
                interest |= Interest::WRITABLE;
            }
            let ready = tokio::select! {
                ready = self.stream.ready(interest) => ready?,
                () = self.outbox_filled.notified() => continue,
            };
            if ready.is_writable() {
                lock(&self.state).outbox.flush(&self.stream)?;
            }
            if ready.is_readable() {
                match self.stream.try_read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => lock(&self.state).take_in(&buffer[..count], Instant::now()),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }

    fn closed(&self) -> QmpError {
        QmpError::Closed {
            reason: lock(&self.state).closed.clone().unwrap_or_default(),
        }
    }
}

impl State {
    fn take_in(&mut self, bytes: &[u8], now: Instant) {
        for incoming in self.protocol.feed(bytes, now) {
            match incoming {
                Incoming::Reply { id, result } => {
                    if let Some(waiter) = self.waiting.remove(&id) {
                        // A caller that no longer waits does not want the answer.
                        let _ = waiter.send(result);
                    }
                }
                Incoming::Event(event) => {
                    if let Some(events) = &self.events {
                        // Nobody listens: nothing to do.
                        let _ = events.send(event);
                    }
                }
                Incoming::Greeting(greeting) => {
                    if let Some(waiter) = self.greeting.take() {
                        let _ = waiter.send(greeting);
                    }
                }
                Incoming::Junk(why) => tracing::warn!(why, "skipped a line from QEMU"),
            }
        }
    }

    fn close(&mut self, reason: &str) {
        self.closed.get_or_insert_with(|| reason.to_owned());
        self.greeting = None;
        self.events = None;
        for (_, waiter) in self.waiting.drain() {
            let _ = waiter.send(Err(QmpError::Closed {
                reason: reason.to_owned(),
            }));
        }
    }
}

const NOBODY: &str =
    "nobody listens there; is QEMU started with -qmp unix:PATH,server=on,wait=off?";
const TAKEN: &str =
    "the socket is there, but QEMU does not greet; does another client hold this monitor?";

/// Opens the socket, waiting while it does not exist, nobody listens, or its queue is full.
async fn open(path: &Path, state: &mut &str) -> Result<UnixStream, QmpError> {
    let mut pause = Duration::from_millis(1);
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(e) => match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => *state = NOBODY,
                io::ErrorKind::WouldBlock => *state = TAKEN,
                _ => {
                    return Err(QmpError::Connect {
                        path: path.to_owned(),
                        source: e,
                    });
                }
            },
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The state stays usable after a panic elsewhere: each change to it is whole before anything can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
