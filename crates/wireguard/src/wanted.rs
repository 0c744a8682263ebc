//! What a device shall be: its keys and its peers.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::key::{PublicKey, SecretKey};
use crate::prefix::Prefix;

/// How packets go to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted, and from whom it says.
    #[default]
    Wireguard,
    /// In clear, one IP packet a UDP datagram: for measurements in a lab, never for a network that anyone else can
    /// reach. Only what comes from the peer's endpoint and from its addresses is taken.
    Plain,
}

/// Someone to exchange packets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// One key, or two while it changes from one to the other: both are answered, the first is preferred.
    pub keys: Vec<PublicKey>,
    /// Addresses that are behind it: what goes to them goes to it, and nothing else is taken from it.
    pub allowed: Vec<Prefix>,
    /// Where it is; without one it has to begin.
    pub endpoint: Option<SocketAddr>,
    /// Seconds after which something is sent, so that a NAT between does not forget us.
    pub keepalive: Option<u16>,
    /// How packets go to it.
    pub transport: Transport,
    /// Whether we answer to wherever its last good packet has come from, rather than to `endpoint` only.
    pub roam: bool,
}

/// The whole of what a device shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// One key, or two while it changes: new sessions are begun with the first, both are answered.
    pub identities: Vec<SecretKey>,
    /// Everyone to exchange packets with.
    pub peers: Vec<Peer>,
}

/// Why a device cannot be what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Not one key, and not two.
    #[error("the device has {0} keys; give it one, or two while it changes from one to the other")]
    Identities(usize),
    /// A peer with none, or too many.
    #[error("a peer has {0} keys; give it one, or two while it changes from one to the other")]
    Keys(usize),
    /// Two peers, or two of one peer's.
    #[error("the key {0} is there twice; a key belongs to one peer")]
    SameKey(PublicKey),
    /// A device that would speak with itself.
    #[error("the key {0} is the device's own; leave the device out of its peers")]
    Own(PublicKey),
    /// Two peers.
    #[error("the addresses {0} are allowed for two peers; packets to them can go to one only")]
    SameAddresses(Prefix),
    /// In clear, and nobody knows where to.
    #[error("the peer {0} gets packets in clear but has no endpoint; give it one")]
    PlainWithoutEndpoint(PublicKey),
}

impl Wanted {
    /// Whether it can be.
    ///
    /// # Errors
    /// It contradicts itself.
    pub fn check(&self) -> Result<(), Contradiction> {
        if !matches!(self.identities.len(), 1 | 2) {
            return Err(Contradiction::Identities(self.identities.len()));
        }
        let own: Vec<PublicKey> = self.identities.iter().map(SecretKey::public).collect();
        if let [first, second] = own.as_slice()
            && first == second
        {
            return Err(Contradiction::SameKey(*first));
        }
        let mut keys = HashSet::new();
        let mut owners: HashMap<Prefix, usize> = HashMap::new();
        for (number, peer) in self.peers.iter().enumerate() {
            let [first, rest @ ..] = peer.keys.as_slice() else {
                return Err(Contradiction::Keys(0));
            };
            if rest.len() > 1 {
                return Err(Contradiction::Keys(peer.keys.len()));
            }
            for key in &peer.keys {
                if own.contains(key) {
                    return Err(Contradiction::Own(*key));
                }
                if !keys.insert(*key) {
                    return Err(Contradiction::SameKey(*key));
                }
            }
            for prefix in &peer.allowed {
                if *owners.entry(*prefix).or_insert(number) != number {
                    return Err(Contradiction::SameAddresses(*prefix));
                }
            }
            if peer.transport == Transport::Plain && peer.endpoint.is_none() {
                return Err(Contradiction::PlainWithoutEndpoint(*first));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(keys: &[&SecretKey], allowed: &str) -> Peer {
        Peer {
            keys: keys.iter().map(|key| key.public()).collect(),
            allowed: vec![allowed.parse().unwrap()],
            endpoint: None,
            keepalive: None,
            transport: Transport::Wireguard,
            roam: true,
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_reason() {
        let [a, b, c] = [(); 3].map(|()| SecretKey::generate());
        let wanted = |identities: &[&SecretKey], peers| Wanted {
            identities: identities.iter().copied().cloned().collect(),
            peers,
        };
        let good = wanted(
            &[&a],
            vec![peer(&[&b], "10.0.0.2"), peer(&[&c], "10.0.0.0/8")],
        );
        assert_eq!(good.check(), Ok(()));
        assert_eq!(
            wanted(&[], vec![]).check(),
            Err(Contradiction::Identities(0))
        );
        assert_eq!(
            wanted(&[&a, &b, &c], vec![]).check(),
            Err(Contradiction::Identities(3))
        );
        assert_eq!(
            wanted(&[&a, &a], vec![]).check(),
            Err(Contradiction::SameKey(a.public()))
        );
        let own = wanted(&[&a, &b], vec![peer(&[&b], "10.0.0.2")]);
        assert_eq!(own.check(), Err(Contradiction::Own(b.public())));
        let none = wanted(&[&a], vec![peer(&[], "10.0.0.2")]);
        assert_eq!(none.check(), Err(Contradiction::Keys(0)));
        let twice = wanted(
            &[&a],
            vec![peer(&[&b, &c], "10.0.0.2"), peer(&[&c], "10.0.0.3")],
        );
        assert_eq!(twice.check(), Err(Contradiction::SameKey(c.public())));
        let both = wanted(
            &[&a],
            vec![peer(&[&b], "10.0.0.2"), peer(&[&c], "10.0.0.2/32")],
        );
        let prefix = "10.0.0.2".parse().unwrap();
        assert_eq!(both.check(), Err(Contradiction::SameAddresses(prefix)));
        let mut lost = peer(&[&b], "10.0.0.2");
        lost.transport = Transport::Plain;
        let lost = wanted(&[&a], vec![lost]);
        assert_eq!(
            lost.check(),
            Err(Contradiction::PlainWithoutEndpoint(b.public()))
        );
    }
}
