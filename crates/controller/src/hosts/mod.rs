//! Who is connected, and orders to them.
//!
//! An order is written by whoever gives it, on the spot ([`outbox`]), and its answer wakes whoever
//! waits for it: between a change of the directory and the frames on the wire there is no task, no
//! queue and no log line. Who may connect is decided in [`crate::agents`].

mod connection;
mod error;
mod outbox;
mod patience;
mod rows;
mod sealing;

pub(crate) use connection::Connection;
pub use connection::Waiting;
pub use error::OrderError;
pub(crate) use outbox::Outbox;

use crate::{clock, lock};
use model::news::{Answer, Hello, News};
use model::order::Order;
use model::{Entry, HostName, Nanos};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{broadcast, mpsc};

/// News that a slow listener may be behind before it loses some.
const NEWS: usize = 16_384;
/// The same for hosts that come and go.
const CHANGES: usize = 1024;

/// Agents that live say something every second; an agent that has been silent for longer may be another one already.
const ALIVE: std::time::Duration = std::time::Duration::from_millis(2500);

/// A host came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostChange {
    /// Its agent dialled in and was given what it must know.
    Up(HostName),
    /// Its connection ended.
    Down(HostName),
}

/// Every connected host. Clones share it.
#[derive(Clone)]
pub struct Hosts(Arc<Inner>);

struct Inner {
    connections: Mutex<BTreeMap<HostName, Arc<Connection>>>,
    news: broadcast::Sender<(HostName, News)>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<(HostName, News)>>>,
    changes: broadcast::Sender<HostChange>,
    /// The mark on rows; none where nobody has set one.
    seal: std::sync::OnceLock<identity::Seal>,
    /// The run of each host's agent that was heard last, and its last news.
    heard: Mutex<BTreeMap<HostName, (u64, u64)>>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self(Arc::new(Inner {
            connections: Mutex::default(),
            news: broadcast::channel(NEWS).0,
            subscribers: Mutex::default(),
            changes: broadcast::channel(CHANGES).0,
            seal: std::sync::OnceLock::new(),
            heard: Mutex::default(),
        }))
    }
}

impl Hosts {
    /// Gives an order and waits for its answer.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn order(&self, host: &HostName, order: Order) -> Result<Answer, OrderError> {
        self.send(host, order)?.answer().await
    }

    /// Gives an order: it is on the wire, or in the socket's queue, when this returns. Orders given
    /// one after the other arrive in that order.
    ///
    /// # Errors
    /// [`OrderError::NotConnected`], and [`OrderError::TooLarge`].
    pub fn send(&self, host: &HostName, order: Order) -> Result<Waiting, OrderError> {
        let connection = self.connection(host);
        let connection =
            connection.ok_or_else(|| OrderError::NotConnected { host: host.clone() })?;
        connection.send(match self.0.seal.get() {
            Some(seal) => sealing::sealed(seal, order),
            None => order,
        })
    }

    /// From now on rows bear this mark, and are believed only with it.
    pub(crate) fn seal_with(&self, seal: identity::Seal) {
        let _ = self.0.seal.set(seal);
    }

    /// Splits rows that an agent holds into those that this controller gave, and others.
    pub(crate) fn unsealed(&self, rows: Vec<Entry>) -> (Vec<Entry>, Vec<Entry>) {
        let Some(seal) = self.0.seal.get() else {
            return (rows, Vec::new());
        };
        rows.into_iter()
            .map(|mut row| (sealing::unseal(seal, &mut row), row))
            .fold(
                (Vec::new(), Vec::new()),
                |(mut good, mut others), (is_good, row)| {
                    if is_good {
                        good.push(row)
                    } else {
                        others.push(row)
                    }
                    (good, others)
                },
            )
    }

    /// What agents tell, from now on. A listener that is slow loses the oldest and is told so.
    pub fn news(&self) -> broadcast::Receiver<(HostName, News)> {
        self.0.news.subscribe()
    }

    /// What agents tell, from now on, all of it. Take it soon: nothing bounds what waits.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<(HostName, News)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.0.subscribers).push(sender);
        receiver
    }

    /// Hosts that come and go, from now on.
    pub fn changes(&self) -> broadcast::Receiver<HostChange> {
        self.0.changes.subscribe()
    }

    /// What a connected host said of itself; its rows are left out, the directory has them.
    pub fn info(&self, host: &HostName) -> Option<Hello> {
        self.connection(host)
            .map(|connection| connection.hello().clone())
    }

    /// The connected hosts, by name.
    pub fn connected(&self) -> Vec<HostName> {
        lock(&self.0.connections).keys().cloned().collect()
    }

    /// Whether a host is connected.
    pub fn is_connected(&self, host: &HostName) -> bool {
        lock(&self.0.connections).contains_key(host)
    }

    /// Whether a host is connected and was heard a moment ago: a second agent of its name is not the same one that
    /// has lost its connection.
    pub(crate) fn is_alive(&self, host: &HostName) -> bool {
        self.connection(host)
            .is_some_and(|connection| connection.heard_within(ALIVE))
    }

    /// Now, on the clock that moments in orders and news are told by.
    pub fn now(&self) -> Nanos {
        clock::now()
    }

    /// A moment as ns since the Unix epoch.
    pub fn unix_ns(&self, moment: Nanos) -> i64 {
        clock::unix_ns(moment)
    }

    /// Delay of an order to a host, one way, ms: half the shortest recent round trip. None before
    /// the first answer.
    pub fn control_delay_ms(&self, host: &HostName) -> Option<f64> {
        let trip = self.connection(host)?.shortest_trip()?;
        Some(trip.as_secs_f64() * 500.0)
    }

    /// Longest that an ordinary thread of a host waited for a CPU lately, ms. None before the host has said.
    pub fn stall_ms(&self, host: &HostName) -> Option<f64> {
        self.connection(host)?.stall_ms()
    }

    fn connection(&self, host: &HostName) -> Option<Arc<Connection>> {
        lock(&self.0.connections).get(host).cloned()
    }

    /// Takes a connection as the host's; an older one is ended.
    pub(crate) fn attach(&self, connection: &Arc<Connection>) {
        let host = connection.host().clone();
        let older = lock(&self.0.connections).insert(host, connection.clone());
        if let Some(older) = older {
            older.end();
        }
    }

    /// Tells that a host was attached and given what it must know.
    pub(crate) fn announce(&self, change: HostChange) {
        // Nobody may listen.
        let _ = self.0.changes.send(change);
    }

    /// Ends a host's connection, if it has one.
    pub(crate) fn expel(&self, host: &HostName) {
        if let Some(connection) = lock(&self.0.connections).remove(host) {
            connection.end();
        }
    }

    /// Forgets a connection that ended; false when a newer one has taken its place.
    pub(crate) fn detach(&self, connection: &Arc<Connection>) -> bool {
        connection.end();
        let mut connections = lock(&self.0.connections);
        let current = connections.get(connection.host());
        let ours = current.is_some_and(|current| Arc::ptr_eq(current, connection));
        if ours {
            connections.remove(connection.host());
        }
        ours
    }

    /// Whether news has not been heard before. An agent tells again what it does not know to have come.
    pub(crate) fn is_new(&self, host: &HostName, life: u64, number: u64) -> bool {
        let mut heard = lock(&self.0.heard);
        match heard.get_mut(host) {
            Some((same, last)) if *same == life => {
                let new = number > *last;
                *last = number.max(*last);
                new
            }
            _ => {
                heard.insert(host.clone(), (life, number));
                true
            }
        }
    }

    /// Hands news on.
    pub(crate) fn tell(&self, host: &HostName, news: News) {
        let mut subscribers = lock(&self.0.subscribers);
        subscribers.retain(|subscriber| subscriber.send((host.clone(), news.clone())).is_ok());
        drop(subscribers);
        let _ = self.0.news.send((host.clone(), news));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_that_is_told_again_is_heard_once() {
        let hosts = Hosts::default();
        let (north, south) = (
            HostName::new("north-1").unwrap(),
            HostName::new("south-1").unwrap(),
        );
        assert!(hosts.is_new(&north, 9, 1));
        assert!(hosts.is_new(&north, 9, 3), "progress is not told again");
        assert!(!hosts.is_new(&north, 9, 1));
        assert!(!hosts.is_new(&north, 9, 3));
        assert!(hosts.is_new(&south, 9, 1), "each host counts for itself");
        assert!(hosts.is_new(&north, 10, 1), "another run counts anew");
    }
}
