//! How many migrations may run at once, how much of the links they may take, and when they may run.

use crate::window::Window;
use crate::{HostName, SiteName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A limit for the migrations that share something.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Migrations that run at once; none is no limit.
    pub at_once: Option<u32>,
    /// What they may send together, Mbit/s; none is what the hosts' uplinks are known to carry.
    pub mbit: Option<f64>,
}

/// What holds for all migrations of one controller. Parts that are left out take their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// All migrations together.
    pub controller: Limit,
    /// The migrations that leave or enter a site, for every site without a limit of its own.
    pub site: Limit,
    /// The migrations that send or receive through one host's uplink, for every host without a limit of
    /// its own.
    pub uplink: Limit,
    /// Sites with a limit of their own.
    pub sites: BTreeMap<SiteName, Limit>,
    /// Hosts whose uplinks have a limit of their own.
    pub uplinks: BTreeMap<HostName, Limit>,
    /// When a site's clusters may begin to move, and switch over; a site without windows always may.
    pub windows: BTreeMap<SiteName, Vec<Window>>,
    /// Less than this is too little to begin with, Mbit/s, unless the migration asks for less.
    pub least_mbit: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            controller: Limit::default(),
            site: Limit::default(),
            // One after another is done sooner than side by side: what is copied faster is dirtied less.
            uplink: Limit {
                at_once: Some(1),
                mbit: None,
            },
            sites: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            windows: BTreeMap::new(),
            least_mbit: 10.0,
        }
    }
}

/// A limit that nothing could ever keep to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidLimits {
    /// Nothing would ever run.
    #[error("{0} lets no migration run at once; use 1 or more, or leave it out for no limit")]
    None(String),
    /// Not a rate.
    #[error("{what} is {mbit} Mbit/s; use a number above 0, or leave it out")]
    Rate {
        /// Which.
        what: String,
        /// What was given.
        mbit: f64,
    },
}

impl Limits {
    /// The limit of a site.
    pub fn of_site(&self, site: &SiteName) -> Limit {
        self.sites.get(site).copied().unwrap_or(self.site)
    }

    /// The limit of a host's uplink.
    pub fn of_uplink(&self, host: &HostName) -> Limit {
        self.uplinks.get(host).copied().unwrap_or(self.uplink)
    }

    /// Whether migrations can keep to them.
    ///
    /// # Errors
    /// See [`InvalidLimits`].
    pub fn check(&self) -> Result<(), InvalidLimits> {
        let named = [
            ("the controller's limit".to_owned(), self.controller),
            ("the limit of each site".to_owned(), self.site),
            ("the limit of each uplink".to_owned(), self.uplink),
        ];
        let sites = self.sites.iter();
        let sites = sites.map(|(site, limit)| (format!("the limit of site '{site}'"), *limit));
        let hosts = self.uplinks.iter();
        let hosts = hosts.map(|(host, limit)| (format!("the limit of '{host}''s uplink"), *limit));
        for (what, limit) in named.into_iter().chain(sites).chain(hosts) {
            if limit.at_once == Some(0) {
                return Err(InvalidLimits::None(what));
            }
            if let Some(mbit) = limit.mbit {
                rate(&what, mbit)?;
            }
        }
        rate("the least rate", self.least_mbit)
    }
}

fn rate(what: &str, mbit: f64) -> Result<(), InvalidLimits> {
    if mbit.is_finite() && mbit > 0.0 {
        return Ok(());
    }
    Err(InvalidLimits::Rate {
        what: what.to_owned(),
        mbit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_limits_is_enough_and_a_misspelt_one_is_refused() {
        let limits: Limits = serde_json::from_str(
            r#"{"uplink": {"at_once": 2}, "windows": {"south": ["22:00/04:00"]}}"#,
        )
        .unwrap();
        assert_eq!(limits.uplink.at_once, Some(2));
        assert_eq!(limits.least_mbit, Limits::default().least_mbit);
        assert_eq!(limits.windows.len(), 1);
        assert!(serde_json::from_str::<Limits>(r#"{"uplnk": {}}"#).is_err());
    }

    #[test]
    fn limits_that_nothing_could_keep_to_are_refused() {
        let none = Limits {
            site: Limit {
                at_once: Some(0),
                mbit: None,
            },
            ..Limits::default()
        };
        assert!(none.check().unwrap_err().to_string().contains("each site"));
        let rate = Limits {
            least_mbit: f64::NAN,
            ..Limits::default()
        };
        assert!(rate.check().is_err());
        assert_eq!(Limits::default().check(), Ok(()));
    }
}
