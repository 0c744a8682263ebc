//! The API's questions, answered by the parts.

use crate::agents::admission::{Admission, AdmissionError};
use crate::engine::Engine;
use crate::lisp::Lisp;
use crate::underlay::{TurnError, Underlay};
use crate::{Events, Hosts, Registry, flowview, problems};
use api::view::{
    Cluster, DnsPublish, DnsRecord, Endpoint, Flows, Host, JoinToken, LispMapping, LispMappingSpec,
    LispSite, LispSiteSpec, Placed, Site, Underlay as ShownUnderlay, UnderlayHost, Vm,
};
use api::{Problem, Service};
use async_trait::async_trait;
use model::flows::FlowsAsked;
use model::libvirt::Found;
use model::limits::Limits;
use model::links::Links;
use model::migration::{Migration, Options, Plan};
use model::trace::{Question, Trace};
use model::{ClusterName, HostName, Member, MigrationId, SecurityRule, SiteName, VmName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What answers the API.
pub struct Controlling {
    /// Who is connected.
    pub hosts: Hosts,
    /// Clusters, members and the directory.
    pub registry: Registry,
    /// What happened.
    pub events: Events,
    /// Migrations.
    pub engine: Arc<Engine>,
    /// The LISP Map-Server, where there is one.
    pub lisp: Option<Lisp>,
    /// Dynamic DNS, where names are published.
    pub names: Option<crate::dns::Names>,
    pub(crate) admission: Admission,
    /// What hosts' tunnels run in.
    pub underlay: Underlay,
    /// What join tokens tell agents to dial.
    pub(crate) dial: String,
}

#[async_trait]
impl Service for Controlling {
    async fn sites(&self) -> Result<Vec<Site>, Problem> {
        Ok(self.registry.show_sites().await)
    }

    async fn hosts(&self) -> Result<Vec<Host>, Problem> {
        Ok(self.registry.show_hosts().await)
    }

    async fn remove_host(&self, host: &HostName, with_members: bool) -> Result<(), Problem> {
        self.registry.may_remove(host, with_members).await?;
        // First, so that it cannot come back in between.
        let withdrawn = self.admission.withdraw(host).await;
        withdrawn.map_err(|error| Problem::internal(problems::sentence(&error.to_string())))?;
        self.registry.remove_host(host).await
    }

    async fn underlay(&self) -> Result<ShownUnderlay, Problem> {
        Ok(self.underlay.show().await)
    }

    async fn rotate_key(&self, host: &HostName) -> Result<UnderlayHost, Problem> {
        self.underlay
            .turn(host)
            .await
            .map_err(|error| match error {
                TurnError::Order(error) => problems::order(&error),
                TurnError::NoPart(_) => Problem::not_found(
                    problems::sentence(&error.to_string()),
                    "See who does with `transhume underlay show`.",
                ),
                error => Problem::conflict(problems::sentence(&error.to_string()), ""),
            })?;
        let mut shown = self.underlay.show().await.hosts.into_iter();
        shown.find(|shown| shown.host == *host).ok_or_else(|| {
            Problem::not_found(
                format!("Host '{host}' takes no part any more."),
                "See who does with `transhume underlay show`.",
            )
        })
    }

    async fn domains(&self, host: &HostName) -> Result<Vec<Found>, Problem> {
        self.registry.find_domains(host).await
    }

    async fn clusters(&self) -> Result<Vec<Cluster>, Problem> {
        Ok(self.registry.show_clusters().await)
    }

    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, Problem> {
        let cluster = self.registry.show_cluster(name).await;
        cluster.ok_or_else(|| crate::registry::no_such_cluster(name))
    }

    async fn apply_cluster(&self, spec: model::Cluster) -> Result<Cluster, Problem> {
        let name = spec.name.clone();
        self.registry.apply(spec).await?;
        self.cluster(&name).await
    }

    async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Problem> {
        self.registry.delete(name).await
    }

    async fn link(&self, cluster: &ClusterName, member: Member) -> Result<Placed, Problem> {
        self.registry.link(cluster, member).await
    }

    async fn unlink(&self, cluster: &ClusterName, member: &VmName) -> Result<(), Problem> {
        self.registry.unlink(cluster, member).await
    }

    async fn update(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        to: &HostName,
    ) -> Result<Placed, Problem> {
        self.registry.update(cluster, member, to).await
    }

    async fn security(
        &self,
        cluster: &ClusterName,
        member: &VmName,
    ) -> Result<Vec<SecurityRule>, Problem> {
        self.registry.security(cluster, member).await
    }

    async fn secure(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        rules: Vec<SecurityRule>,
    ) -> Result<Vec<SecurityRule>, Problem> {
        self.registry.secure(cluster, member, rules).await
    }

    async fn vms(&self) -> Result<Vec<Vm>, Problem> {
        Ok(self.registry.show_vms().await)
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, Problem> {
        Ok(self.registry.show_endpoints().await)
    }

    async fn flows(&self, host: &HostName, asked: FlowsAsked) -> Result<Flows, Problem> {
        if self.registry.site_of(host).await.is_none() {
            return Err(api::service::no_such_host(host));
        }
        flowview::flows(&self.hosts, host, asked).await
    }

    async fn trace(&self, question: Question) -> Result<Trace, Problem> {
        flowview::trace(&self.hosts, &self.registry, &question).await
    }

    async fn links(&self, over_ms: u32) -> Result<BTreeMap<HostName, Links>, Problem> {
        Ok(flowview::links(&self.hosts, over_ms).await)
    }

    async fn plan(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Plan, Problem> {
        self.engine.plan(cluster, to, &options).await
    }

    async fn migrate(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Migration, Problem> {
        self.engine.migrate(cluster, to, &options).await
    }

    async fn migrations(&self) -> Result<Vec<Migration>, Problem> {
        self.engine.list().await
    }

    async fn migration(&self, id: &MigrationId) -> Result<Migration, Problem> {
        self.engine.get(id).await
    }

    async fn cancel(&self, id: &MigrationId) -> Result<Migration, Problem> {
        self.engine.cancel(id).await
    }

    async fn rollback(&self, id: &MigrationId) -> Result<Migration, Problem> {
        self.engine.rollback(id).await
    }

    async fn pause(&self, id: &MigrationId) -> Result<Migration, Problem> {
        self.engine.pause(id, true).await
    }

    async fn resume(&self, id: &MigrationId) -> Result<Migration, Problem> {
        self.engine.pause(id, false).await
    }

    async fn limits(&self) -> Result<Limits, Problem> {
        self.engine.limits().await
    }

    async fn set_limits(&self, limits: Option<Limits>) -> Result<Limits, Problem> {
        self.engine.set_limits(limits).await
    }

    async fn events(&self, from: Option<u64>, follow: bool) -> Result<api::Events, Problem> {
        Ok(self.events.stream(from, follow))
    }

    async fn lisp_sites(&self) -> Result<Vec<LispSite>, Problem> {
        Ok(self.lisp()?.sites().await)
    }

    async fn put_lisp_site(
        &self,
        name: &SiteName,
        spec: LispSiteSpec,
    ) -> Result<LispSite, Problem> {
        self.lisp()?.put_site(name, spec).await
    }

    async fn delete_lisp_site(&self, name: &SiteName) -> Result<(), Problem> {
        self.lisp()?.remove_site(name).await
    }

    async fn lisp_mappings(&self, after: Option<&str>) -> Result<Vec<LispMapping>, Problem> {
        self.lisp()?.mappings(after).await
    }

    async fn lisp_mapping(&self, eid: &str) -> Result<LispMapping, Problem> {
        self.lisp()?.mapping(eid).await
    }

    async fn put_lisp_mapping(
        &self,
        eid: &str,
        spec: LispMappingSpec,
    ) -> Result<LispMapping, Problem> {
        self.lisp()?.put_mapping(eid, spec).await
    }

    async fn delete_lisp_mapping(&self, eid: &str) -> Result<(), Problem> {
        self.lisp()?.remove_mapping(eid).await
    }

    async fn dns_records(&self) -> Result<Vec<DnsRecord>, Problem> {
        Ok(self.names()?.show())
    }

    async fn publish_dns(&self, wish: DnsPublish) -> Result<Vec<DnsRecord>, Problem> {
        self.names()?.again(&wish).await
    }

    async fn join_token(&self) -> Result<JoinToken, Problem> {
        let fresh = self.admission.token().await.map_err(|error| match error {
            AdmissionError::Store(error) => problems::store(&error),
            error => Problem::internal(problems::sentence(&error.to_string())),
        })?;
        Ok(JoinToken {
            token: fresh.token.text(),
            controller: self.dial.clone(),
            ca_sha256: fresh.token.fingerprint,
            expires_unix_ms: fresh.expires_unix_ms,
        })
    }
}

impl Controlling {
    fn names(&self) -> Result<&crate::dns::Names, Problem> {
        self.names.as_ref().ok_or_else(api::service::no_dynamic_dns)
    }

    fn lisp(&self) -> Result<&Lisp, Problem> {
        self.lisp.as_ref().ok_or_else(api::service::no_map_server)
    }
}
