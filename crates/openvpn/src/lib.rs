//! A bridge between the layer 2 of two sites through OpenVPN.
//!
//! One process a bridge, on each side one ([`OpenVpn`]): TLS 1.3 with certificates on both sides, AES-GCM,
//! Ethernet frames (`dev-type tap`) between two ports of the sites' bridges, no compression. The other
//! side's name is demanded, not only a certificate of the authority. The port in the bridge is ours and
//! stays while the process is started again.
//!
//! What is not here: certificates' issue, the bridges, and what may pass them. Two bridges that are joined
//! twice are a loop.

mod config;
mod error;
mod keeper;
mod management;
mod port;
mod refused;

pub use config::{Bridge, Config, Credentials, Role};
pub use error::{Error, Result};
pub use management::{State, Status};
pub use refused::Refusal;

use keeper::{Keeper, Order};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How many refusals are remembered.
const REFUSALS: usize = 256;

/// The last refusals, oldest first.
pub(crate) type Refusals = Arc<Mutex<VecDeque<Refusal>>>;

/// One side of a bridge. It ends soon after the value is dropped; see [`OpenVpn::end`].
#[derive(Debug)]
pub struct OpenVpn {
    orders: mpsc::Sender<Order>,
    keeper: JoinHandle<()>,
    refusals: Refusals,
}

impl OpenVpn {
    /// Makes the port, puts it into the bridge, and starts openvpn. The other side need not be there.
    ///
    /// # Errors
    /// When the configuration cannot work, or the port, the bridge or openvpn refuse.
    pub async fn start(config: Config) -> Result<Self> {
        config.check()?;
        let refusals = Refusals::default();
        let keeper = Keeper::start(config, refusals.clone()).await?;
        let (orders, inbox) = mpsc::channel(16);
        Ok(Self {
            orders,
            keeper: tokio::spawn(keeper.run(inbox)),
            refusals,
        })
    }

    /// How it is with the bridge.
    ///
    /// # Errors
    /// When openvpn gives no answer.
    pub async fn status(&self) -> Result<Status> {
        self.order(Order::Status).await?
    }

    /// Refuses who has a certificate of this list (CRL, PEM). openvpn is started again, so that who is
    /// connected proves itself again.
    ///
    /// # Errors
    /// When the list cannot be used; then nothing has changed.
    pub async fn revoke(&self, list: String) -> Result<()> {
        config::check_list(&list)?;
        self.order(|reply| Order::Revoke(list, reply)).await?
    }

    /// Who was refused, oldest first; the last 256. What is read is still there the next time.
    pub fn refusals(&self) -> Vec<Refusal> {
        let known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().cloned().collect()
    }

    /// openvpn's process, when it runs.
    pub async fn pid(&self) -> Option<i32> {
        self.order(Order::Pid).await.ok().flatten()
    }

    /// Ends openvpn and takes the port away.
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
