//! The secure underlay as it is shown.

use model::HostName;
use model::underlay::Method;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use utoipa::ToSchema;

/// What hosts' tunnels run in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Underlay {
    /// What is between two sites where nothing else is said: `wireguard`, `ipsec`, or `none`.
    #[schema(value_type = String, example = "wireguard")]
    pub default: Method,
    /// The hosts that take part, by name.
    pub hosts: Vec<UnderlayHost>,
}

/// A host's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnderlayHost {
    /// The host.
    #[schema(value_type = String, example = "north-1")]
    pub host: HostName,
    /// Whether its agent is connected now.
    pub up: bool,
    /// Its address inside: its locator.
    #[schema(value_type = String, example = "100.64.0.1")]
    pub inner: IpAddr,
    /// Where it is reached from outside.
    #[schema(value_type = String, example = "192.0.2.10:51820")]
    pub outer: SocketAddr,
    /// Its public keys, base64; two while one takes the place of the other.
    pub keys: Vec<String>,
    /// How it stands with the others; empty where its agent is away.
    pub sessions: Vec<UnderlaySession>,
}

/// How it stands between a host and another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnderlaySession {
    /// The other one.
    #[schema(value_type = String, example = "south-1")]
    pub host: HostName,
    /// What is between the two.
    #[schema(value_type = String, example = "wireguard")]
    pub method: Method,
    /// Where the other one was heard last.
    #[schema(value_type = Option<String>, example = "192.0.2.20:51820")]
    pub endpoint: Option<SocketAddr>,
    /// Age of the session's keys, s; none where there is no session.
    pub age_s: Option<u64>,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}
