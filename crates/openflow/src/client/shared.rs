//! What the handles and the driver share.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::task::AbortHandle;

use super::ClientError;
use super::connect::Options;
use super::events::SwitchEvent;
use super::stream::Stream;
use crate::connection::{CloseReason, Connection, Event, Refusal};
use crate::message::{Body, Message};

/// The end of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    Reply(Body),
    Done(Vec<Refusal>),
    Failed(ClientError),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    waiters: HashMap<u32, oneshot::Sender<Outcome>>,
    /// How much of the connection's output is written already.
    written: usize,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) stream: Stream,
    pub(super) options: Options,
    pub(super) events: broadcast::Sender<SwitchEvent>,
    /// `None` until the versions agree.
    pub(super) status: watch::Sender<Option<Result<u8, CloseReason>>>,
    /// The driver has something to write.
    pub(super) work: Notify,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(stream: Stream, connection: Connection, options: Options) -> Self {
        Self {
            stream,
            events: broadcast::channel(options.event_capacity.max(1)).0,
            status: watch::channel(None).0,
            work: Notify::new(),
            state: Mutex::new(State {
                connection,
                waiters: HashMap::new(),
                written: 0,
            }),
            options,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state stays consistent even if a holder panicked: every step of it is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection is over, if it is.
    pub(super) fn closed(&self) -> Option<CloseReason> {
        self.status
            .borrow()
            .as_ref()
            .and_then(|s| s.as_ref().err().cloned())
    }

    /// The state of a connection that is not over.
    pub(super) fn lock_open(&self) -> Result<MutexGuard<'_, State>, ClientError> {
        let state = self.lock();
        if state.connection.is_closed() {
            return Err(self.closed().unwrap_or(CloseReason::PeerClosed).into());
        }
        Ok(state)
    }

    /// Sends what `make` puts out, and gives what comes back for it.
    pub(super) fn start(
        &self,
        make: impl FnOnce(&mut Connection) -> Result<u32, crate::EncodeError>,
    ) -> Result<(u32, oneshot::Receiver<Outcome>), ClientError> {
        let mut state = self.lock_open()?;
        let id = make(&mut state.connection)?;
        let (sender, receiver) = oneshot::channel();
        state.waiters.insert(id, sender);
        self.flush(&mut state);
        Ok((id, receiver))
    }

    /// Writes without waiting. What the socket does not take is left to the driver.
    pub(super) fn flush(&self, state: &mut State) {
        match self.write_some(state) {
            Ok(true) => {}
            // The driver meets the same failure when it waits for the socket, and reports it.
            Ok(false) | Err(_) => self.work.notify_one(),
        }
    }

    /// Writes until nothing is left (true) or the socket is full (false).
    pub(super) fn write_some(&self, state: &mut State) -> io::Result<bool> {
        let State {
            connection,
            written,
            ..
        } = state;
        let output = connection.output();
        while let Some(rest) = output.get(*written..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(n) => *written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        output.clear();
        // A big batch must not keep its memory for ever.
        output.shrink_to(64 << 10);
        *written = 0;
        Ok(true)
    }

    /// Hands out what the connection reports.
    pub(super) fn dispatch(&self, state: &mut State) {
        while let Some(event) = state.connection.poll_event() {
            match event {
                Event::Ready { version } => {
                    self.status.send_replace(Some(Ok(version)));
                }
                Event::Reply { id, body } => state.complete(id, Outcome::Reply(body)),
                Event::Done { id, refusals } => state.complete(id, Outcome::Done(refusals)),
                Event::Failed { id, failure } => {
                    state.complete(id, Outcome::Failed(failure.into()));
                }
                Event::Async(message) => self.publish(spontaneous(message)),
                Event::Error { xid, error } => self.publish(SwitchEvent::Error { xid, error }),
                Event::Malformed { error, bytes } => {
                    self.publish(SwitchEvent::Malformed {
                        error,
                        bytes: bytes.into(),
                    });
                }
                Event::Closed(reason) => {
                    self.status.send_replace(Some(Err(reason.clone())));
                    self.publish(SwitchEvent::Closed(reason));
                }
            }
        }
    }

    fn publish(&self, event: SwitchEvent) {
        // Fails only when nobody listens, which is everybody's right.
        let _ = self.events.send(event);
    }
}

impl State {
    fn complete(&mut self, id: u32, outcome: Outcome) {
        if let Some(waiter) = self.waiters.remove(&id) {
            // The caller may have given up.
            let _ = waiter.send(outcome);
        }
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.waiters.remove(&id);
        self.connection.cancel(id);
    }
}

fn spontaneous(message: Message) -> SwitchEvent {
    match message.body {
        Body::PacketIn(packet) => SwitchEvent::PacketIn(packet),
        Body::PortStatus(status) => SwitchEvent::PortStatus(status),
        Body::FlowRemoved(removed) => SwitchEvent::FlowRemoved(removed),
        _ => SwitchEvent::Other(message),
    }
}

/// Ends the driver, and with it the socket, when the last handle is gone.
#[derive(Debug)]
pub(super) struct Closer(pub(super) AbortHandle);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
