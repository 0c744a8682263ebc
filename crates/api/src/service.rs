//! The one trait behind the API. The controller implements it; tests put a fake there.

use crate::Problem;
use crate::view::{
    Cluster, DnsPublish, DnsRecord, Endpoint, Flows, Host, JoinToken, LispMapping, LispMappingSpec,
    LispSite, LispSiteSpec, Placed, Site, Topology, Underlay, UnderlayHost, Vm,
};
use async_trait::async_trait;
use futures::stream::BoxStream;
use model::event::Event;
use model::flows::FlowsAsked;
use model::libvirt::Found;
use model::limits::Limits;
use model::links::Links;
use model::migration::{Migration, Options, Plan};
use model::trace::{Question, Trace};
use model::{ClusterName, HostName, Member, MigrationId, SecurityRule, SiteName, VmName};
use std::collections::BTreeMap;

/// Events in the order of their numbers.
pub type Events = BoxStream<'static, Event>;

/// What the API can be asked for. Every error is one clear sentence with the way out, and leaves
/// nothing half done.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Every site, by name.
    async fn sites(&self) -> Result<Vec<Site>, Problem>;

    /// Every host that ever joined, by name; also those whose agent is away.
    async fn hosts(&self) -> Result<Vec<Host>, Problem>;

    /// Forgets a host: its certificate and its keys are good for nothing from now on. One that has members of
    /// clusters is forgotten only `with_members`; they stay members.
    async fn remove_host(&self, host: &HostName, with_members: bool) -> Result<(), Problem> {
        let _ = with_members;
        Err(Problem::refused(
            format!("This controller does not remove host '{host}'."),
            "Ask one that does.",
        ))
    }

    /// What hosts' tunnels run in, and how it stands between them.
    async fn underlay(&self) -> Result<Underlay, Problem> {
        Ok(Underlay {
            default: model::underlay::Method::None,
            hosts: Vec::new(),
        })
    }

    /// Replaces a host's key in the secure underlay while packets flow.
    async fn rotate_key(&self, host: &HostName) -> Result<UnderlayHost, Problem> {
        Err(Problem::refused(
            format!("Host '{host}' takes no part in a secure underlay."),
            "See who does with `transhume underlay show`.",
        ))
    }

    /// The domains that libvirt has on a host, linked or not.
    async fn domains(&self, host: &HostName) -> Result<Vec<Found>, Problem>;

    /// Every cluster, by name.
    async fn clusters(&self) -> Result<Vec<Cluster>, Problem>;

    /// One cluster.
    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, Problem>;

    /// Creates the cluster or brings the existing one to this description: links members that are
    /// new, unlinks those that are gone, starts VMs. Ends when all of it is done.
    async fn apply_cluster(&self, spec: model::Cluster) -> Result<Cluster, Problem>;

    /// Ends the cluster's VMs, unlinks its members, forgets it.
    async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Problem>;

    /// Links one member (and starts it, if it is a VM). Ends when every switch concerned has
    /// acknowledged and the addresses are set.
    async fn link(&self, cluster: &ClusterName, member: Member) -> Result<Placed, Problem>;

    /// Ends one member's VM, if it is one, and unlinks it.
    async fn unlink(&self, cluster: &ClusterName, member: &VmName) -> Result<(), Problem>;

    /// Changes where one endpoint is reached, for members that something else has moved. Ends when
    /// every switch concerned has acknowledged.
    async fn update(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        to: &HostName,
    ) -> Result<Placed, Problem> {
        Err(Problem::refused(
            format!(
                "This controller does not place '{member}' of cluster '{cluster}' at '{to}' by hand."
            ),
            "Move the cluster with `transhume migrate`.",
        ))
    }

    /// A member's security rules; none when it is open.
    async fn security(
        &self,
        cluster: &ClusterName,
        member: &VmName,
    ) -> Result<Vec<SecurityRule>, Problem>;

    /// Gives a member other security rules, all of them, while it runs. Ends when every switch
    /// concerned has acknowledged them and what they no longer allow is cut.
    async fn secure(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        rules: Vec<SecurityRule>,
    ) -> Result<Vec<SecurityRule>, Problem>;

    /// Every VM of every cluster.
    async fn vms(&self) -> Result<Vec<Vm>, Problem>;

    /// Every row of the directory.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, Problem>;

    /// The rules that a host's switch really has, each with what it is for and whether the directory asks
    /// for it.
    async fn flows(&self, host: &HostName, asked: FlowsAsked) -> Result<Flows, Problem>;

    /// The way of a packet from one endpoint to another, as the switches tell it. No packet is sent.
    async fn trace(&self, question: Question) -> Result<Trace, Problem>;

    /// What ports and tunnels carry, of each host that answers; with rates over so many ms, where it is not 0.
    async fn links(&self, over_ms: u32) -> Result<BTreeMap<HostName, Links>, Problem>;

    /// Sites, their hosts, what is on them and between them. By default put together from the other
    /// answers; rates are over so many ms, none when it is 0.
    async fn topology(&self, over_ms: u32) -> Result<Topology, Problem> {
        let links = self.links(over_ms).await?;
        let (sites, hosts) = (self.sites().await?, self.hosts().await?);
        let (clusters, vms) = (self.clusters().await?, self.vms().await?);
        let endpoints = self.endpoints().await?;
        let migrations = self.migrations().await?;
        let mut topology = Topology::assemble(sites, hosts, clusters, vms, endpoints);
        topology.add_links(&links);
        topology.add_migrations(&migrations);
        Ok(topology)
    }

    /// What a migration would do and what stands in its way. Changes nothing. A failed check is
    /// part of the plan; a problem is a question that makes no sense (unknown cluster or site).
    async fn plan(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Plan, Problem>;

    /// Begins a migration and returns at once.
    async fn migrate(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Migration, Problem>;

    /// Every migration that is known, oldest first.
    async fn migrations(&self) -> Result<Vec<Migration>, Problem>;

    /// One migration.
    async fn migration(&self, id: &MigrationId) -> Result<Migration, Problem>;

    /// Asks a migration to go back to its source; returns how it stands then. One that is past the
    /// point of return, or over, is a conflict.
    async fn cancel(&self, id: &MigrationId) -> Result<Migration, Problem>;

    /// Puts a cluster back where a migration took it from: lets one go back that is under way, moves
    /// back what one that is over has moved. Returns the migration that goes back.
    async fn rollback(&self, id: &MigrationId) -> Result<Migration, Problem>;

    /// Lets a migration go no further until it is resumed: one that waits keeps its place, one on its way
    /// goes on at a trickle and does not switch over. One that is armed, or over, is a conflict.
    async fn pause(&self, id: &MigrationId) -> Result<Migration, Problem>;

    /// Lets a paused migration go on.
    async fn resume(&self, id: &MigrationId) -> Result<Migration, Problem>;

    /// How many migrations run at once, what they may send, and when.
    async fn limits(&self) -> Result<Limits, Problem>;

    /// Other limits from now on; none goes back to those of the configuration file. What runs goes on.
    async fn set_limits(&self, limits: Option<Limits>) -> Result<Limits, Problem>;

    /// Events from number `from` on, as far back as they are kept; without `from` only what
    /// happens after the call. With `follow` the stream goes on as events happen, else it ends
    /// after the newest. A follower that falls behind misses nothing or its stream ends.
    async fn events(&self, from: Option<u64>, follow: bool) -> Result<Events, Problem>;

    /// A token with which one new host may join.
    async fn join_token(&self) -> Result<JoinToken, Problem>;

    /// Every LISP site, by name. Secrets are never among what is shown.
    async fn lisp_sites(&self) -> Result<Vec<LispSite>, Problem> {
        Err(no_map_server())
    }

    /// Makes a LISP site known, or changes it; what it has registered and may no longer is dropped.
    async fn put_lisp_site(&self, _: &SiteName, _: LispSiteSpec) -> Result<LispSite, Problem> {
        Err(no_map_server())
    }

    /// Forgets a LISP site, its registrations and its subscriptions.
    async fn delete_lisp_site(&self, _: &SiteName) -> Result<(), Problem> {
        Err(no_map_server())
    }

    /// LISP mappings of all sources in the order of their identifiers, up to a thousand behind `after`.
    async fn lisp_mappings(&self, _after: Option<&str>) -> Result<Vec<LispMapping>, Problem> {
        Err(no_map_server())
    }

    /// The LISP mapping of exactly this identifier.
    async fn lisp_mapping(&self, _: &str) -> Result<LispMapping, Problem> {
        Err(no_map_server())
    }

    /// Sets a LISP mapping by hand; subscribers, and those who have asked, are told at once.
    async fn put_lisp_mapping(&self, _: &str, _: LispMappingSpec) -> Result<LispMapping, Problem> {
        Err(no_map_server())
    }

    /// Forgets a LISP mapping that was set by hand.
    async fn delete_lisp_mapping(&self, _: &str) -> Result<(), Problem> {
        Err(no_map_server())
    }

    /// Every name of dynamic DNS, by zone and name.
    async fn dns_records(&self) -> Result<Vec<DnsRecord>, Problem> {
        Err(no_dynamic_dns())
    }

    /// Publishes names again, also where they were stopped; returns all names as they stand then.
    async fn publish_dns(&self, _: DnsPublish) -> Result<Vec<DnsRecord>, Problem> {
        Err(no_dynamic_dns())
    }
}

/// What is answered where no names are published.
pub fn no_dynamic_dns() -> Problem {
    Problem::refused(
        "This controller publishes no names.",
        "Give its configuration a table [dns] with zones (docs/dns.md), and start it again.",
    )
}

/// What is answered about a host that never joined.
pub fn no_such_host(host: &HostName) -> Problem {
    Problem::not_found(
        format!("There is no host '{host}'."),
        "See the hosts with `transhume host list`.",
    )
}

/// What is answered where no Map-Server runs.
pub fn no_map_server() -> Problem {
    Problem::refused(
        "This controller runs no LISP Map-Server.",
        "Give its configuration a table [lisp] with `listen`, and start it again.",
    )
}
