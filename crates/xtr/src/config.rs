//! What a router is told: as a TOML file, or as a value by who embeds it.
//!
//! Unknown keys are refused, so that a misspelt one is not silently without effect.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lisp::Eid;
use serde::Deserialize;

use crate::error::Error;

/// A router's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our locators. Also the addresses that packets are sent from.
    pub rlocs: Vec<Rloc>,
    /// What the router does.
    #[serde(default = "default_roles")]
    pub roles: Vec<Role>,
    /// Instances, each with a TUN of its own.
    pub instances: Vec<Instance>,
    /// Endpoints that are here from the beginning.
    #[serde(default)]
    pub eids: Vec<Own>,
    /// Mappings that nobody needs to be asked for.
    #[serde(default)]
    pub mappings: Vec<Static>,
    /// Where our endpoints are registered.
    #[serde(default)]
    pub map_servers: Vec<MapServer>,
    /// Who is asked for mappings, one after another.
    #[serde(default)]
    pub map_resolvers: Vec<MapResolver>,
    /// Whether we subscribe to changes of mappings that we ask for (RFC 9437).
    #[serde(default = "yes")]
    pub subscribe: bool,
    /// Our xTR-ID, hexadecimal; needed for subscriptions.
    #[serde(default)]
    pub xtr_id: Option<String>,
    /// Our Site-ID.
    #[serde(default)]
    pub site_id: u64,
    /// Proxy ETRs: where packets go that no site is known for.
    #[serde(default)]
    pub petrs: Vec<IpAddr>,
    /// Seconds between probes of a locator; 0 for none.
    #[serde(default = "default_probe")]
    pub probe_interval: u64,
    /// Bytes of the largest packet that the underlay carries.
    #[serde(default = "default_mtu")]
    pub underlay_mtu: u16,
    /// Threads that forward; 0 is one for each CPU.
    #[serde(default)]
    pub workers: usize,
    /// UDP source ports of each worker and address family: the underlay shares flows out by them.
    #[serde(default = "default_ports")]
    pub source_ports: usize,
    /// UDP port of data packets.
    #[serde(default = "default_data_port")]
    pub data_port: u16,
    /// UDP port of control messages.
    #[serde(default = "default_control_port")]
    pub control_port: u16,
    /// Whether data packets say which of our locators are up.
    #[serde(default)]
    pub status_bits: bool,
    /// Hand packets to the kernel's VXLAN-GPE where the other end is ours too.
    #[serde(default)]
    pub kernel: Option<Kernel>,
    /// File in which nonces and departed endpoints outlive a restart.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// Socket that answers `transhume xtr status`.
    #[serde(default)]
    pub socket: Option<PathBuf>,
}

/// What a router does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Encapsulates what our endpoints send.
    Itr,
    /// Decapsulates what comes for our endpoints.
    Etr,
    /// Encapsulates what others send to endpoints.
    Pitr,
    /// Decapsulates what endpoints send to others.
    Petr,
}

/// A locator: one of ours, or of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rloc {
    /// Address.
    pub address: IpAddr,
    /// The smallest are used first; 255 never.
    #[serde(default = "one")]
    pub priority: u8,
    /// Share among locators of one priority.
    #[serde(default = "hundred")]
    pub weight: u8,
}

/// An instance and its TUN.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Instance id, 24 bits; 0 is none.
    #[serde(default)]
    pub id: u32,
    /// Name of the TUN, which the router makes.
    pub tun: String,
    /// MTU of the TUN, bytes; by default the largest that fits the underlay.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Addresses of the TUN, for a host or guest that is an endpoint itself.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What is routed into the TUN: endpoints' prefixes, or for a proxy what it attracts.
    #[serde(default)]
    pub routes: Vec<String>,
}

/// An endpoint or prefix of them that is here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Prefix.
    pub prefix: String,
    /// Instance id.
    #[serde(default)]
    pub instance: u32,
}

/// A mapping that stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Static {
    /// Prefix.
    pub prefix: String,
    /// Instance id.
    #[serde(default)]
    pub instance: u32,
    /// Its locators; none to drop.
    #[serde(default)]
    pub rlocs: Vec<Rloc>,
}

/// How registrations are authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hmac {
    /// HMAC-SHA-1-96.
    #[serde(rename = "hmac-sha-1-96")]
    Sha1,
    /// HMAC-SHA-256-128.
    #[default]
    #[serde(rename = "hmac-sha-256-128")]
    Sha256,
}

/// Where our endpoints are registered.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapServer {
    /// Address.
    pub address: IpAddr,
    /// UDP port.
    #[serde(default = "default_control_port")]
    pub port: u16,
    /// The secret that we share.
    #[serde(default)]
    pub key: Option<String>,
    /// File with the secret, its line end left out.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Number of the secret.
    #[serde(default)]
    pub key_id: u8,
    /// How messages are authenticated.
    #[serde(default)]
    pub algorithm: Hmac,
    /// Whether it answers for us.
    #[serde(default = "yes")]
    pub proxy_reply: bool,
    /// Whether it is of 2013: HMAC-SHA-1-96 in full length, nonce 0, no xTR-ID, nothing acknowledged.
    #[serde(default)]
    pub rfc6830: bool,
}

impl std::fmt::Debug for MapServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapServer({}:{})", self.address, self.port)
    }
}

/// Who is asked for mappings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapResolver {
    /// Address.
    pub address: IpAddr,
    /// UDP port.
    #[serde(default = "default_control_port")]
    pub port: u16,
    /// Whether it is of 2013, and knows no subscriptions.
    #[serde(default)]
    pub rfc6830: bool,
}

/// The kernel's part.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Name of the VXLAN-GPE device, which the router makes.
    #[serde(default = "default_gpe")]
    pub device: String,
    /// Locators, as prefixes, at which a router of ours has such a device too.
    pub peers: Vec<String>,
}

fn yes() -> bool {
    true
}
fn one() -> u8 {
    1
}
fn hundred() -> u8 {
    100
}
fn default_roles() -> Vec<Role> {
    vec![Role::Itr, Role::Etr]
}
fn default_probe() -> u64 {
    60
}
fn default_mtu() -> u16 {
    1500
}
fn default_ports() -> usize {
    4
}
fn default_data_port() -> u16 {
    lisp::data::DATA_PORT
}
fn default_control_port() -> u16 {
    lisp::message::CONTROL_PORT
}
fn default_gpe() -> String {
    "lispgpe".to_owned()
}

/// Reads a prefix or a single address.
///
/// # Errors
/// [`Error::Config`].
pub fn prefix(instance: u32, text: &str) -> Result<Eid, Error> {
    let wrong = || Error::Config(format!("{text:?} is no prefix; write it like 10.2.0.0/16"));
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, length.parse().map_err(|_| wrong())?),
        None => (text, u8::MAX),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    if length != u8::MAX && length > width {
        return Err(wrong());
    }
    Ok(Eid::new(instance, address, length))
}

impl Config {
    /// Reads a TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] names the line, or what contradicts what.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::Config(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// As [`Config::from_toml`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text)
    }

    /// The smallest configuration: these locators, one instance in this TUN.
    pub fn small(rlocs: impl IntoIterator<Item = IpAddr>, instance: Instance) -> Self {
        let rloc = |address| Rloc {
            address,
            priority: one(),
            weight: hundred(),
        };
        Self {
            rlocs: rlocs.into_iter().map(rloc).collect(),
            roles: default_roles(),
            instances: vec![instance],
            eids: Vec::new(),
            mappings: Vec::new(),
            map_servers: Vec::new(),
            map_resolvers: Vec::new(),
            subscribe: true,
            xtr_id: None,
            site_id: 0,
            petrs: Vec::new(),
            probe_interval: default_probe(),
            underlay_mtu: default_mtu(),
            workers: 1,
            source_ports: default_ports(),
            data_port: default_data_port(),
            control_port: default_control_port(),
            status_bits: false,
            kernel: None,
            state: None,
            socket: None,
        }
    }

    /// Checks that the parts fit each other.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Config(text));
        if self.rlocs.is_empty() {
            return wrong("no rlocs; name at least one address of this host".to_owned());
        }
        if self.instances.is_empty() {
            return wrong("no instances; name at least one, with its TUN".to_owned());
        }
        for instance in &self.instances {
            if instance.id >= 1 << 24 {
                return wrong(format!("instance {} has more than 24 bits", instance.id));
            }
            for text in instance.routes.iter().chain(&instance.addresses) {
                prefix(instance.id, text)?;
            }
        }
        let known = |id| self.instances.iter().any(|instance| instance.id == id);
        for (text, id) in (self.eids.iter().map(|eid| (&eid.prefix, eid.instance)))
            .chain(self.mappings.iter().map(|eid| (&eid.prefix, eid.instance)))
        {
            prefix(id, text)?;
            if !known(id) {
                return wrong(format!("{text} is in instance {id}, which has no TUN here"));
            }
        }
        if self.kernel.is_some() && self.instances.len() > 1 {
            return wrong(
                "the kernel's device carries one instance only; leave [kernel] out or have one instance"
                    .to_owned(),
            );
        }
        self.xtr()?;
        for server in &self.map_servers {
            server.secret()?;
        }
        Ok(())
    }

    /// Our xTR-ID and Site-ID.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn xtr(&self) -> Result<Option<lisp::XtrId>, Error> {
        let Some(text) = &self.xtr_id else {
            return Ok(None);
        };
        let digits = text.trim_start_matches("0x");
        let xtr_id = u128::from_str_radix(digits, 16).map_err(|_| {
            Error::Config(format!(
                "xtr_id {text:?} is no hexadecimal number of 128 bits"
            ))
        })?;
        Ok(Some(lisp::XtrId {
            xtr_id,
            site_id: self.site_id,
        }))
    }

    /// Whether the router has this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Time between two probes of a locator.
    pub fn probe_every(&self) -> Option<Duration> {
        (self.probe_interval > 0).then(|| Duration::from_secs(self.probe_interval))
    }
}

impl MapServer {
    /// The secret.
    ///
    /// # Errors
    /// There is none, or its file cannot be read.
    pub fn secret(&self) -> Result<lisp::auth::Secret, Error> {
        let text = match (&self.key, &self.key_file) {
            (Some(key), None) => key.clone(),
            (None, Some(path)) => std::fs::read_to_string(path).map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?,
            _ => {
                return Err(Error::Config(format!(
                    "Map-Server {} needs either key or key_file",
                    self.address
                )));
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        Ok(lisp::auth::Secret::new(text.as_bytes()))
    }
}
