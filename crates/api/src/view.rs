//! What the API shows that is not a word of [`model`] already.
//!
//! Plans, migrations, events and members cross the API as the model's own types; [`crate::schema`]
//! describes those for OpenAPI. Here are the views that put several of them together.

mod dns;
mod flows;
mod lisp;
mod topology;
mod underlay;

pub use dns::{DnsPublish, DnsRecord, DnsState};
pub use flows::{Flows, OutsideMember, Tunnel, Underway};
pub use lisp::{
    LispKey, LispLocator, LispMapping, LispMappingSpec, LispSite, LispSiteSpec, LispSource,
};
pub use topology::{Network, PlacedMember, Topology, TopologyHost, TopologySite};
pub use underlay::{Underlay, UnderlayHost, UnderlaySession};

use crate::schema;
use model::cluster::Cidr;
use model::news::Abilities;
use model::vm::VmState;
use model::{ClusterName, Entry, Epoch, HostName, Locator, Mac, MigrationId, SiteName, VmName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// A site: a cloud of provider `kvm`, the hosts that our own agents serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Name.
    #[schema(value_type = String, example = "north")]
    pub name: SiteName,
    /// What kind of cloud it is; `kvm` today.
    #[schema(example = "kvm")]
    pub provider: String,
    /// Whether at least one of its hosts is connected.
    pub up: bool,
    /// Its hosts.
    #[schema(value_type = Vec<String>)]
    pub hosts: Vec<HostName>,
    /// VMs that run there.
    pub vms: u32,
}

/// A host: one agent, one Open vSwitch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Name, as in its certificate.
    #[schema(value_type = String, example = "north-1")]
    pub name: HostName,
    /// Its site.
    #[schema(value_type = String, example = "north")]
    pub site: SiteName,
    /// Whether its agent is connected now.
    pub up: bool,
    /// Underlay address of its tunnels.
    #[schema(value_type = String, example = "192.0.2.10")]
    pub underlay: IpAddr,
    /// VMs that are there.
    pub vms: u32,
    /// What it can do, as its agent last said.
    #[schema(value_type = schema::Abilities)]
    pub abilities: Abilities,
}

/// A cluster as it stands: its description, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// The description, as it was applied; what is shown can be applied again.
    #[serde(flatten)]
    #[schema(value_type = schema::Cluster)]
    pub spec: model::Cluster,
    /// Largest IP packet of a member, bytes.
    pub mtu: u16,
    /// The sites where its VMs are now; one, unless it is being moved or spans sites on purpose.
    #[schema(value_type = Vec<String>)]
    pub sites: Vec<SiteName>,
    /// The migration under way.
    #[schema(value_type = Option<String>)]
    pub migration: Option<MigrationId>,
}

/// A VM of a cluster as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    /// Its cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// Name, unique in the cluster.
    #[schema(value_type = String, example = "shop-1")]
    pub name: VmName,
    /// Where it is now.
    #[schema(value_type = String, example = "north-1")]
    pub host: HostName,
    /// The site of that host.
    #[schema(value_type = String, example = "north")]
    pub site: SiteName,
    /// What it does, as its agent last said.
    #[schema(value_type = schema::VmState)]
    pub state: VmState,
    /// Ethernet address.
    #[schema(value_type = String, example = "52:54:00:77:00:0b")]
    pub mac: Mac,
    /// Addresses with prefix length.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<Cidr>,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// The migration under way.
    #[schema(value_type = Option<String>)]
    pub migration: Option<MigrationId>,
}

/// A row of the directory, and the site it leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// The row.
    #[serde(flatten)]
    #[schema(value_type = schema::Entry)]
    pub entry: Entry,
    /// The site of the locator's host.
    #[schema(value_type = String, example = "north")]
    pub site: SiteName,
}

/// A member that was linked or placed anew, acknowledged by every switch concerned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Placed {
    /// The cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// The member.
    #[schema(value_type = String, example = "shop-1")]
    pub member: VmName,
    /// Where it is reached now.
    #[schema(value_type = schema::Locator)]
    pub locator: Locator,
    /// The version of that.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Largest IP packet of the member, bytes.
    pub mtu: u16,
    /// From the request until every switch concerned had acknowledged, ms, as the controller
    /// measured it.
    pub took_ms: f64,
}

/// What a new host needs to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// The secret; good for one host.
    pub token: String,
    /// Where agents dial the controller.
    #[schema(example = "192.0.2.1:7443")]
    pub controller: String,
    /// SHA-256 of the certificate of the controller's own CA, hex: what the agent must find there.
    pub ca_sha256: String,
    /// Until when it is good, ms since the Unix epoch.
    pub expires_unix_ms: u64,
}

/// What a migration or a plan is asked for with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    /// The cluster.
    #[schema(value_type = String, example = "shop")]
    pub cluster: ClusterName,
    /// The target site.
    #[schema(value_type = String, example = "south")]
    pub to: SiteName,
    /// What may be chosen; everything has a default.
    #[serde(default)]
    #[schema(value_type = schema::Options, required = false)]
    pub options: model::migration::Options,
}

/// Where one endpoint is to be reached from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// The host.
    #[schema(value_type = String, example = "south-1")]
    pub host: HostName,
}

/// Who answers here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// Always `transhume`.
    pub name: String,
    /// Version of the controller.
    pub version: String,
    /// Version of the API.
    pub api: String,
}
