//! One agent's connection: orders out, answers back, and how long that took.

use super::OrderError;
use super::outbox::{NotTaken, Outbox};
use super::patience::patience;
use super::rows::{Bearing, Rows};
use crate::lock;
use model::HostName;
use model::news::{Answer, Hello};
use model::order::{Down, Order};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Round trips that are remembered.
const TRIPS: usize = 32;

/// How an order went, as the agent says.
type Outcome = Result<Answer, String>;

/// One agent's connection.
pub(crate) struct Connection {
    hello: Hello,
    outbox: Outbox,
    asked: Mutex<HashMap<u64, Asked>>,
    /// Held while orders about rows are written, so that they leave in their order.
    rows: Mutex<Rows<Order>>,
    number: AtomicU64,
    trips: Mutex<VecDeque<Duration>>,
    stall_ms: Mutex<Option<f64>>,
    heard: Mutex<Instant>,
    ended: CancellationToken,
}

struct Asked {
    answer: oneshot::Sender<Outcome>,
    sent: Instant,
}

impl Connection {
    pub(crate) fn new(hello: Hello, outbox: Outbox) -> Self {
        Self {
            hello,
            outbox,
            asked: Mutex::default(),
            rows: Mutex::default(),
            number: AtomicU64::new(1),
            trips: Mutex::default(),
            stall_ms: Mutex::default(),
            heard: Mutex::new(Instant::now()),
            ended: CancellationToken::new(),
        }
    }

    pub(crate) fn host(&self) -> &HostName {
        &self.hello.host
    }

    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Gives an order.
    pub(crate) fn send(self: &Arc<Self>, order: Order) -> Result<Waiting, OrderError> {
        let host = || self.host().clone();
        let patience = patience(&order);
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        lock(&self.asked).insert(
            id,
            Asked {
                answer,
                sent: Instant::now(),
            },
        );
        // Forgets the question when it is dropped, so also on the two ways out below.
        let waiting = Waiting {
            connection: self.clone(),
            id,
            receiver,
            patience,
        };
        let written = match bearing(&order) {
            None => self.write(id, order),
            Some(bearing) => {
                let mut rows = lock(&self.rows);
                match rows.begin(id, bearing, order) {
                    Some(order) => self.write(id, order),
                    None => Ok(()),
                }
            }
        };
        match written {
            Ok(()) => Ok(waiting),
            Err(NotTaken::Closed) => Err(OrderError::NotConnected { host: host() }),
            Err(NotTaken::TooLarge) => {
                self.end_of_rows(id);
                Err(OrderError::TooLarge { host: host() })
            }
        }
    }

    fn write(&self, id: u64, order: Order) -> Result<(), NotTaken> {
        self.outbox.push(&Down::Order {
            id,
            order: Box::new(order),
        })
    }

    /// Writes the orders that waited for this one.
    fn end_of_rows(&self, id: u64) {
        let mut rows = lock(&self.rows);
        let mut ended = VecDeque::from([id]);
        while let Some(id) = ended.pop_front() {
            for (id, order) in rows.end(id) {
                if self.write(id, order) == Err(NotTaken::TooLarge) {
                    lock(&self.asked).remove(&id);
                    ended.push_back(id);
                }
            }
        }
    }

    /// Takes the answer to an order; one that nobody waits for any more is dropped.
    pub(crate) fn answered(&self, id: u64, outcome: Outcome) {
        self.end_of_rows(id);
        let Some(asked) = lock(&self.asked).remove(&id) else {
            return;
        };
        let mut trips = lock(&self.trips);
        if trips.len() == TRIPS {
            trips.pop_front();
        }
        trips.push_back(asked.sent.elapsed());
        drop(trips);
        let _ = asked.answer.send(outcome);
    }

    /// The shortest of the recent round trips.
    pub(crate) fn shortest_trip(&self) -> Option<Duration> {
        lock(&self.trips).iter().min().copied()
    }

    /// Takes note that the agent has said something.
    pub(crate) fn is_heard(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// Whether it has said something within this time.
    pub(crate) fn heard_within(&self, time: Duration) -> bool {
        lock(&self.heard).elapsed() < time
    }

    /// What the host said of its load.
    pub(crate) fn set_stall_ms(&self, ms: f64) {
        *lock(&self.stall_ms) = Some(ms);
    }

    /// Longest that an ordinary thread of the host waited for a CPU lately, ms.
    pub(crate) fn stall_ms(&self) -> Option<f64> {
        *lock(&self.stall_ms)
    }

    /// Ends the connection: whoever waits for an answer learns that it is lost.
    pub(crate) fn end(&self) {
        self.ended.cancel();
        self.outbox.close();
        lock(&self.asked).clear();
    }

    /// Waits until somebody ends the connection.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

fn bearing(order: &Order) -> Option<Bearing> {
    match order {
        Order::Replace { .. } => Some(Bearing::Whole),
        Order::Apply { .. } => Some(Bearing::Some),
        _ => None,
    }
}

/// An order that was given and not answered yet.
pub struct Waiting {
    connection: Arc<Connection>,
    id: u64,
    receiver: oneshot::Receiver<Outcome>,
    patience: Duration,
}

impl Waiting {
    /// The host.
    pub fn host(&self) -> &HostName {
        self.connection.host()
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`OrderError::Refused`], [`OrderError::Lost`] and [`OrderError::TimedOut`].
    pub async fn answer(mut self) -> Result<Answer, OrderError> {
        let host = || self.connection.host().clone();
        match tokio::time::timeout(self.patience, &mut self.receiver).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(sentence))) => Err(OrderError::Refused {
                host: host(),
                sentence,
            }),
            Ok(Err(_)) => Err(OrderError::Lost { host: host() }),
            Err(_) => {
                let ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
                Err(OrderError::TimedOut { host: host(), ms })
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.connection.asked).remove(&self.id);
    }
}
