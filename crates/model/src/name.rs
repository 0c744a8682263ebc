//! Names of things: short, printable, safe in file names, interface aliases and URLs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name that breaks the rule for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a name: use 1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit")]
pub struct InvalidName(pub String);

fn check(text: &str) -> Result<(), InvalidName> {
    let good = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-');
    if good {
        Ok(())
    } else {
        Err(InvalidName(text.to_owned()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

name!(
    /// A cluster: a group of VMs that share one overlay network and move as one gang.
    ClusterName
);
name!(
    /// A VM, or a host that is a member of a cluster through its own vint0; unique in a cluster.
    VmName
);
name!(
    /// A host: one agent, one Open vSwitch.
    HostName
);
name!(
    /// A site: the hosts of one cloud of provider `kvm`.
    SiteName
);
name!(
    /// The identity of one migration, for example `m-0007`.
    MigrationId
);

impl HostName {
    /// A name that is known to be one.
    pub(crate) fn reserved(text: &'static str) -> Self {
        debug_assert!(check(text).is_ok());
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_refused_and_says_the_rule() {
        let error = VmName::new("../etc").unwrap_err();
        assert!(error.to_string().contains("a-z"));
    }

    #[test]
    fn a_name_survives_json() {
        let name: VmName = serde_json::from_str("\"shop-1\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"shop-1\"");
        assert!(serde_json::from_str::<VmName>("\"Shop 1\"").is_err());
    }
}
