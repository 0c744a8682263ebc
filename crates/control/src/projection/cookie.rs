//! Cookies: how our rules are recognised in a switch.
//!
//! ```text
//!  63            48 47  44 43          28 27                        0
//! +----------------+------+--------------+---------------------------+
//! |  0x7472  "tr"  | kind |    owner     |        fingerprint        |
//! +----------------+------+--------------+---------------------------+
//! ```
//!
//! The fingerprint is a hash of the whole rule. So the cookies of a table are all that has to be
//! read back after a restart to know which rules are missing and which are left over, and nothing
//! has to be understood of how a switch spells a match or an action.

use super::Key;
use model::ClusterName;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The value of the tag bits: every rule of ours has it.
const TAG: u64 = 0x7472 << 48;
/// The bits that tell our rules from others'.
const TAG_MASK: u64 = 0xffff << 48;
const OWNER_MASK: u64 = 0xffff << 28;
const FINGERPRINT_MASK: u64 = (1 << 28) - 1;

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The end of each table.
    Base = 0,
    /// Which network a port or a tunnel belongs to.
    Classify = 1,
    /// Sender addresses that a port may use.
    Guard = 2,
    /// A port whose endpoint is elsewhere.
    Fence = 3,
    /// ARP and neighbour discovery answered by the switch.
    Answer = 4,
    /// Where a local sender's packets for an endpoint go.
    Origin = 5,
    /// Copies of group and unknown frames.
    Replicate = 6,
    /// What a tunnel brings for an endpoint.
    Arrivals = 7,
    /// The same, sent on to another host.
    Redirect = 8,
    /// The same, kept in a queue; with the local senders' part.
    Gate = 9,
    /// What a member's security rules let through.
    Security = 10,
}

impl Kind {
    fn of(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Base,
            1 => Self::Classify,
            2 => Self::Guard,
            3 => Self::Fence,
            4 => Self::Answer,
            5 => Self::Origin,
            6 => Self::Replicate,
            7 => Self::Arrivals,
            8 => Self::Redirect,
            9 => Self::Gate,
            10 => Self::Security,
            _ => return None,
        })
    }
}

/// Whose rule it is: 16 bits that endpoints may share by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u16);

impl Owner {
    /// Rules that do not depend on the directory.
    pub const HOST: Self = Self(0);

    /// Rules of one endpoint.
    pub fn endpoint(key: &Key) -> Self {
        Self::hash(&(key.0.as_str(), key.1.as_str()))
    }

    /// Rules of one network.
    pub fn net(cluster: &ClusterName) -> Self {
        Self::hash(&cluster.as_str())
    }

    fn hash(value: &impl Hash) -> Self {
        let hash = fnv(value);
        Self((hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16)
    }

    /// Cookie and mask that select the owner's rules, for `ovs-ofctl dump-flows BR cookie=C/M`.
    pub fn selector(self) -> (u64, u64) {
        (TAG | u64::from(self.0) << 28, TAG_MASK | OWNER_MASK)
    }
}

/// The cookie of a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Cookie and mask that select every rule of ours.
    pub const OURS: (u64, u64) = (TAG, TAG_MASK);

    pub(crate) fn new(kind: Kind, owner: Owner, content: &impl Hash) -> Self {
        let hash = fnv(content);
        let fingerprint = (hash ^ (hash >> 28) ^ (hash >> 56)) & FINGERPRINT_MASK;
        Self(TAG | (kind as u64) << 44 | u64::from(owner.0) << 28 | fingerprint)
    }

    /// True for a rule that we made, in this life or an earlier one.
    pub fn is_ours(self) -> bool {
        self.0 & TAG_MASK == TAG
    }

    /// What the rule is for; none for rules of others and of later versions.
    pub fn kind(self) -> Option<Kind> {
        if self.is_ours() {
            Kind::of(self.0 >> 44 & 0xf)
        } else {
            None
        }
    }

    /// Whose rule it is; none for rules of others.
    pub fn owner(self) -> Option<Owner> {
        self.is_ours().then_some(Owner((self.0 >> 28) as u16))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// FNV-1a, 64 bits: short, and the same in every process, unlike the standard library's.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn fnv(value: &impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_gives_back_its_kind_and_owner() {
        let cluster = ClusterName::new("shop").unwrap();
        let owner = Owner::net(&cluster);
        let cookie = Cookie::new(Kind::Gate, owner, &42u32);
        assert!(cookie.is_ours());
        assert_eq!(
            (cookie.kind(), cookie.owner()),
            (Some(Kind::Gate), Some(owner))
        );
        let (value, mask) = owner.selector();
        assert_eq!(cookie.0 & mask, value);
        assert_ne!(cookie, Cookie::new(Kind::Gate, owner, &43u32));
    }

    #[test]
    fn a_cookie_of_somebody_else_is_not_ours() {
        for foreign in [0, 42, 0x7473 << 48, u64::MAX] {
            assert!(!Cookie(foreign).is_ours());
            assert_eq!(Cookie(foreign).kind(), None);
        }
    }
}
