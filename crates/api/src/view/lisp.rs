//! The LISP Map-Server: sites, and mappings of whatever source.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use utoipa::ToSchema;

/// A secret that a site and the Map-Server share. It goes in and never comes out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LispKey {
    /// Key id in messages.
    #[serde(default)]
    #[schema(required = false)]
    pub id: u8,
    /// The secret, as text.
    #[schema(write_only)]
    pub secret: String,
}

impl fmt::Debug for LispKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LispKey({})", self.id)
    }
}

/// A LISP site as it is described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LispSiteSpec {
    /// Site-ID of its xTRs; unique.
    pub id: u64,
    /// Its secrets; without any, a site that is known keeps those that it has.
    #[serde(default)]
    #[schema(required = false)]
    pub keys: Vec<LispKey>,
    /// What it may register: prefixes, with the instance before them where it is not 0.
    #[schema(example = json!(["[7]10.2.0.0/16"]))]
    pub prefixes: Vec<String>,
    /// Whether it may register parts of its prefixes.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    pub accept_more_specifics: bool,
    /// Whether registrations with a nonce that never grows are taken, as routers of RFC 6830's time send
    /// them. They can be replayed.
    #[serde(default)]
    #[schema(required = false)]
    pub accept_constant_nonce: bool,
    /// Whether its routers take and send VXLAN-GPE (UDP port 4790) beside LISP's own data packets: hosts'
    /// switches then need no gateway to it.
    #[serde(default)]
    #[schema(required = false)]
    pub gpe: bool,
}

fn yes() -> bool {
    true
}

/// A LISP site as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LispSite {
    /// Name.
    #[schema(example = "branch")]
    pub name: String,
    /// Site-ID of its xTRs.
    pub id: u64,
    /// Ids of its keys.
    pub key_ids: Vec<u8>,
    /// What it may register.
    pub prefixes: Vec<String>,
    /// Whether it may register parts of its prefixes.
    pub accept_more_specifics: bool,
    /// Whether registrations with a nonce that never grows are taken.
    pub accept_constant_nonce: bool,
}

/// Where a mapping leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LispLocator {
    /// The address of a tunnel router.
    #[schema(value_type = String, example = "192.0.2.10")]
    pub address: IpAddr,
    /// The smallest are used first; 255 never.
    #[serde(default = "first")]
    #[schema(required = false, default = 1)]
    pub priority: u8,
    /// Share of the traffic among locators of one priority.
    #[serde(default = "whole")]
    #[schema(required = false, default = 100)]
    pub weight: u8,
}

fn first() -> u8 {
    1
}

fn whole() -> u8 {
    100
}

/// A mapping that is set by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LispMappingSpec {
    /// How long it may be cached, minutes.
    #[serde(default = "day")]
    #[schema(required = false, default = 1440)]
    pub ttl_minutes: u32,
    /// Where it leads to; without any, packets to it are dropped.
    pub locators: Vec<LispLocator>,
}

fn day() -> u32 {
    24 * 60
}

/// Where a mapping comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LispSource {
    /// An endpoint of a cluster.
    Directory,
    /// Set by hand.
    Static,
    /// Registered by a site.
    Registered,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LispMapping {
    /// What is mapped.
    #[schema(example = "[7]10.77.0.11/32")]
    pub eid: String,
    /// Where it comes from.
    pub source: LispSource,
    /// How long it may be cached, minutes.
    pub ttl_minutes: u32,
    /// Its version; 0 where none is said.
    pub version: u16,
    /// Where it leads to.
    pub locators: Vec<LispLocator>,
}
