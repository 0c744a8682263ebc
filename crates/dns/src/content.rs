//! What stands behind a name, and the marker that says whose it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The label below a name that carries its marker.
pub const MARKER_LABEL: &str = "_transhume";

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How long others may keep it, seconds.
    pub ttl: u32,
    /// A and AAAA records.
    pub addresses: BTreeSet<IpAddr>,
    /// A TXT record beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A provider takes the address that it sees (dyndns2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
}

impl Content {
    /// Addresses without a text.
    pub fn addresses(ttl: u32, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            ttl,
            addresses: addresses.into_iter().collect(),
            text: None,
            seen: false,
        }
    }

    /// The address that the provider sees.
    pub fn as_seen(ttl: u32) -> Self {
        Self {
            seen: true,
            ..Self::addresses(ttl, [])
        }
    }

    /// Nothing at all: the name is taken away.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.text.is_none() && !self.seen
    }
}

/// Whose a name is, and how new what it says: a TXT record at [`MARKER_LABEL`] below it. An update asks for the
/// marker that it replaces, so one that is late, or another's, changes nothing (RFC 2136, section 2.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Who publishes: one word.
    pub owner: String,
    /// The epoch of what is published.
    pub epoch: u64,
    /// Counts updates of the name, so that no two of them have one marker.
    pub serial: u64,
}

impl Marker {
    /// The marker as the record has it.
    pub fn text(&self) -> String {
        format!(
            "transhume owner={} epoch={} serial={}",
            self.owner, self.epoch, self.serial
        )
    }

    /// Reads one; nothing where the text is something else.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("transhume owner=")?.split(' ');
        let owner = words.next().filter(|owner| !owner.is_empty())?.to_owned();
        let epoch = words.next()?.strip_prefix("epoch=")?.parse().ok()?;
        let serial = words.next()?.strip_prefix("serial=")?.parse().ok()?;
        let whole = words.next().is_none();
        whole.then_some(Self {
            owner,
            epoch,
            serial,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_text_and_other_texts_are_none() {
        let marker = Marker {
            owner: "c1".into(),
            epoch: 17,
            serial: 3,
        };
        assert_eq!(Marker::read(&marker.text()), Some(marker));
        for other in [
            "",
            "v=spf1 -all",
            "transhume owner= epoch=1 serial=1",
            "transhume owner=a epoch=1",
            "transhume owner=a epoch= serial=1",
            "transhume owner=a epoch=1 serial=1 more",
        ] {
            assert_eq!(Marker::read(other), None, "{other}");
        }
    }
}
