//! Zones, servers and secrets as they are described. Secrets themselves are in files, never in here.

use crate::{DnsName, InvalidDnsName};
use model::{ClusterName, SiteName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Dynamic DNS as a controller is told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// Addresses by which the world reaches a site.
    #[serde(default)]
    pub sites: BTreeMap<SiteName, Vec<IpAddr>>,
    /// What is published.
    pub zones: Vec<Zone>,
}

/// One zone and the servers that take its updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// The zone: every name is below it.
    pub zone: DnsName,
    /// A member's name below the zone, with `{member}` and `{cluster}` in it.
    #[serde(default = "pattern")]
    pub names: String,
    /// Which addresses a name has.
    #[serde(default)]
    pub publish: Publish,
    /// Only members of these clusters; all where none is named.
    #[serde(default)]
    pub clusters: BTreeSet<ClusterName>,
    /// How long others may keep an answer, seconds.
    #[serde(default = "ttl")]
    pub ttl_seconds: u32,
    /// Also publish a TXT record with the locator's host and the epoch.
    #[serde(default)]
    pub txt: bool,
    /// Servers that take RFC 2136 updates.
    #[serde(default)]
    pub rfc2136: Option<Rfc2136>,
    /// A provider that speaks dyndns2.
    #[serde(default)]
    pub dyndns2: Option<Dyndns2>,
}

/// Which addresses a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// The endpoint's own.
    #[default]
    Endpoint,
    /// Those of the site where it is.
    Site,
}

/// Servers that take RFC 2136 updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// The zone's servers, the primary first; the others are tried where it does not answer. TCP.
    pub servers: Vec<SocketAddr>,
    /// The key's name at the server; updates are not signed where there is none.
    #[serde(default)]
    pub key: Option<DnsName>,
    /// hmac-sha256, hmac-sha384 or hmac-sha512.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// File with the key's secret in base64.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// How long to wait for an answer, ms.
    #[serde(default = "patience")]
    pub patience_ms: u64,
}

/// How updates are signed (RFC 8945, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC-SHA-256.
    #[default]
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// A provider that speaks dyndns2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dyndns2 {
    /// Where it takes updates, for example `https://dynupdate.no-ip.com/nic/update`.
    pub url: String,
    /// The account.
    pub user: String,
    /// File with its password.
    pub password_file: PathBuf,
    /// File with the certificates (PEM) of authorities that may vouch for the provider; those of the system without one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allow `http:` to another machine: user and password go in clear.
    #[serde(default)]
    pub insecure: bool,
    /// How long to wait for an answer, ms.
    #[serde(default = "patience")]
    pub patience_ms: u64,
}

fn pattern() -> String {
    "{member}.{cluster}".to_owned()
}

fn ttl() -> u32 {
    30
}

fn patience() -> u64 {
    3000
}

/// Why a configuration cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Two zones of one name.
    #[error("zone '{0}' is there twice: give each zone one table")]
    Twice(DnsName),
    /// No server, or two kinds of them.
    #[error("zone '{0}' needs either a table `rfc2136` or a table `dyndns2`, and not both")]
    OneProtocol(DnsName),
    /// Nobody to send to.
    #[error("zone '{0}' has no server: name one in `servers`")]
    NoServer(DnsName),
    /// A key without secret, or a secret without key.
    #[error(
        "zone '{0}' needs `key` and `key_file` together: the key's name at the server, and its secret"
    )]
    HalfAKey(DnsName),
    /// A provider takes one address of each family and no text.
    #[error("zone '{0}' cannot publish a TXT record over dyndns2: leave out `txt`")]
    NoText(DnsName),
    /// A provider's address that is not understood, or would send the password in clear.
    #[error("zone '{zone}': {error}")]
    Url {
        /// The zone.
        zone: DnsName,
        /// Why.
        error: crate::dyndns2::InvalidUrl,
    },
    /// A pattern that makes no name.
    #[error("zone '{zone}': `names` makes no name: {error}")]
    Pattern {
        /// The zone.
        zone: DnsName,
        /// Why.
        error: InvalidDnsName,
    },
    /// A pattern that gives several members one name.
    #[error(
        "zone '{0}': `names` needs {{member}} and {{cluster}}, or one cluster in `clusters`: members of several clusters would \
         have one name"
    )]
    Ambiguous(DnsName),
}

impl DnsConfig {
    /// Sees whether it can be followed.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let mut seen = BTreeSet::new();
        for zone in &self.zones {
            if !seen.insert(&zone.zone) {
                return Err(InvalidConfig::Twice(zone.zone.clone()));
            }
            zone.check()?;
        }
        Ok(())
    }
}

impl Zone {
    /// Sees whether it can be followed.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let zone = || self.zone.clone();
        let has = |word: &str| self.names.contains(word);
        let one = self.clusters.len() == 1;
        if !has("{member}") || !(has("{cluster}") || one) {
            return Err(InvalidConfig::Ambiguous(zone()));
        }
        let example = self
            .names
            .replace("{member}", "a")
            .replace("{cluster}", "b");
        let made = self.zone.below(&example);
        made.map_err(|error| InvalidConfig::Pattern {
            zone: zone(),
            error,
        })?;
        match (&self.rfc2136, &self.dyndns2) {
            (Some(rfc2136), None) => rfc2136.check(&self.zone),
            (None, Some(_)) if self.txt => Err(InvalidConfig::NoText(zone())),
            (None, Some(dyndns2)) => dyndns2.check(&self.zone),
            _ => Err(InvalidConfig::OneProtocol(zone())),
        }
    }
}

impl Rfc2136 {
    /// Sees whether it can be followed.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub fn check(&self, zone: &DnsName) -> Result<(), InvalidConfig> {
        if self.servers.is_empty() {
            return Err(InvalidConfig::NoServer(zone.clone()));
        }
        match self.key.is_some() == self.key_file.is_some() {
            true => Ok(()),
            false => Err(InvalidConfig::HalfAKey(zone.clone())),
        }
    }
}

impl Dyndns2 {
    /// Sees whether it can be followed.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub fn check(&self, zone: &DnsName) -> Result<(), InvalidConfig> {
        let url = crate::dyndns2::Url::read(&self.url, self.insecure);
        url.map(drop).map_err(|error| InvalidConfig::Url {
            zone: zone.clone(),
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(more: &str) -> Zone {
        toml::from_str(&format!("zone = 'shop.example.org'\n{more}")).unwrap()
    }

    #[test]
    fn a_zone_and_a_server_are_enough() {
        let zone = zone("rfc2136.servers = ['192.0.2.53:53']");
        zone.check().unwrap();
        assert_eq!((zone.ttl_seconds, zone.publish), (30, Publish::Endpoint));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let server = "rfc2136.servers = ['192.0.2.53:53']";
        let provider =
            "[dyndns2]\nurl = 'https://p.example/nic/update'\nuser = 'u'\npassword_file = '/p'";
        let refused = |text: &str| zone(text).check().unwrap_err();
        assert!(matches!(refused(""), InvalidConfig::OneProtocol(_)));
        assert!(matches!(
            refused(&format!("{server}\n{provider}")),
            InvalidConfig::OneProtocol(_)
        ));
        assert!(matches!(
            refused(&format!("txt = true\n{provider}")),
            InvalidConfig::NoText(_)
        ));
        assert!(matches!(
            refused(&format!("names = '{{member}}'\n{server}")),
            InvalidConfig::Ambiguous(_)
        ));
        assert!(matches!(
            refused(&format!("{server}\nrfc2136.key = 'k'")),
            InvalidConfig::HalfAKey(_)
        ));
        assert!(matches!(
            refused(&format!("names = '{{member}} {{cluster}}'\n{server}")),
            InvalidConfig::Pattern { .. }
        ));
        assert!(matches!(
            refused("rfc2136.servers = []"),
            InvalidConfig::NoServer(_)
        ));
        zone(&format!(
            "names = '{{member}}'\nclusters = ['shop']\n{server}"
        ))
        .check()
        .unwrap();
    }

    #[test]
    fn a_password_does_not_leave_the_machine_in_clear() {
        let provider = |url: &str, more: &str| {
            zone(&format!(
                "[dyndns2]\nurl = '{url}'\nuser = 'u'\npassword_file = '/p'\n{more}"
            ))
            .check()
        };
        assert!(provider("http://p.example/nic/update", "").is_err());
        provider("http://p.example/nic/update", "insecure = true").unwrap();
        provider("http://127.0.0.1:8080/nic/update", "").unwrap();
        provider("https://p.example/nic/update", "").unwrap();
    }
}
