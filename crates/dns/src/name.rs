//! Names in the DNS as we publish them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name as text without its final dot (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
/// Longest label (RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A name in the DNS: lower case, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// Text that is no name in the DNS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a DNS name: use labels of 1 to 63 letters, digits, '-' and '_' with dots between them, \
     253 characters at most"
)]
pub struct InvalidDnsName(pub String);

impl DnsName {
    /// Checks and takes a name; case and a final dot do not matter.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, InvalidDnsName> {
        let bare = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let good = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if bare.len() <= LONGEST && bare.split('.').all(good) {
            Ok(Self(bare))
        } else {
            Err(InvalidDnsName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name with others before it: `www` before `example.org`.
    ///
    /// # Errors
    /// They are no labels, or together too long.
    pub fn below(&self, labels: &str) -> Result<Self, InvalidDnsName> {
        Self::new(&format!("{labels}.{}", self.0))
    }

    /// True where this name is `zone` or below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        let front = self.0.strip_suffix(&zone.0);
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;
    fn from_str(text: &str) -> Result<Self, InvalidDnsName> {
        Self::new(text)
    }
}

impl TryFrom<String> for DnsName {
    type Error = InvalidDnsName;
    fn try_from(text: String) -> Result<Self, InvalidDnsName> {
        Self::new(&text)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_a_final_dot_do_not_matter() {
        let name = DnsName::new("Gate.Shop.Example.ORG.").unwrap();
        assert_eq!(name.as_str(), "gate.shop.example.org");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let many = "a.".repeat(128);
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "é",
            long.as_str(),
            many.as_str(),
        ] {
            assert!(DnsName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_within_its_zone_and_not_within_one_that_only_ends_alike() {
        let of = |text| DnsName::new(text).unwrap();
        assert!(of("a.example.org").is_within(&of("example.org")));
        assert!(of("example.org").is_within(&of("example.org")));
        assert!(!of("anexample.org").is_within(&of("example.org")));
    }
}
