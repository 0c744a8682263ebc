//! TCP and TLS: who gets as far as saying something.

use super::admission::Admission;
use super::{PeerError, conversation, joining};
use crate::{ControllerError, Hosts, Registry};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A peer must have said who it is within this time.
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// Peers at one time that have not said yet who they are.
const UNKNOWN: usize = 256;

/// The agents' port.
pub struct AgentsPort {
    listener: TcpListener,
    door: Arc<Door>,
}

/// What a peer gets to once it is through TLS.
pub(super) struct Door {
    acceptor: TlsAcceptor,
    pub(super) admission: Admission,
    pub(super) registry: Registry,
    pub(super) hosts: Hosts,
}

impl AgentsPort {
    /// Takes the address. From here on agents can dial; [`AgentsPort::serve`] answers them.
    ///
    /// # Errors
    /// [`ControllerError::Listen`].
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        admission: Admission,
        registry: Registry,
        hosts: Hosts,
    ) -> Result<Self, ControllerError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|cause| ControllerError::Listen { address, cause })?;
        let acceptor = TlsAcceptor::from(tls);
        Ok(Self {
            listener,
            door: Arc::new(Door {
                acceptor,
                admission,
                registry,
                hosts,
            }),
        })
    }

    /// The address that was taken; tells the port where 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers agents until dropped; connections end with it.
    pub async fn serve(self) {
        let room = Arc::new(Semaphore::new(UNKNOWN));
        let mut peers = JoinSet::new();
        loop {
            while peers.try_join_next().is_some() {}
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let door = self.door.clone();
                    peers.spawn(async move {
                        if let Err(error) = receive(stream, door, permit).await {
                            match error.is_refusal() {
                                true => tracing::warn!(%from, %error, "a peer on the agents' port was refused"),
                                false => tracing::debug!(%from, %error, "a peer on the agents' port went"),
                            }
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an agent");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn receive(
    stream: TcpStream,
    door: Arc<Door>,
    permit: tokio::sync::OwnedSemaphorePermit,
) -> Result<(), PeerError> {
    stream.set_nodelay(true)?;
    setsockopt(&stream, sockopt::KeepAlive, &true).map_err(std::io::Error::from)?;
    let greeting = async {
        let stream = door.acceptor.accept(stream).await?;
        let presented = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        match presented {
            None => joining::answer(stream, &door).await.map(|()| None),
            Some(certificates) => conversation::greet(stream, &certificates, &door)
                .await
                .map(Some),
        }
    };
    let greeted = tokio::time::timeout(GREETING_WITHIN, greeting).await;
    let greeted = greeted.map_err(|_| PeerError::Silent(GREETING_WITHIN.as_secs()))?;
    drop(permit);
    match greeted? {
        None => Ok(()),
        Some(greeted) => conversation::hold(greeted, &door).await,
    }
}
