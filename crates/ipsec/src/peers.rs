//! What charon is told of peers: which connections are loaded, made and cut.

use crate::config::{Config, Esp, Peer};
use crate::error::{Error, Result};
use crate::messages::{
    AllCerts, Association, Associations, CHILD, Certificate, Connection, Connections, Initiate,
    ListSas, LoadCert, LoadKey, Terminate, Unload,
};
use crate::revoked;
use crate::vici::Session;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// The side with the greater name waits this long for the other one's call, so that they do not call
/// each other at once and end with two associations.
const COURTESY: Duration = Duration::from_millis(1500);

/// A peer that does not answer is called again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// Refuses a list that cannot be.
pub(crate) fn check(peers: &[Peer]) -> Result<()> {
    let mut ids = HashSet::new();
    for peer in peers {
        peer.check()?;
        if !ids.insert(&peer.id) {
            return Err(Error::Config(format!("peer '{}' is there twice", peer.id)));
        }
    }
    let mut nets: BTreeMap<_, &str> = BTreeMap::new();
    for (peer, net) in peers
        .iter()
        .flat_map(|p| p.inner.iter().map(move |n| (p, n)))
    {
        if let Some(other) = nets.insert(*net, &peer.id) {
            return Err(Error::Config(format!(
                "{net} is behind '{other}' and behind '{}'; it can be behind one peer only",
                peer.id
            )));
        }
    }
    Ok(())
}

/// What one running charon knows, and when its peers were called.
#[derive(Default)]
pub(crate) struct Told {
    loaded: HashMap<String, Peer>,
    revoked: Option<String>,
    /// Since when a peer has no association.
    missing: HashMap<String, Instant>,
    /// When it was called last.
    called: HashMap<String, Instant>,
    /// All are called at once: the others believe in associations that this charon does not have.
    fresh: bool,
}

impl Told {
    /// Gives a new charon what the host proves itself with.
    pub(crate) async fn introduce(session: &mut Session, config: &Config) -> Result<Self> {
        let own = &config.credentials;
        let authority = LoadCert {
            kind: "X509",
            flag: "CA",
            data: &own.authority,
        };
        session.tell("load-cert", authority).await?;
        let key = LoadKey {
            kind: "any",
            data: &own.key,
        };
        session.tell("load-key", key).await?;
        Ok(Self {
            fresh: true,
            ..Self::default()
        })
    }

    /// Makes these the connections, and calls who is new.
    pub(crate) async fn set(
        &mut self,
        session: &mut Session,
        config: &Config,
        esp: Esp,
        peers: &[Peer],
        revoked: Option<&str>,
    ) -> Result<()> {
        let wanted: HashSet<&str> = peers.iter().map(|peer| peer.id.as_str()).collect();
        let gone: Vec<String> = self
            .loaded
            .keys()
            .filter(|id| !wanted.contains(id.as_str()))
            .cloned()
            .collect();
        for id in gone {
            session.tell("unload-conn", Unload { name: &id }).await?;
            self.cut(session, &id).await?;
            self.loaded.remove(&id);
        }
        if let Some(list) = revoked.filter(|list| self.revoked.as_deref() != Some(list)) {
            let load = LoadCert {
                kind: "X509_CRL",
                flag: "NONE",
                data: list,
            };
            session.tell("load-cert", load).await?;
            // Who was let in with one of them.
            let serials = revoked::serials(list)?;
            let rows: Vec<Certificate> =
                session.list("list-certs", "list-cert", AllCerts {}).await?;
            let known: Vec<_> = rows
                .iter()
                .filter_map(|row| revoked::holder(&row.data.0))
                .collect();
            for id in revoked::concerned(self.loaded.keys(), &known, &serials) {
                self.cut(session, &id).await?;
            }
            self.revoked = revoked.map(str::to_owned);
        }
        for peer in peers {
            let known = self.loaded.get(&peer.id);
            if known == Some(peer) {
                continue;
            }
            let other_nets = known.is_some_and(|known| known.inner != peer.inner);
            let connection = Connection::to(peer, config, esp);
            session
                .tell(
                    "load-conn",
                    Connections::from([(peer.id.clone(), connection)]),
                )
                .await?;
            self.loaded.insert(peer.id.clone(), peer.clone());
            if other_nets {
                self.cut(session, &peer.id).await?;
            }
        }
        Ok(())
    }

    /// Calls peers that have no association, unless they are about to call.
    pub(crate) async fn call(
        &mut self,
        session: &mut Session,
        own: &str,
        now: Instant,
    ) -> Result<()> {
        let associations = associations(session).await?;
        self.missing.retain(|id, _| self.loaded.contains_key(id));
        self.called.retain(|id, _| self.loaded.contains_key(id));
        let ids: Vec<String> = self.loaded.keys().cloned().collect();
        for id in ids {
            let there = associations
                .get(&id)
                .is_some_and(|all| all.iter().any(|one| one.carries() || one.begins()));
            if there {
                self.missing.remove(&id);
                continue;
            }
            let missing = *self.missing.entry(id.clone()).or_insert(now);
            let courtesy = if self.fresh || own < id.as_str() {
                Duration::ZERO
            } else {
                COURTESY
            };
            let called = self.called.get(&id);
            if now < missing + courtesy || called.is_some_and(|called| now < *called + AGAIN) {
                continue;
            }
            self.called.insert(id.clone(), now);
            let call = Initiate {
                child: CHILD,
                ike: &id,
                timeout: -1,
            };
            session.tell("initiate", call).await?;
        }
        self.fresh = false;
        Ok(())
    }

    async fn cut(&mut self, session: &mut Session, id: &str) -> Result<()> {
        self.missing.remove(id);
        self.called.remove(id);
        let end = Terminate {
            ike: id,
            force: true,
            timeout: -1,
        };
        match session.tell("terminate", end).await {
            // Nothing to cut.
            Err(Error::Vici { .. }) => Ok(()),
            other => other,
        }
    }
}

/// All associations by the names of their peers.
pub(crate) async fn associations(
    session: &mut Session,
) -> Result<HashMap<String, Vec<Association>>> {
    let rows: Vec<Associations> = session
        .list("list-sas", "list-sa", ListSas { noblock: false })
        .await?;
    let mut all: HashMap<String, Vec<Association>> = HashMap::new();
    for (id, association) in rows.into_iter().flatten() {
        all.entry(id).or_default().push(association);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &str, inner: &str) -> Peer {
        Peer {
            id: id.into(),
            outer: "10.0.0.2".parse().unwrap(),
            inner: vec![inner.parse().unwrap()],
        }
    }

    #[test]
    fn two_peers_do_not_share_a_name_or_an_address() {
        check(&[peer("a", "100.64.0.1/32"), peer("b", "100.64.0.2/32")]).unwrap();
        assert!(check(&[peer("a", "100.64.0.1/32"), peer("a", "100.64.0.2/32")]).is_err());
        assert!(check(&[peer("a", "100.64.0.1/32"), peer("b", "100.64.0.1/32")]).is_err());
    }
}
