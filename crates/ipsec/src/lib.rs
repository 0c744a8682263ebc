//! IPsec (RFC 4301) between hosts through strongSwan.
//!
//! One charon a host, run and supervised here ([`Ipsec`]): IKEv2 with MOBIKE, certificates on both sides,
//! AES-GCM; ESP in the kernel where it has it, else in charon. What a host is connected with is one list
//! of peers ([`Ipsec::set`]); whatever else happens (charon dies, a peer restarts, an address changes)
//! the tunnels of that list come back.
//!
//! Tunnels are a device ([`Path`]). A switch that makes tunnels of its own between inner addresses is
//! joined to it ([`Switch`]).
//!
//! What is not here: who the peers are, certificates' issue, and the switch.

mod buffers;
mod charon;
mod config;
mod error;
mod guard;
mod join;
mod keeper;
mod kernel;
mod messages;
mod peers;
mod refused;
mod revoked;
mod status;
mod vici;

pub use config::{CHARON, Config, Credentials, DEVICE, Esp, Peer, Switch, TABLE, USER_SPACE_MTU};
pub use error::{Error, Result};
pub use refused::Refusal;
pub use status::{PeerStatus, State};

use keeper::{Keeper, Order};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How many refusals are remembered.
const REFUSALS: usize = 256;

/// A host's IPsec. Dropping it kills charon without leave; see [`Ipsec::end`].
#[derive(Debug)]
pub struct Ipsec {
    orders: mpsc::Sender<Order>,
    keeper: JoinHandle<()>,
    path: Path,
    refusals: Refusals,
}

/// The last refusals, oldest first.
pub(crate) type Refusals = Arc<Mutex<std::collections::VecDeque<Refusal>>>;

/// How packets reach the tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Who encrypts; never [`Esp::Detect`].
    pub esp: Esp,
    /// The device of all tunnels. It is new after charon was.
    pub device: &'static str,
    /// The routing table with a route for every peer's inner addresses, asked before the main one.
    pub table: u32,
    /// Largest inner packet, bytes, where charon encrypts; in the kernel it follows from the uplink's
    /// MTU less [`Path::OVERHEAD`].
    pub mtu: Option<u16>,
}

impl Path {
    /// Bytes that a tunnel adds to a packet at most, over IPv4.
    pub const OVERHEAD: u16 = kernel::OVERHEAD;
}

impl Ipsec {
    /// Starts charon, and whatever the configuration wants around it.
    ///
    /// # Errors
    /// When the configuration cannot work, or charon or the kernel refuses.
    pub async fn start(config: Config) -> Result<Self> {
        config.check()?;
        let refusals = Refusals::default();
        let keeper = Keeper::start(config, refusals.clone()).await?;
        let esp = keeper.esp();
        let (orders, inbox) = mpsc::channel(16);
        Ok(Self {
            orders,
            keeper: tokio::spawn(keeper.run(inbox)),
            path: Path {
                esp,
                device: DEVICE,
                table: TABLE,
                mtu: (esp != Esp::Kernel).then_some(USER_SPACE_MTU),
            },
            refusals,
        })
    }

    /// Makes these the peers: calls new ones, goes on with those that are the same, cuts off who is gone.
    /// With a list of revoked certificates (CRL, PEM, RFC 5280) who has one of them is cut off as well,
    /// and refused from then on.
    ///
    /// # Errors
    /// When a peer cannot be, in which case nothing has changed. A charon that does not answer is no
    /// error: it is started again with these peers.
    pub async fn set(&self, peers: Vec<Peer>, revoked: Option<String>) -> Result<()> {
        peers::check(&peers)?;
        if let Some(list) = &revoked {
            revoked::serials(list)?;
        }
        self.order(|reply| Order::Set(peers, revoked, reply))
            .await?
    }

    /// How it is with every peer of the list.
    ///
    /// # Errors
    /// When charon gives no answer.
    pub async fn status(&self) -> Result<Vec<PeerStatus>> {
        self.order(Order::Status).await?
    }

    /// Who was refused, oldest first; the last 256. What is read is still there the next time.
    pub fn refusals(&self) -> Vec<Refusal> {
        let known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().cloned().collect()
    }

    /// How packets reach the tunnels.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// charon's process, when it runs.
    pub async fn pid(&self) -> Option<i32> {
        self.order(Order::Pid).await.ok().flatten()
    }

    /// Takes leave of the peers and ends charon, with all that was set up around it.
    pub async fn end(self) {
        let _ = self.order(Order::End).await;
        let _ = self.keeper.await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.orders
            .send(order(reply))
            .await
            .map_err(|_| Error::Ended)?;
        answer.await.map_err(|_| Error::Ended)
    }
}
