//! The secure underlay: who takes part, who is told of whom, whose keys are replaced.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | which underlay between which sites |
//! | `kept` | what the store holds of it |
//! | `turning` | keys that take each other's place |
//!
//! What each host must know follows from [`control::underlay::Mesh`]; private keys never leave their hosts.

pub mod config;
mod kept;
mod turning;

pub use config::UnderlayConfig;
pub use turning::TurnError;

use crate::{Hosts, lock};
use api::view;
use control::underlay::{Mesh, MeshError};
use kept::Kept;
use model::HostName;
use model::cluster::Cidr;
use model::news::Hello;
use model::order::Order;
use model::underlay::{Peers, Session};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::{Store, StoreError, StoreExt, Txn};

/// The secure underlay. Clones share it.
#[derive(Clone)]
pub struct Underlay(Arc<Inner>);

struct Inner {
    hosts: Hosts,
    store: Arc<dyn Store>,
    mesh: Mutex<Mesh>,
    /// What each host was told last on its connection, and whether it has taken it.
    told: Mutex<BTreeMap<HostName, (Peers, bool)>>,
    turning: tokio::sync::Mutex<()>,
}

/// Why a host is not let in.
#[derive(Debug, thiserror::Error)]
pub enum UnderlayError {
    /// Its tunnels run in the open where they must not.
    #[error(
        "host '{0}' brings no secure underlay: let it join with an agent of this version, or say `default = \"none\"` in the controller's [underlay] where everybody on the wire may read along"
    )]
    Open(HostName),
    /// It claims what is not its own.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Underlay {
    /// Reads what the store holds.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open(
        config: &UnderlayConfig,
        store: Arc<dyn Store>,
        hosts: Hosts,
    ) -> Result<Self, StoreError> {
        // Versions must grow over restarts of the controller; its wall clock does, and they by one a change.
        let mut mesh = Mesh::new(config.policy(), config.pool, crate::clock::unix_ms());
        for kept in kept::load(&*store).await? {
            mesh.recall(kept.host, kept.inner, kept.part);
        }
        if mesh.policy().is_open() {
            tracing::warn!(
                "the underlay is 'none': what VMs say to each other crosses the WAN in clear; for labs only"
            );
        }
        Ok(Self(Arc::new(Inner {
            hosts,
            store,
            mesh: Mutex::new(mesh),
            told: Mutex::default(),
            turning: tokio::sync::Mutex::default(),
        })))
    }

    /// A host's address inside, given to it now where it has none; none where nothing is protected.
    ///
    /// # Errors
    /// The pool is used up, or the store fails.
    pub async fn admit(&self, host: &HostName) -> Result<Option<Cidr>, UnderlayError> {
        let address = {
            let mut mesh = lock(&self.0.mesh);
            if mesh.policy().is_open() {
                return Ok(None);
            }
            mesh.admit(host)?
        };
        self.keep(host).await?;
        Ok(Some(address))
    }

    /// A host's address inside, as it was given to it.
    pub fn address(&self, host: &HostName) -> Option<Cidr> {
        let mesh = lock(&self.0.mesh);
        (!mesh.policy().is_open()).then(|| mesh.address(host))?
    }

    /// Takes the part that a host brings when it dials in.
    ///
    /// # Errors
    /// It brings none, or claims another host's.
    pub async fn greet(&self, hello: &Hello) -> Result<(), UnderlayError> {
        let host = &hello.host;
        lock(&self.0.told).remove(host);
        {
            let mut mesh = lock(&self.0.mesh);
            match &hello.secured {
                _ if mesh.policy().is_open() => return Ok(()),
                // One that has not heard of it yet learns its address with the welcome, and comes again.
                None if mesh.part(host).is_none() => drop(mesh.admit(host)?),
                None => return Err(UnderlayError::Open(host.clone())),
                Some(part) => drop(mesh.take(host, &hello.site, part.clone())?),
            }
        }
        self.keep(host).await?;
        Ok(())
    }

    /// Whether a host may have members: not one whose tunnels would run in the open.
    pub fn lets_in(&self, hello: &Hello) -> Result<(), UnderlayError> {
        match hello.secured {
            None if !lock(&self.0.mesh).policy().is_open() => {
                Err(UnderlayError::Open(hello.host.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Tells every connected host what has changed for it.
    pub fn tell(&self) {
        // Held while orders are given, so that a host hears versions in their order.
        let mut told = lock(&self.0.told);
        for host in self.0.hosts.connected() {
            let peers = {
                let mesh = lock(&self.0.mesh);
                if mesh.part(&host).is_none() {
                    continue;
                }
                mesh.peers_of(&host)
            };
            let same = |(before, _): &(Peers, bool)| before.peers == peers.peers;
            if told.get(&host).is_some_and(same) {
                continue;
            }
            let order = Order::Underlay {
                peers: Box::new(peers.clone()),
            };
            match self.0.hosts.send(&host, order) {
                Ok(waiting) => {
                    let version = peers.version;
                    told.insert(host.clone(), (peers, false));
                    let underlay = self.clone();
                    tokio::spawn(async move {
                        match waiting.answer().await {
                            Ok(_) => underlay.taken(&host, version),
                            Err(error) => {
                                tracing::warn!(%host, %error, "has not taken the secure underlay");
                                lock(&underlay.0.told).remove(&host);
                            }
                        }
                    });
                }
                Err(error) => tracing::warn!(%host, %error, "was not told of the secure underlay"),
            }
        }
    }

    fn taken(&self, host: &HostName, version: u64) {
        if let Some((peers, taken)) = lock(&self.0.told).get_mut(host) {
            *taken |= peers.version == version;
        }
    }

    /// Forgets a host, and tells the others at once.
    ///
    /// # Errors
    /// The store fails; the others are told all the same.
    pub async fn forget(&self, host: &HostName) -> Result<(), StoreError> {
        lock(&self.0.mesh).forget(host);
        lock(&self.0.told).remove(host);
        self.tell();
        let gone = Txn::new().delete(kept::row(host));
        self.0.store.txn(gone).await?;
        Ok(())
    }

    /// How it stands between every connected host and the others, by host.
    pub async fn sessions(&self) -> BTreeMap<HostName, Vec<Session>> {
        let asked = self.0.hosts.connected().into_iter().map(|host| async {
            let answer = self.0.hosts.order(&host, Order::ListSessions).await;
            match answer {
                Ok(model::news::Answer::Sessions { sessions }) => Some((host, sessions)),
                _ => None,
            }
        });
        let answers = futures::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Who takes part, and how it stands between every two of them.
    pub async fn show(&self) -> view::Underlay {
        let mut sessions = self.sessions().await;
        let mesh = lock(&self.0.mesh);
        let hosts = mesh.hosts().filter_map(|host| {
            let part = mesh.part(host)?;
            let sessions = sessions.remove(host).unwrap_or_default();
            Some(view::UnderlayHost {
                host: host.clone(),
                up: self.0.hosts.is_connected(host),
                inner: part.inner,
                outer: part.outer,
                keys: part.keys.clone(),
                sessions: sessions.into_iter().map(shown).collect(),
            })
        });
        view::Underlay {
            default: mesh.policy().default,
            hosts: hosts.collect(),
        }
    }

    async fn keep(&self, host: &HostName) -> Result<(), StoreError> {
        let kept = lock(&self.0.mesh).kept(host);
        if let Some((inner, part)) = kept {
            let kept = Kept {
                host: host.clone(),
                inner,
                part,
            };
            self.0.store.put_json(&kept::row(host), &kept).await?;
        }
        Ok(())
    }
}

fn shown(session: Session) -> view::UnderlaySession {
    view::UnderlaySession {
        host: session.host,
        method: session.method,
        endpoint: session.endpoint,
        age_s: session.age_s,
        received: session.received,
        sent: session.sent,
    }
}
