//! What there is: clouds, hosts, VMs, endpoints, and all of it as one tree.

use super::extract::{Asked, Named};
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::schema;
use crate::view::{Endpoint, Host, JoinToken, Site, Topology, Vm};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::libvirt::Found;
use model::{HostName, SiteName};
use serde::Deserialize;

/// Every cloud, by name. Those of provider `kvm` are sites of our own agents.
#[utoipa::path(
    get, path = "/v1/clouds", tag = "clouds", operation_id = "listClouds",
    responses(
        (status = 200, description = "The clouds", body = Vec<Site>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn clouds(State(app): State<App>) -> Result<Json<Vec<Site>>, Problem> {
    app.sites().await.map(Json)
}

/// One cloud.
#[utoipa::path(
    get, path = "/v1/clouds/{cloud}", tag = "clouds", operation_id = "showCloud",
    params(("cloud" = String, Path, description = "Name", example = "north")),
    responses(
        (status = 200, description = "The cloud", body = Site),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cloud(
    State(app): State<App>,
    Named(name): Named<SiteName>,
) -> Result<Json<Site>, Problem> {
    let found = app
        .sites()
        .await?
        .into_iter()
        .find(|site| site.name == name);
    found.map(Json).ok_or_else(|| {
        Problem::not_found(
            format!("There is no site '{name}'."),
            "See the sites with `transhume site list`.",
        )
    })
}

/// Every host that ever joined, by name; also those whose agent is away.
#[utoipa::path(
    get, path = "/v1/hosts", tag = "clouds", operation_id = "listHosts",
    responses(
        (status = 200, description = "The hosts", body = Vec<Host>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn hosts(State(app): State<App>) -> Result<Json<Vec<Host>>, Problem> {
    app.hosts().await.map(Json)
}

/// One host.
#[utoipa::path(
    get, path = "/v1/hosts/{host}", tag = "clouds", operation_id = "showHost",
    params(("host" = String, Path, description = "Name", example = "north-1")),
    responses(
        (status = 200, description = "The host", body = Host),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn host(
    State(app): State<App>,
    Named(name): Named<HostName>,
) -> Result<Json<Host>, Problem> {
    let found = app
        .hosts()
        .await?
        .into_iter()
        .find(|host| host.name == name);
    found.map(Json).ok_or_else(|| {
        Problem::not_found(
            format!("There is no host '{name}'."),
            "See the hosts with `transhume host list`.",
        )
    })
}

/// The domains that libvirt has on a host, linked or not.
#[utoipa::path(
    get, path = "/v1/hosts/{host}/domains", tag = "clouds", operation_id = "listDomains",
    params(("host" = String, Path, description = "Name", example = "north-1")),
    responses(
        (status = 200, description = "The domains", body = Vec<schema::Found>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn domains(
    State(app): State<App>,
    Named(name): Named<HostName>,
) -> Result<Json<Vec<Found>>, Problem> {
    app.domains(&name).await.map(Json)
}

/// A token with which one new host may join.
#[utoipa::path(
    post, path = "/v1/join-tokens", tag = "clouds", operation_id = "makeJoinToken",
    responses(
        (status = 201, description = "The token; it is shown only here", body = JoinToken),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn join_token(
    State(app): State<App>,
) -> Result<(StatusCode, Json<JoinToken>), Problem> {
    let token = to_the_end(async move { app.join_token().await }).await?;
    Ok((StatusCode::CREATED, Json(token)))
}

/// Every VM of every cluster.
#[utoipa::path(
    get, path = "/v1/vms", tag = "clusters", operation_id = "listVms",
    responses(
        (status = 200, description = "The VMs", body = Vec<Vm>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn vms(State(app): State<App>) -> Result<Json<Vec<Vm>>, Problem> {
    app.vms().await.map(Json)
}

/// Every row of the directory.
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "directory", operation_id = "listEndpoints",
    responses(
        (status = 200, description = "The endpoints", body = Vec<Endpoint>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn endpoints(State(app): State<App>) -> Result<Json<Vec<Endpoint>>, Problem> {
    app.endpoints().await.map(Json)
}

/// How the tree is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HowTopology {
    #[serde(default)]
    rates_ms: u32,
}

/// Sites, their hosts, what is on them, and what goes between them.
#[utoipa::path(
    get, path = "/v1/topology", tag = "directory", operation_id = "topology",
    params(("rates_ms" = Option<u32>, Query, description = "Read counters twice, so far apart, for rates, ms; at most 60,000")),
    responses(
        (status = 200, description = "The tree", body = Topology),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn topology(
    State(app): State<App>,
    Asked(how): Asked<HowTopology>,
) -> Result<Json<Topology>, Problem> {
    let apart = super::flows::apart(how.rates_ms)?;
    app.topology(apart).await.map(Json)
}
