//! IPsec, where the host has it: strongSwan, told of those peers that it is for.

use super::{AgentConfig, AgentError};
use identity::Credentials;
use ipsec::{Config, Esp, Ipsec, PeerStatus, Switch};
use model::underlay::{Method, Peers};
use ovs::Secured;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Keys of a tunnel are used this long.
const REKEY: Duration = Duration::from_secs(3600);

/// strongSwan on this host.
pub(super) struct Tunnels(Ipsec);

impl Tunnels {
    /// Starts it; the switch's port for it is there already.
    pub(super) async fn start(
        config: &AgentConfig,
        own: &Credentials,
        secured: &Secured,
    ) -> Result<Self, AgentError> {
        let config = Config {
            rundir: config.state.join("underlay/ipsec"),
            netns: None,
            id: config.host.to_string(),
            inner: secured.address.address,
            credentials: ipsec::Credentials {
                authority: own.authority.clone(),
                certificate: own.certificate.clone(),
                key: own.key.clone(),
            },
            esp: Esp::Detect,
            switch: Some(Switch {
                port: ovs::names::ESP.to_owned(),
                mac: secured.mac().0,
            }),
            charon: PathBuf::from(ipsec::CHARON),
            rekey: REKEY,
        };
        let started = Ipsec::start(config).await;
        started.map(Self).map_err(|error| plain(&error))
    }

    /// Makes these of the peers that it is for the ones that it knows.
    pub(super) async fn set(&self, peers: &Peers) -> Result<(), AgentError> {
        let for_it = peers
            .peers
            .iter()
            .filter(|peer| peer.method == Method::Ipsec);
        let wanted = for_it.map(|peer| ipsec::Peer {
            id: peer.host.to_string(),
            outer: peer.part.outer.ip(),
            inner: vec![peer.part.inner.into()],
        });
        let set = self.0.set(wanted.collect(), None).await;
        set.map_err(|error| plain(&error))
    }

    /// How it stands with them.
    pub(super) async fn status(&self) -> Vec<PeerStatus> {
        self.0.status().await.unwrap_or_default()
    }

    /// Logs who is refused, for ever.
    pub(super) async fn watch(&self) {
        let mut told = SystemTime::now();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // By their moments: the oldest are forgotten, so their number says nothing.
            let refusals = self.0.refusals();
            for refusal in refusals.iter().filter(|refusal| refusal.at > told) {
                tracing::warn!(?refusal, "the secure underlay has refused somebody");
            }
            let last = refusals.iter().map(|refusal| refusal.at).max();
            told = last.map_or(told, |last| last.max(told));
        }
    }
}

fn plain(error: &ipsec::Error) -> AgentError {
    AgentError::plain(error.to_string())
}
