//! Dynamic DNS: names of members, and what was last published.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// How a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnsState {
    /// The server has acknowledged what is wanted.
    Published,
    /// An update is to be sent, or under way.
    Pending,
    /// The last try failed; it is tried again.
    Retrying,
    /// It is not sent until a person acts.
    Stopped,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsRecord {
    /// The name.
    #[schema(example = "gate.shop.example.org")]
    pub name: String,
    /// The zone that it is published in.
    #[schema(example = "example.org")]
    pub zone: String,
    /// How it stands.
    pub state: DnsState,
    /// Addresses that it shall have; none where it is to go.
    #[schema(value_type = Vec<String>, example = json!(["203.0.113.5"]))]
    pub wanted: Vec<IpAddr>,
    /// How long others may keep them, seconds.
    pub ttl_seconds: u32,
    /// Epoch of the directory's row that they follow from.
    pub epoch: u64,
    /// Addresses that were last acknowledged.
    #[schema(value_type = Vec<String>, example = json!(["203.0.113.5"]))]
    pub published: Vec<IpAddr>,
    /// The epoch that they follow from.
    pub published_epoch: Option<u64>,
    /// When they were acknowledged, ms since the Unix epoch.
    pub published_unix_ms: Option<u64>,
    /// From the directory's change to the acknowledgement, ms.
    pub delay_ms: Option<u64>,
    /// Why it is not published, in one sentence; empty where it is, or on its way.
    pub message: String,
}

/// What is to be published again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsPublish {
    /// One name; every one where none is said.
    #[serde(default)]
    #[schema(required = false)]
    pub name: Option<String>,
}
