//! The asking side: typed methods for everything under `/v1`.
//!
//! One connection a request: the client is for people's commands and tests, and a connection to a
//! unix socket costs some 50 µs. A client is cheap to clone.

mod dns;
mod flows;
mod lisp;
mod sse;
mod transport;
mod underlay;

pub use transport::TlsError;

use crate::problem::Problem;
use crate::view::{
    About, Cluster, Endpoint, Host, JoinToken, Journey, Placed, Placement, Site, Topology, Vm,
};
use futures::stream::{BoxStream, StreamExt};
use hyper::Method;
use model::event::Event;
use model::limits::Limits;
use model::migration::{Migration, Options, Plan};
use model::{ClusterName, HostName, Member, MigrationId, SecurityRule, SiteName, VmName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use transport::Transport;

/// Why a request brought no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the address.
    #[error("no controller answers at {at}: {reason}")]
    Unreachable {
        /// The address.
        at: String,
        /// Why.
        reason: String,
    },
    /// The controller answered with a problem.
    #[error("{0}")]
    Problem(#[from] Problem),
    /// The connection ended, or what came over it makes no sense.
    #[error("the connection to {at} failed: {reason}; look at the controller's log")]
    Broken {
        /// The address.
        at: String,
        /// Why.
        reason: String,
    },
}

/// Which events are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// First number; without it only what happens from now on.
    pub from: Option<u64>,
    /// Only events of this migration.
    pub migration: Option<MigrationId>,
    /// Go on as events happen, or end after the newest.
    pub follow: bool,
}

/// A client of one controller.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client over a local socket. Nothing is opened yet.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            transport: Transport::unix(path.into()),
        }
    }

    /// A client over TLS: `url` is `https://HOST[:PORT]`, `ca` the certificate (PEM) of the
    /// authority that the controller's certificate comes from. Nothing is opened yet.
    pub fn tls(url: &str, ca: &[u8], token: &str) -> Result<Self, TlsError> {
        Ok(Self {
            transport: Transport::tls(url, ca, token)?,
        })
    }

    /// Where the controller is, for people.
    pub fn at(&self) -> String {
        self.transport.at()
    }

    /// Who answers; also tells whether anybody does.
    pub async fn about(&self) -> Result<About, Error> {
        self.get("/v1").await
    }

    /// See [`crate::Service::sites`].
    pub async fn sites(&self) -> Result<Vec<Site>, Error> {
        self.get("/v1/clouds").await
    }

    /// One site.
    pub async fn site(&self, name: &SiteName) -> Result<Site, Error> {
        self.get(&format!("/v1/clouds/{name}")).await
    }

    /// See [`crate::Service::hosts`].
    pub async fn hosts(&self) -> Result<Vec<Host>, Error> {
        self.get("/v1/hosts").await
    }

    /// One host.
    pub async fn host(&self, name: &HostName) -> Result<Host, Error> {
        self.get(&format!("/v1/hosts/{name}")).await
    }

    /// See [`crate::Service::domains`].
    pub async fn domains(&self, host: &HostName) -> Result<Vec<model::libvirt::Found>, Error> {
        self.get(&format!("/v1/hosts/{host}/domains")).await
    }

    /// See [`crate::Service::clusters`].
    pub async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        self.get("/v1/clusters").await
    }

    /// See [`crate::Service::cluster`].
    pub async fn cluster(&self, name: &ClusterName) -> Result<Cluster, Error> {
        self.get(&format!("/v1/clusters/{name}")).await
    }

    /// See [`crate::Service::apply_cluster`].
    pub async fn apply_cluster(&self, spec: &model::Cluster) -> Result<Cluster, Error> {
        self.send(Method::PUT, &format!("/v1/clusters/{}", spec.name), spec)
            .await
    }

    /// Applies a description as it was written, so that the controller finds misspelt keys. The
    /// name goes into the address.
    pub async fn apply_cluster_text(
        &self,
        name: &ClusterName,
        spec: &serde_json::Value,
    ) -> Result<Cluster, Error> {
        self.send(Method::PUT, &format!("/v1/clusters/{name}"), spec)
            .await
    }

    /// See [`crate::Service::delete_cluster`].
    pub async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Error> {
        self.transport
            .ask(Method::DELETE, &format!("/v1/clusters/{name}"), None)
            .await
            .map(drop)
    }

    /// See [`crate::Service::link`].
    pub async fn link(&self, cluster: &ClusterName, member: &Member) -> Result<Placed, Error> {
        let path = format!("/v1/clusters/{cluster}/members/{}", member.name);
        self.send(Method::PUT, &path, member).await
    }

    /// Links a member as it was written, so that the controller finds misspelt keys.
    pub async fn link_text(
        &self,
        cluster: &ClusterName,
        name: &VmName,
        member: &serde_json::Value,
    ) -> Result<Placed, Error> {
        self.send(
            Method::PUT,
            &format!("/v1/clusters/{cluster}/members/{name}"),
            member,
        )
        .await
    }

    /// See [`crate::Service::unlink`].
    pub async fn unlink(&self, cluster: &ClusterName, member: &VmName) -> Result<(), Error> {
        let path = format!("/v1/clusters/{cluster}/members/{member}");
        self.transport
            .ask(Method::DELETE, &path, None)
            .await
            .map(drop)
    }

    /// See [`crate::Service::security`].
    pub async fn security(
        &self,
        cluster: &ClusterName,
        member: &VmName,
    ) -> Result<Vec<SecurityRule>, Error> {
        self.get(&format!("/v1/clusters/{cluster}/members/{member}/security"))
            .await
    }

    /// See [`crate::Service::secure`].
    pub async fn secure(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        rules: &[SecurityRule],
    ) -> Result<Vec<SecurityRule>, Error> {
        let path = format!("/v1/clusters/{cluster}/members/{member}/security");
        self.send(Method::PUT, &path, &rules).await
    }

    /// See [`crate::Service::update`].
    pub async fn update(
        &self,
        cluster: &ClusterName,
        member: &VmName,
        to: &HostName,
    ) -> Result<Placed, Error> {
        let path = format!("/v1/endpoints/{cluster}/{member}/locator");
        self.send(Method::PUT, &path, &Placement { host: to.clone() })
            .await
    }

    /// See [`crate::Service::vms`].
    pub async fn vms(&self) -> Result<Vec<Vm>, Error> {
        self.get("/v1/vms").await
    }

    /// See [`crate::Service::endpoints`].
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        self.get("/v1/endpoints").await
    }

    /// See [`crate::Service::topology`].
    pub async fn topology(&self, over_ms: u32) -> Result<Topology, Error> {
        self.get(&format!("/v1/topology?rates_ms={over_ms}")).await
    }

    /// See [`crate::Service::plan`].
    pub async fn plan(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Plan, Error> {
        let journey = Journey {
            cluster: cluster.clone(),
            to: to.clone(),
            options,
        };
        self.send(Method::POST, "/v1/plans", &journey).await
    }

    /// See [`crate::Service::migrate`].
    pub async fn migrate(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Migration, Error> {
        let journey = Journey {
            cluster: cluster.clone(),
            to: to.clone(),
            options,
        };
        self.send(Method::POST, "/v1/migrations", &journey).await
    }

    /// See [`crate::Service::migrations`].
    pub async fn migrations(&self) -> Result<Vec<Migration>, Error> {
        self.get("/v1/migrations").await
    }

    /// See [`crate::Service::migration`].
    pub async fn migration(&self, id: &MigrationId) -> Result<Migration, Error> {
        self.get(&format!("/v1/migrations/{id}")).await
    }

    /// See [`crate::Service::cancel`].
    pub async fn cancel(&self, id: &MigrationId) -> Result<Migration, Error> {
        let path = format!("/v1/migrations/{id}/cancel");
        self.understand(&self.transport.ask(Method::POST, &path, None).await?)
    }

    /// See [`crate::Service::rollback`].
    pub async fn rollback(&self, id: &MigrationId) -> Result<Migration, Error> {
        let path = format!("/v1/migrations/{id}/rollback");
        self.understand(&self.transport.ask(Method::POST, &path, None).await?)
    }

    /// See [`crate::Service::pause`].
    pub async fn pause(&self, id: &MigrationId) -> Result<Migration, Error> {
        let path = format!("/v1/migrations/{id}/pause");
        self.understand(&self.transport.ask(Method::POST, &path, None).await?)
    }

    /// See [`crate::Service::resume`].
    pub async fn resume(&self, id: &MigrationId) -> Result<Migration, Error> {
        let path = format!("/v1/migrations/{id}/resume");
        self.understand(&self.transport.ask(Method::POST, &path, None).await?)
    }

    /// See [`crate::Service::limits`].
    pub async fn limits(&self) -> Result<Limits, Error> {
        self.get("/v1/limits").await
    }

    /// See [`crate::Service::set_limits`].
    pub async fn set_limits(&self, limits: Option<&Limits>) -> Result<Limits, Error> {
        match limits {
            Some(limits) => self.send(Method::PUT, "/v1/limits", limits).await,
            None => {
                let told = self
                    .transport
                    .ask(Method::DELETE, "/v1/limits", None)
                    .await?;
                self.understand(&told)
            }
        }
    }

    /// See [`crate::Service::join_token`].
    pub async fn join_token(&self) -> Result<JoinToken, Error> {
        self.understand(
            &self
                .transport
                .ask(Method::POST, "/v1/join-tokens", None)
                .await?,
        )
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.get("/v1/openapi.json").await
    }

    /// Events as they come. A stream that should go on ends with [`Error::Broken`] when the
    /// controller goes away; take it up again from the number after the last one that came.
    pub async fn events(
        &self,
        wanted: &Wanted,
    ) -> Result<BoxStream<'static, Result<Event, Error>>, Error> {
        let mut path = format!("/v1/events?follow={}", wanted.follow);
        if let Some(from) = wanted.from {
            path.push_str(&format!("&from={from}"));
        }
        if let Some(id) = &wanted.migration {
            path.push_str(&format!("&migration={id}"));
        }
        let body = self
            .transport
            .open(Method::GET, &path, None)
            .await?
            .into_body();
        Ok(sse::events(body, self.at(), wanted.follow).boxed())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.understand(&self.transport.ask(Method::GET, path, None).await?)
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        self.understand(&self.transport.ask(method, path, Some(body)).await?)
    }

    fn understand<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.broken(error))
    }

    fn broken(&self, reason: impl std::fmt::Display) -> Error {
        Error::Broken {
            at: self.at(),
            reason: reason.to_string(),
        }
    }
}
