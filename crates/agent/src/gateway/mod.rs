//! LISP gateways: endpoints on no host of ours, reached from this one.
//!
//! For each network that has such endpoints the host's switch gets a port behind which all of them are
//! ([`ovs::gateway`]). What is sent there is encapsulated to the endpoint's routing locator, what
//! comes in becomes frames (RFC 9300, sections 5 and 10). There is no map-cache: the directory's rows
//! say where everybody is, the controller's Map-Server makes them of what other routers register.
//! During a migration nothing of this changes: a packet for a VM that has moved on goes through the
//! switch and its redirect as everything else does.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | rows in, packets and frames out |
//! | [`questions`] | probes answered, senders solicited |

mod ports;
pub mod questions;
pub mod table;

use crate::AgentError;
use crate::desk::Host;
use lisp::Message;
use lisp::data::DATA_PORT;
use lisp::message::CONTROL_PORT;
use model::HostName;
use ports::Ports;
use ring::rand::SecureRandom;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use table::{Dropped, Table};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Largest UDP payload.
const LARGEST: usize = 65_507;
/// A sender is solicited for an endpoint this often at most (RFC 9301 section 6.1 leaves the rate to us).
const SOLICIT_EACH: Duration = Duration::from_secs(1);
/// Pairs of sender and endpoint that are remembered for that.
const SOLICITED: usize = 4096;

/// A host's gateways. Clones are the same; they end when the last is gone.
#[derive(Clone)]
pub struct Gateways(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What the tasks share.
pub(super) struct Shared {
    own: IpAddr,
    data: UdpSocket,
    control: UdpSocket,
    table: RwLock<Arc<Table>>,
    changed: Notify,
    counters: std::sync::Mutex<BTreeMap<Dropped, u64>>,
    solicited: std::sync::Mutex<HashMap<(IpAddr, IpAddr), Instant>>,
}

impl Gateways {
    /// Listens on the host's underlay address. Ports are made as rows come that need them.
    ///
    /// # Errors
    /// One of the two UDP ports is taken.
    pub async fn open(host: Host, name: HostName, own: IpAddr) -> Result<Self, AgentError> {
        let bind = async |port| {
            UdpSocket::bind(SocketAddr::new(own, port)).await.map_err(|error| {
                AgentError::plain(format!(
                    "the LISP gateway cannot have UDP port {port} of {own}: {error}; end what has it, or \
                     set lisp = false in the agent's configuration"
                ))
            })
        };
        let shared = Arc::new(Shared {
            own,
            data: bind(DATA_PORT).await?,
            control: bind(CONTROL_PORT).await?,
            table: RwLock::default(),
            changed: Notify::new(),
            counters: std::sync::Mutex::default(),
            solicited: std::sync::Mutex::default(),
        });
        host.open_gpe().await?;
        let ports = Ports::default();
        let tasks = vec![
            tokio::spawn(follow(host, name, shared.clone(), ports.clone())),
            tokio::spawn(take(shared.clone(), ports)),
            tokio::spawn(answer(shared.clone())),
        ];
        Ok(Self(Arc::new(Inner { shared, tasks })))
    }

    /// The directory's rows have changed.
    pub fn refresh(&self) {
        self.0.shared.changed.notify_one();
    }
}

impl Shared {
    pub(super) fn table(&self) -> Arc<Table> {
        match self.table.read() {
            Ok(table) => table.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    pub(super) fn drop_one(&self, why: Dropped) {
        if let Ok(mut counters) = self.counters.lock() {
            let packets = counters.entry(why).or_default();
            *packets += 1;
            // The first, and then ever more seldom: it may be a stream.
            if packets.is_power_of_two() {
                tracing::info!(
                    ?why,
                    packets = *packets,
                    "packets to or from outside go no further"
                );
            }
        }
    }

    /// Sends on what a member sent outside.
    pub(super) async fn out(&self, vni: u32, frame: &[u8]) {
        match self.table().outbound(vni, frame) {
            Ok(out) => {
                let to = SocketAddr::new(out.to, DATA_PORT);
                if let Err(error) = self.data.send_to(&out.payload, to).await {
                    tracing::debug!(%error, %to, "a packet could not be sent outside");
                }
            }
            Err(why) => self.drop_one(why),
        }
    }

    /// True when this sender may be solicited for this endpoint now.
    fn may_solicit(&self, sender: IpAddr, moved: IpAddr) -> bool {
        let Ok(mut solicited) = self.solicited.lock() else {
            return false;
        };
        let now = Instant::now();
        let lately = |at: &Instant| now.duration_since(*at) < SOLICIT_EACH;
        if solicited.get(&(sender, moved)).is_some_and(lately) {
            return false;
        }
        if solicited.len() >= SOLICITED {
            solicited.retain(|_, at| lately(at));
        }
        let room = solicited.len() < SOLICITED;
        if room {
            solicited.insert((sender, moved), now);
        }
        room
    }

    async fn say(&self, message: &Message, to: SocketAddr) {
        let Ok(bytes) = message.to_bytes() else {
            return;
        };
        if let Err(error) = self.control.send_to(&bytes, to).await {
            tracing::debug!(%error, %to, "a LISP message could not be sent");
        }
    }
}

/// Keeps table and ports as the directory wants them.
async fn follow(host: Host, name: HostName, shared: Arc<Shared>, ports: Ports) {
    loop {
        let table = Arc::new(Table::of(&host.slice().await, &name));
        if let Ok(mut current) = shared.table.write() {
            *current = table.clone();
        }
        ports.converge(&host, &table, &shared).await;
        shared.changed.notified().await;
    }
}

/// Takes what other routers send.
async fn take(shared: Arc<Shared>, ports: Ports) {
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = match shared.data.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "the LISP data socket");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let inbound = match shared.table().inbound(&buffer[..length]) {
            Ok(inbound) => inbound,
            Err(why) => {
                shared.drop_one(why);
                continue;
            }
        };
        ports.write(inbound.vni, &inbound.frame);
        if let Some((moved, theirs)) = inbound.stale
            && shared.may_solicit(from.ip(), moved)
        {
            let message = questions::solicit(inbound.vni, moved, theirs, nonce(), shared.own);
            let to = SocketAddr::new(from.ip(), CONTROL_PORT);
            shared.say(&message, to).await;
        }
    }
}

/// Answers other routers.
async fn answer(shared: Arc<Shared>) {
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = match shared.control.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "the LISP control socket");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let Ok(message) = Message::decode(&buffer[..length]) else {
            continue;
        };
        if let Some(reply) = questions::answer(&shared.table(), &message) {
            shared.say(&reply, from).await;
        }
    }
}

fn nonce() -> u64 {
    let mut bytes = [0; 8];
    // A nonce that can be guessed is no fault here: the answer is only a question.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
