//! The host's part of the secure underlay: its keys, who else takes part, and what encrypts.
//!
//! | module | job |
//! |---|---|
//! | [`device`] | the process that encrypts: it outlives the agent, as the switch does |
//! | [`wire`] | what the two say to each other |
//! | `esp` | IPsec, where the host has it |
//! | `hand` | the agent's end of that, and the process kept alive |
//! | `keys` | the host's secret keys, in a file of its own |
//!
//! Who takes part is said by the controller and kept in a file, so that an agent that starts while the controller
//! is away goes on with it. Secret keys never leave the host.

pub mod device;
mod esp;
mod hand;
mod keys;
pub mod wire;

use crate::{AgentConfig, AgentError};
use esp::Tunnels;
use hand::Hand;
use identity::Credentials;
use keys::Keys;
use model::Mac;
use model::cluster::Cidr;
use model::news::Answer;
use model::underlay::{KeyStep, Method, Part, Peers, Session};
use ovs::{Host, Secured};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// Bytes that protection adds to a packet, at most: what WireGuard takes over IPv6, and IPsec behind UDP over IPv4.
pub const OVERHEAD: u16 = 80;

/// What is assumed of a host without uplinks, bytes.
const ETHERNET: u16 = 1500;

/// How long an old key may still be used by sessions that another one shall take over.
const TURNED: Duration = Duration::from_secs(12);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(50);

/// The host's part. Clones share it.
#[derive(Clone)]
pub struct Underlay(Arc<Inner>);

struct Inner {
    inner: Cidr,
    outer: SocketAddr,
    roams: bool,
    folder: PathBuf,
    hand: Hand,
    /// Set once the switch is there.
    esp: OnceLock<Tunnels>,
    secured: Secured,
    state: Mutex<State>,
}

struct State {
    keys: Keys,
    peers: Peers,
    host: Option<Host>,
}

/// What the switch must know of it.
pub fn secured(config: &AgentConfig, inner: Cidr) -> Secured {
    Secured {
        address: inner,
        wireguard: ovs::names::WIREGUARD.to_owned(),
        esp: config.ipsec.then(|| ovs::names::ESP.to_owned()),
        overhead: OVERHEAD,
        most: config.ipsec.then_some(ipsec::USER_SPACE_MTU),
    }
}

impl Underlay {
    /// Starts what encrypts, or goes on with what does, as it was told last.
    ///
    /// # Errors
    /// A file, the process, or the host has no underlay address.
    pub async fn open(config: &AgentConfig, inner: Cidr) -> Result<Self, AgentError> {
        let folder = config.state.join("underlay");
        let outer = config.ovs.underlay.first().map(|own| own.address);
        let outer = outer.ok_or_else(|| AgentError::plain("`ovs.underlay` is empty"))?;
        let outer = SocketAddr::new(outer, config.wireguard_port);
        let secured = secured(config, inner);
        let own = wire::Own {
            listen: SocketAddr::new(unspecified(outer.ip()), outer.port()),
            tap: ovs::names::WIREGUARD.to_owned(),
            mac: secured.wireguard_mac(),
            inside: secured.mac(),
            mtu: outer_mtu(config).await?.saturating_sub(OVERHEAD),
        };
        let hand = Hand::open(&folder, &own).await?;
        let keys = Keys::open(&folder.join("keys.json"))?;
        let peers = std::fs::read(folder.join("peers.json"));
        let peers = peers
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let underlay = Self(Arc::new(Inner {
            inner,
            outer,
            roams: config.roams,
            folder,
            hand,
            esp: OnceLock::new(),
            secured,
            state: Mutex::new(State {
                keys,
                peers: peers.unwrap_or_default(),
                host: None,
            }),
        }));
        underlay.settle(&mut *underlay.0.state.lock().await).await?;
        Ok(underlay)
    }

    /// From now on the switch knows the peers too, and IPsec, where the host has it.
    ///
    /// # Errors
    /// The switch refuses them, or strongSwan does not start.
    pub async fn attach(
        &self,
        host: Host,
        config: &AgentConfig,
        own: &Credentials,
    ) -> Result<(), AgentError> {
        if config.ipsec {
            let tunnels = Tunnels::start(config, own, &self.0.secured).await?;
            let _ = self.0.esp.set(tunnels);
            let underlay = self.clone();
            tokio::spawn(async move {
                if let Some(tunnels) = underlay.0.esp.get() {
                    tunnels.watch().await;
                }
            });
        }
        let mut state = self.0.state.lock().await;
        state.host = Some(host);
        self.settle(&mut state).await?;
        drop(state);
        let underlay = self.clone();
        tokio::spawn(async move { underlay.keep().await });
        Ok(())
    }

    /// What the controller is told of it.
    pub async fn part(&self) -> Part {
        Part {
            inner: self.0.inner.address,
            outer: self.0.outer,
            keys: self.0.state.lock().await.keys.public(),
            roams: self.0.roams,
            ipsec: self.0.esp.get().is_some(),
        }
    }

    /// Takes who takes part; an older truth than the one that is held is ignored.
    ///
    /// # Errors
    /// One plain sentence.
    pub async fn take(&self, peers: Peers) -> Result<Answer, String> {
        let mut state = self.0.state.lock().await;
        if peers.version < state.peers.version {
            return Ok(Answer::Done);
        }
        state.peers = peers;
        let text = serde_json::to_vec(&state.peers).map_err(|error| error.to_string())?;
        let path = self.0.folder.join("peers.json");
        // What cannot be kept is told again by the controller.
        if let Err(error) = keys::write(&path, &text) {
            tracing::warn!(%error, "who takes part in the secure underlay is not kept");
        }
        // Kept first: who was removed must stay so for an agent that starts anew.
        self.settle(&mut state)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Answer::Done)
    }

    /// A step of a key's rotation.
    ///
    /// # Errors
    /// One plain sentence.
    pub async fn turn(&self, step: &KeyStep) -> Result<Answer, String> {
        if let KeyStep::Keep { key } = step {
            self.is_used(key).await;
        }
        let mut state = self.0.state.lock().await;
        state.keys.step(step).map_err(|error| error.to_string())?;
        self.settle(&mut state)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Answer::Keys {
            keys: state.keys.public(),
        })
    }

    /// Waits until every session is with this key of ours, but not for ever: a peer that is away has none.
    async fn is_used(&self, key: &str) {
        let until = tokio::time::Instant::now() + TURNED;
        loop {
            let seen = self.0.hand.status().await;
            let other = |peer: &wire::SeenPeer| peer.identity.as_ref().is_some_and(|it| it != key);
            // What cannot be asked may use it.
            let used = seen.is_none_or(|seen| seen.peers.iter().any(other));
            if !used || tokio::time::Instant::now() > until {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How it stands with the others.
    pub async fn sessions(&self) -> Vec<Session> {
        let peers = self.0.state.lock().await.peers.peers.clone();
        let seen = self.0.hand.status().await.unwrap_or_default();
        let tunnels = match self.0.esp.get() {
            Some(tunnels) => tunnels.status().await,
            None => Vec::new(),
        };
        let session = |peer: model::underlay::Peer| {
            let tunnel = tunnels.iter().find(|one| one.id == peer.host.as_str());
            if let (Method::Ipsec, Some(tunnel)) = (peer.method, tunnel) {
                return Session {
                    host: peer.host,
                    method: peer.method,
                    endpoint: tunnel.endpoint,
                    age_s: tunnel.age.map(|age| age.as_secs()),
                    received: tunnel.bytes_in,
                    sent: tunnel.bytes_out,
                };
            }
            let of_it = seen
                .peers
                .iter()
                .find(|seen| peer.part.keys.contains(&seen.key));
            Session {
                host: peer.host,
                method: peer.method,
                endpoint: of_it.and_then(|seen| seen.endpoint),
                age_s: of_it.and_then(|seen| seen.age_s),
                received: of_it.map_or(0, |seen| seen.received),
                sent: of_it.map_or(0, |seen| seen.sent),
            }
        };
        peers.into_iter().map(session).collect()
    }

    /// Makes what encrypts, and the switch, as they should be.
    async fn settle(&self, state: &mut State) -> Result<(), AgentError> {
        let wanted = wire::Wanted {
            secrets: state.keys.secrets(),
            peers: state.peers.peers.clone(),
        };
        self.0.hand.set(&wanted).await?;
        if let Some(tunnels) = self.0.esp.get() {
            tunnels.set(&state.peers).await?;
        }
        if let Some(host) = &state.host {
            host.reach(self.neighbours(&state.peers)).await?;
        }
        Ok(())
    }

    fn neighbours(&self, peers: &Peers) -> BTreeMap<IpAddr, Mac> {
        let secured = &self.0.secured;
        let behind = |method| match method {
            Method::Ipsec => secured.esp_mac(),
            Method::Wireguard | Method::None => secured.wireguard_mac(),
        };
        let peers = peers.peers.iter();
        peers
            .map(|peer| (peer.part.inner, behind(peer.method)))
            .collect()
    }

    /// Starts what encrypts anew whenever it has ended, and tells what it refuses.
    async fn keep(&self) {
        loop {
            self.0.hand.watch().await;
            tracing::warn!("what encrypts has ended; starting it again");
            loop {
                let mut state = self.0.state.lock().await;
                let again = match self.0.hand.revive().await {
                    Ok(()) => self.settle(&mut state).await,
                    Err(error) => Err(error),
                };
                drop(state);
                match again {
                    Ok(()) => break,
                    Err(error) => tracing::error!(%error, "what encrypts does not start"),
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// What the uplinks carry: as configured, else what the narrowest of them is found to.
async fn outer_mtu(config: &AgentConfig) -> Result<u16, AgentError> {
    if config.ovs.uplink_mtu > 0 {
        return Ok(config.ovs.uplink_mtu);
    }
    let netlink = ovs::netlink::Netlink::open(&ovs::Netns::current()?).await?;
    let mut narrowest = ETHERNET;
    for (number, uplink) in config.ovs.uplinks.iter().enumerate() {
        let found = netlink.need_link(uplink).await?.mtu;
        let found = u16::try_from(found).unwrap_or(u16::MAX);
        narrowest = if number == 0 {
            found
        } else {
            narrowest.min(found)
        };
    }
    Ok(narrowest)
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    }
}
