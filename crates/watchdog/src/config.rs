//! What the watchdog is told when it starts, as TOML (docs/watchdog.md).

use crate::machine::{Step, Tuning};
use dns::config::{Dyndns2, Rfc2136};
use dns::{DnsName, Waits};
use model::cluster::Cidr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of a guest's watchdog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchdogConfig {
    /// The interface that is watched.
    pub interface: String,
    /// Where it writes how it stands.
    #[serde(default = "status_file")]
    pub status_file: PathBuf,
    /// Signs of another place have to last so long, ms.
    #[serde(default = "settle")]
    pub settle_ms: u64,
    /// After a run that did not help, ms; then twice as long each time.
    #[serde(default = "retry_first")]
    pub retry_first_ms: u64,
    /// The longest of these waits, ms.
    #[serde(default = "retry_most")]
    pub retry_most_ms: u64,
    /// What has to be reached where all is well; nothing is probed without it.
    #[serde(default)]
    pub target: Option<Target>,
    /// How an address is renewed.
    #[serde(default)]
    pub renew: Renew,
    /// The tunnel that depends on the place.
    #[serde(default)]
    pub tunnel: Option<Tunnel>,
    /// Names that lead to this machine.
    #[serde(default)]
    pub names: Vec<OwnName>,
}

/// What has to be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A TCP port that takes connections.
    #[serde(default)]
    pub tcp: Option<SocketAddr>,
    /// An address that answers echo requests (ping).
    #[serde(default)]
    pub icmp: Option<IpAddr>,
    /// Between probes, ms.
    #[serde(default = "every")]
    pub every_ms: u64,
    /// Between probes after one that failed, ms.
    #[serde(default = "again")]
    pub again_ms: u64,
    /// How long an answer may take, ms.
    #[serde(default = "patience")]
    pub patience_ms: u64,
    /// So many have to fail in a row.
    #[serde(default = "fails")]
    pub fails: u32,
}

/// How an address is renewed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renew {
    /// What renews it and ends when it has; what runs here is asked otherwise (networkd, dhclient, udhcpc).
    pub command: Option<Vec<String>>,
    /// The address is not this program's business.
    pub off: bool,
    /// How long it may take, ms.
    pub patience_ms: u64,
}

impl Default for Renew {
    fn default() -> Self {
        Self {
            command: None,
            off: false,
            patience_ms: 20_000,
        }
    }
}

/// How the tunnel is made good: one of the three ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Restart this unit of systemd.
    #[serde(default)]
    pub restart: Option<String>,
    /// Run this; `WATCHDOG_INTERFACE`, `WATCHDOG_ADDRESS` and `WATCHDOG_GATEWAY` say where it is.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Give a WireGuard peer another endpoint.
    #[serde(default)]
    pub wireguard: Option<WireGuard>,
    /// How long it may take, ms.
    #[serde(default = "tunnel_patience")]
    pub patience_ms: u64,
}

/// A WireGuard peer whose endpoint depends on the place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireGuard {
    /// The tunnel's interface.
    pub interface: String,
    /// The peer's public key.
    pub peer: String,
    /// Its endpoint where no place below fits.
    #[serde(default)]
    pub endpoint: Option<SocketAddr>,
    /// Its endpoint at places that are known.
    #[serde(default)]
    pub places: Vec<Place>,
}

/// A place, by the addresses that it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The machine's own address is in here.
    pub within: Cidr,
    /// The peer's endpoint there.
    pub endpoint: SocketAddr,
}

/// A name that leads to this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnName {
    /// The name.
    pub name: DnsName,
    /// Its zone at the server, for RFC 2136.
    #[serde(default)]
    pub zone: Option<DnsName>,
    /// How long others may keep an answer, seconds.
    #[serde(default = "ttl")]
    pub ttl_seconds: u32,
    /// Marks the name as ours, one word; the name itself where it is not given.
    #[serde(default)]
    pub owner: Option<String>,
    /// Let the provider take the address that it sees, behind an address translation; dyndns2 only.
    #[serde(default)]
    pub seen: bool,
    /// Servers that take RFC 2136 updates.
    #[serde(default)]
    pub rfc2136: Option<Rfc2136>,
    /// A provider that speaks dyndns2.
    #[serde(default)]
    pub dyndns2: Option<Dyndns2>,
    /// How long it may take, ms.
    #[serde(default = "name_patience")]
    pub patience_ms: u64,
}

fn status_file() -> PathBuf {
    PathBuf::from("/run/transhume/watchdog.json")
}

fn settle() -> u64 {
    300
}

fn retry_first() -> u64 {
    1000
}

fn retry_most() -> u64 {
    60_000
}

fn every() -> u64 {
    1000
}

fn again() -> u64 {
    250
}

fn patience() -> u64 {
    1000
}

fn fails() -> u32 {
    3
}

fn tunnel_patience() -> u64 {
    20_000
}

fn name_patience() -> u64 {
    10_000
}

fn ttl() -> u32 {
    30
}

/// Why a configuration cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A target that is none, or two.
    #[error("the target needs either `tcp` or `icmp`, and not both")]
    OneTarget,
    /// A tunnel that is made good in no way, or in several.
    #[error("the tunnel needs one of `restart`, `command` and `wireguard`")]
    OneTunnel,
    /// An empty command.
    #[error("a command in `{0}` is empty: name a program and its arguments")]
    EmptyCommand(&'static str),
    /// A name without a server, or with two kinds of them.
    #[error("name '{0}' needs either a table `rfc2136` or a table `dyndns2`, and not both")]
    OneProtocol(DnsName),
    /// A name outside its zone.
    #[error("name '{0}' needs `zone`, the zone at the server that it is in")]
    NoZone(DnsName),
    /// A server takes what it is told.
    #[error(
        "name '{0}': only a dyndns2 provider can take the address that it sees; leave out `seen`"
    )]
    NothingSeen(DnsName),
    /// An owner that is no word.
    #[error("name '{0}': `owner` has to be one word")]
    Owner(DnsName),
    /// The server or provider.
    #[error(transparent)]
    Dns(#[from] dns::config::InvalidConfig),
}

impl WatchdogConfig {
    /// Sees whether it can be followed.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self
            .target
            .as_ref()
            .is_some_and(|target| target.tcp.is_some() == target.icmp.is_some())
        {
            return Err(InvalidConfig::OneTarget);
        }
        if self.renew.command.as_ref().is_some_and(Vec::is_empty) {
            return Err(InvalidConfig::EmptyCommand("renew"));
        }
        if let Some(tunnel) = &self.tunnel {
            let ways = [
                tunnel.restart.is_some(),
                tunnel.command.is_some(),
                tunnel.wireguard.is_some(),
            ];
            if ways.into_iter().filter(|way| *way).count() != 1 {
                return Err(InvalidConfig::OneTunnel);
            }
            if tunnel.command.as_ref().is_some_and(Vec::is_empty) {
                return Err(InvalidConfig::EmptyCommand("tunnel"));
            }
        }
        self.names.iter().try_for_each(OwnName::check)
    }

    /// How patient the machine is to be.
    pub fn tuning(&self) -> Tuning {
        let ms = Duration::from_millis;
        let target = self.target.as_ref();
        let mut steps = BTreeSet::new();
        if !self.renew.off {
            steps.insert(Step::Renew);
        }
        if self.tunnel.is_some() {
            steps.insert(Step::Tunnel);
        }
        if !self.names.is_empty() {
            steps.insert(Step::Names);
        }
        Tuning {
            settle: ms(self.settle_ms),
            probe_every: target.map(|target| ms(target.every_ms.max(10))),
            probe_again: ms(target.map_or(0, |target| target.again_ms).max(10)),
            fails: target.map_or(1, |target| target.fails).max(1),
            waits: Waits {
                first: ms(self.retry_first_ms.max(100)),
                most: ms(self.retry_most_ms.max(100)),
            },
            steps,
        }
    }
}

impl OwnName {
    fn check(&self) -> Result<(), InvalidConfig> {
        let name = || self.name.clone();
        if self
            .owner
            .as_ref()
            .is_some_and(|owner| owner.is_empty() || owner.contains(char::is_whitespace))
        {
            return Err(InvalidConfig::Owner(name()));
        }
        match (&self.rfc2136, &self.dyndns2) {
            (Some(_), None) if self.seen => Err(InvalidConfig::NothingSeen(name())),
            (Some(rfc2136), None) => match &self.zone {
                Some(zone) if self.name.is_within(zone) => Ok(rfc2136.check(zone)?),
                _ => Err(InvalidConfig::NoZone(name())),
            },
            (None, Some(dyndns2)) => Ok(dyndns2.check(&self.name)?),
            _ => Err(InvalidConfig::OneProtocol(name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> WatchdogConfig {
        toml::from_str(&format!("interface = 'eth0'\n{more}")).unwrap()
    }

    #[test]
    fn an_interface_is_enough_and_nothing_public_is_probed() {
        let config = config("");
        config.check().unwrap();
        assert_eq!(config.tuning().probe_every, None);
        assert_eq!(config.tuning().steps, [Step::Renew].into());
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let refused = |more: &str| config(more).check().unwrap_err();
        assert_eq!(refused("[target]"), InvalidConfig::OneTarget);
        assert_eq!(
            refused("target = { tcp = '10.0.0.1:1', icmp = '10.0.0.1' }"),
            InvalidConfig::OneTarget
        );
        assert_eq!(refused("[tunnel]"), InvalidConfig::OneTunnel);
        assert_eq!(
            refused("[tunnel]\nrestart = 'a'\ncommand = ['b']"),
            InvalidConfig::OneTunnel
        );
        assert_eq!(
            refused("[renew]\ncommand = []"),
            InvalidConfig::EmptyCommand("renew")
        );
        let name = "[[names]]\nname = 'a.example'";
        let server = "rfc2136.servers = ['10.0.0.1:53']";
        assert!(matches!(refused(name), InvalidConfig::OneProtocol(_)));
        assert!(matches!(
            refused(&format!("{name}\n{server}")),
            InvalidConfig::NoZone(_)
        ));
        assert!(matches!(
            refused(&format!("{name}\nzone = 'other'\n{server}")),
            InvalidConfig::NoZone(_)
        ));
        assert!(matches!(
            refused(&format!("{name}\nzone = 'example'\nseen = true\n{server}")),
            InvalidConfig::NothingSeen(_)
        ));
        config(&format!("{name}\nzone = 'example'\n{server}"))
            .check()
            .unwrap();
    }
}
