//! Every host's part, and what the others must know of it.

use model::cluster::Cidr;
use model::underlay::{Method, Part, Peer, Peers, Policy};
use model::{HostName, SiteName};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// Length of a WireGuard public key in base64: 32 bytes and one sign of padding.
const KEY: usize = 44;

/// Keys that a host may have at one time: one, and the one that takes its place.
const KEYS: usize = 2;

/// Why a host's part is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// The pool is used up.
    #[error("the addresses of the secure underlay, {0}, are used up; set a wider `pool`")]
    Full(Cidr),
    /// It was never given an address.
    #[error("host '{0}' has no address in the secure underlay; let it join anew")]
    Unknown(HostName),
    /// It says another address than it was given.
    #[error("host '{host}' says that it is {said} in the secure underlay, where it is {given}")]
    NotIts {
        /// The host.
        host: HostName,
        /// What it says.
        said: IpAddr,
        /// What it was given.
        given: IpAddr,
    },
    /// It brings a key of another host.
    #[error("host '{host}' brings a key of host '{other}'")]
    KeyTaken {
        /// The host.
        host: HostName,
        /// Whose key it is.
        other: HostName,
    },
    /// It says to be where another host is.
    #[error("host '{host}' says to be at {outer}, where host '{other}' is")]
    PlaceTaken {
        /// The host.
        host: HostName,
        /// Where.
        outer: std::net::SocketAddr,
        /// Who is there.
        other: HostName,
    },
    /// No key, too many, or something else than a key.
    #[error("host '{0}' brings no key that can be one")]
    BadKey(HostName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    inner: IpAddr,
    part: Option<(SiteName, Part)>,
}

/// Who takes part.
#[derive(Debug, Clone)]
pub struct Mesh {
    policy: Policy,
    pool: Cidr,
    members: BTreeMap<HostName, Member>,
    version: u64,
}

impl Mesh {
    /// Nobody yet. Versions begin after `version`, which must be larger than all that were ever told.
    pub fn new(policy: Policy, pool: Cidr, version: u64) -> Self {
        Self {
            policy,
            pool,
            members: BTreeMap::new(),
            version,
        }
    }

    /// Which underlay is between which sites.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes up what was kept of a host.
    pub fn recall(&mut self, host: HostName, inner: IpAddr, part: Option<(SiteName, Part)>) {
        self.version += 1;
        self.members.insert(host, Member { inner, part });
    }

    /// A host's address inside, with the prefix of the whole: the one that it has, or a free one.
    ///
    /// # Errors
    /// [`MeshError::Full`].
    pub fn admit(&mut self, host: &HostName) -> Result<Cidr, MeshError> {
        let address = match self.members.get(host) {
            Some(member) => member.inner,
            None => {
                let inner = self.free().ok_or(MeshError::Full(self.pool))?;
                let member = Member { inner, part: None };
                self.members.insert(host.clone(), member);
                inner
            }
        };
        Ok(Cidr {
            address,
            prefix: self.pool.prefix,
        })
    }

    /// A host's address inside, with the prefix of the whole.
    pub fn address(&self, host: &HostName) -> Option<Cidr> {
        self.members.get(host).map(|member| Cidr {
            address: member.inner,
            prefix: self.pool.prefix,
        })
    }

    /// Takes a host's part as its agent tells it; true when others must hear of it.
    ///
    /// # Errors
    /// It claims what is not its own. Nothing is changed then.
    pub fn take(
        &mut self,
        host: &HostName,
        site: &SiteName,
        part: Part,
    ) -> Result<bool, MeshError> {
        let known = self.members.get(host);
        let given = known.ok_or_else(|| MeshError::Unknown(host.clone()))?.inner;
        if part.inner != given {
            return Err(MeshError::NotIts {
                host: host.clone(),
                said: part.inner,
                given,
            });
        }
        let good = |key: &String| key.len() == KEY && key.ends_with('=') && key.is_ascii();
        let twice = matches!(part.keys.as_slice(), [one, other] if one == other);
        if part.keys.is_empty() || part.keys.len() > KEYS || twice || !part.keys.iter().all(good) {
            return Err(MeshError::BadKey(host.clone()));
        }
        for (other, member) in self.members.iter().filter(|(other, _)| *other != host) {
            let Some((_, theirs)) = &member.part else {
                continue;
            };
            if theirs.keys.iter().any(|key| part.keys.contains(key)) {
                return Err(MeshError::KeyTaken {
                    host: host.clone(),
                    other: other.clone(),
                });
            }
            if theirs.outer == part.outer && !theirs.roams && !part.roams {
                return Err(MeshError::PlaceTaken {
                    host: host.clone(),
                    outer: part.outer,
                    other: other.clone(),
                });
            }
        }
        let member = Member {
            inner: given,
            part: Some((site.clone(), part)),
        };
        let before = self.members.insert(host.clone(), member);
        let changed = before.as_ref() != self.members.get(host);
        self.version += u64::from(changed);
        Ok(changed)
    }

    /// A host's part.
    pub fn part(&self, host: &HostName) -> Option<&Part> {
        let (_, part) = self.members.get(host)?.part.as_ref()?;
        Some(part)
    }

    /// A host's part and site, for keeping.
    pub fn kept(&self, host: &HostName) -> Option<(IpAddr, Option<(SiteName, Part)>)> {
        let member = self.members.get(host)?;
        Some((member.inner, member.part.clone()))
    }

    /// The hosts that take part, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        let taking = self
            .members
            .iter()
            .filter(|(_, member)| member.part.is_some());
        taking.map(|(host, _)| host)
    }

    /// Forgets a host: from now on nobody is told of it. True when it took part.
    pub fn forget(&mut self, host: &HostName) -> bool {
        self.version += 1;
        self.members
            .remove(host)
            .is_some_and(|member| member.part.is_some())
    }

    /// The version of what [`Mesh::peers_of`] says.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What a host must know of the others: nothing where it is none of them.
    pub fn peers_of(&self, host: &HostName) -> Peers {
        let own = self
            .members
            .get(host)
            .and_then(|member| member.part.as_ref());
        let peers = match own {
            None => Vec::new(),
            Some((site, own)) => {
                let others = self.members.iter().filter(|(other, _)| *other != host);
                let peer = |(other, member): (&HostName, &Member)| {
                    let (theirs, part) = member.part.as_ref()?;
                    Some(Peer {
                        host: other.clone(),
                        method: self.between(site, own, theirs, part),
                        part: part.clone(),
                    })
                };
                others.filter_map(peer).collect()
            }
        };
        Peers {
            version: self.version,
            peers,
        }
    }

    /// What the policy wants, unless one of the two has no IPsec: then WireGuard, never less protection.
    fn between(&self, site: &SiteName, own: &Part, theirs: &SiteName, part: &Part) -> Method {
        match self.policy.between(site, theirs) {
            Method::Ipsec if !(own.ipsec && part.ipsec) => Method::Wireguard,
            method => method,
        }
    }

    /// The lowest address of the pool that is free; the first is left to the network itself.
    fn free(&self) -> Option<IpAddr> {
        let IpAddr::V4(network) = self.pool.address else {
            return None;
        };
        let room = u32::MAX.checked_shr(u32::from(self.pool.prefix))?;
        let first = network.to_bits() & !room;
        let taken: std::collections::BTreeSet<IpAddr> =
            self.members.values().map(|member| member.inner).collect();
        (1..room)
            .map(|number| IpAddr::V4(Ipv4Addr::from_bits(first + number)))
            .find(|address| !taken.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    fn site(name: &str) -> SiteName {
        SiteName::new(name).unwrap()
    }

    fn key(sign: char) -> String {
        format!("{}=", sign.to_string().repeat(43))
    }

    fn mesh() -> Mesh {
        Mesh::new(Policy::default(), "100.64.0.0/10".parse().unwrap(), 7)
    }

    fn part(mesh: &mut Mesh, host: &str, sign: char) -> Part {
        let inner = mesh.admit(&name(host)).unwrap().address;
        Part {
            inner,
            outer: format!("192.0.2.{}:51820", u32::from(sign) % 200 + 1)
                .parse()
                .unwrap(),
            keys: vec![key(sign)],
            roams: false,
            ipsec: false,
        }
    }

    fn two() -> Mesh {
        let mut mesh = mesh();
        for (host, sign) in [("north", 'a'), ("south", 'b')] {
            let part = part(&mut mesh, host, sign);
            assert!(mesh.take(&name(host), &site(host), part).unwrap());
        }
        mesh
    }

    #[test]
    fn a_host_keeps_its_address_and_is_told_of_the_others() {
        let mut mesh = two();
        assert_eq!(
            mesh.admit(&name("north")).unwrap().to_string(),
            "100.64.0.1/10"
        );
        let peers = mesh.peers_of(&name("north"));
        assert_eq!(peers.peers.len(), 1);
        assert_eq!(peers.peers[0].host, name("south"));
        assert_eq!(peers.peers[0].method, Method::Wireguard);
    }

    #[test]
    fn a_host_that_is_forgotten_is_told_nothing_and_nobody_is_told_of_it() {
        let mut mesh = two();
        let before = mesh.version();
        assert!(mesh.forget(&name("south")));
        assert!(mesh.version() > before);
        assert!(mesh.peers_of(&name("north")).peers.is_empty());
        assert!(mesh.peers_of(&name("south")).peers.is_empty());
    }

    #[test]
    fn what_is_another_hosts_is_refused_and_nothing_changes() {
        let mut mesh = two();
        let before = mesh.clone();
        let south = part(&mut mesh, "south", 'b');
        let north = part(&mut mesh, "north", 'a');
        let mut claim = |change: &dyn Fn(&mut Part)| {
            let mut wanted = north.clone();
            change(&mut wanted);
            mesh.take(&name("north"), &site("north"), wanted)
                .unwrap_err()
        };
        assert!(matches!(
            claim(&|part| part.inner = south.inner),
            MeshError::NotIts { .. }
        ));
        assert!(matches!(
            claim(&|part| part.keys = south.keys.clone()),
            MeshError::KeyTaken { .. }
        ));
        assert!(matches!(
            claim(&|part| part.outer = south.outer),
            MeshError::PlaceTaken { .. }
        ));
        for keys in [
            vec![],
            vec![key('c'), key('c')],
            vec![key('c'), key('d'), key('e')],
            vec!["short".into()],
        ] {
            assert!(matches!(
                claim(&|part| part.keys = keys.clone()),
                MeshError::BadKey(_)
            ));
        }
        assert_eq!(
            before.peers_of(&name("south")),
            mesh.peers_of(&name("south"))
        );
    }

    #[test]
    fn ipsec_falls_back_to_wireguard_where_one_end_has_none_of_it() {
        let policy = Policy {
            default: Method::Ipsec,
            pairs: vec![],
        };
        let mut mesh = Mesh::new(policy, "100.64.0.0/10".parse().unwrap(), 0);
        for (host, sign, ipsec) in [("a", 'a', true), ("b", 'b', true), ("c", 'c', false)] {
            let part = Part {
                ipsec,
                ..part(&mut mesh, host, sign)
            };
            mesh.take(&name(host), &site(host), part).unwrap();
        }
        let methods: Vec<Method> = mesh
            .peers_of(&name("a"))
            .peers
            .iter()
            .map(|peer| peer.method)
            .collect();
        assert_eq!(methods, [Method::Ipsec, Method::Wireguard]);
    }

    proptest! {
        #[test]
        fn no_two_hosts_get_one_address_whatever_comes_and_goes(
            steps in prop::collection::vec((0..12u8, any::<bool>()), 1..80),
        ) {
            let mut mesh = Mesh::new(Policy::default(), "10.255.0.0/28".parse().unwrap(), 0);
            for (number, comes) in steps {
                let host = name(&format!("h{number}"));
                if comes {
                    prop_assert!(mesh.admit(&host).is_ok());
                } else {
                    mesh.forget(&host);
                }
                let mut given: Vec<_> = mesh.members.values().map(|member| member.inner).collect();
                let all = given.len();
                given.sort_unstable();
                given.dedup();
                prop_assert_eq!(given.len(), all);
            }
        }
    }
}
