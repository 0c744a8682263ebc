//! Clusters and their members.

use super::extract::{Body, Named, not_understood, parse};
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::view::{Cluster, Placed, Placement};
use crate::{check, schema};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{ClusterName, Member, VmName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Every cluster, by name.
#[utoipa::path(
    get, path = "/v1/clusters", tag = "clusters", operation_id = "listClusters",
    responses(
        (status = 200, description = "The clusters", body = Vec<Cluster>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<Cluster>>, Problem> {
    app.clusters().await.map(Json)
}

/// One cluster.
#[utoipa::path(
    get, path = "/v1/clusters/{cluster}", tag = "clusters", operation_id = "showCluster",
    params(("cluster" = String, Path, description = "Name", example = "shop")),
    responses(
        (status = 200, description = "The cluster", body = Cluster),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<App>,
    Named(name): Named<ClusterName>,
) -> Result<Json<Cluster>, Problem> {
    app.cluster(&name).await.map(Json)
}

/// Creates the cluster, or brings it to this description: links new members and starts their VMs,
/// unlinks those that are gone. Answers when all of it is done.
#[utoipa::path(
    put, path = "/v1/clusters/{cluster}", tag = "clusters", operation_id = "applyCluster",
    params(("cluster" = String, Path, description = "Name", example = "shop")),
    request_body = schema::Cluster,
    responses(
        (status = 200, description = "The cluster as it stands now", body = Cluster),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn apply(
    State(app): State<App>,
    Named(name): Named<ClusterName>,
    Body(given): Body<Value>,
) -> Result<Json<Cluster>, Problem> {
    let spec: model::Cluster = strictly(given, &["mtu", "sites", "migration"])?;
    if spec.name != name {
        return Err(Problem::invalid(
            format!(
                "The address says cluster '{name}', the body says '{}'.",
                spec.name
            ),
            "Use the same name in both.",
        ));
    }
    check::cluster(&spec)?;
    to_the_end(async move { app.apply_cluster(spec).await })
        .await
        .map(Json)
}

/// Ends the cluster's VMs, unlinks its members, forgets it.
#[utoipa::path(
    delete, path = "/v1/clusters/{cluster}", tag = "clusters", operation_id = "deleteCluster",
    params(("cluster" = String, Path, description = "Name", example = "shop")),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Named(name): Named<ClusterName>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.delete_cluster(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Links one member, and starts it if it is a VM. Answers when every switch concerned has
/// acknowledged and the addresses are set.
#[utoipa::path(
    put, path = "/v1/clusters/{cluster}/members/{member}", tag = "clusters", operation_id = "linkMember",
    params(
        ("cluster" = String, Path, description = "The cluster", example = "shop"),
        ("member" = String, Path, description = "The member", example = "shop-5"),
    ),
    request_body = schema::Member,
    responses(
        (status = 200, description = "Where it is reached", body = Placed),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn link(
    State(app): State<App>,
    Named((cluster, name)): Named<(ClusterName, VmName)>,
    Body(given): Body<Value>,
) -> Result<Json<Placed>, Problem> {
    let member: Member = strictly(given, &[])?;
    if member.name != name {
        return Err(Problem::invalid(
            format!(
                "The address says member '{name}', the body says '{}'.",
                member.name
            ),
            "Use the same name in both.",
        ));
    }
    check::member(&member)?;
    to_the_end(async move { app.link(&cluster, member).await })
        .await
        .map(Json)
}

/// Ends one member's VM, if it is one, and unlinks it.
#[utoipa::path(
    delete, path = "/v1/clusters/{cluster}/members/{member}", tag = "clusters", operation_id = "unlinkMember",
    params(
        ("cluster" = String, Path, description = "The cluster", example = "shop"),
        ("member" = String, Path, description = "The member", example = "shop-5"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn unlink(
    State(app): State<App>,
    Named((cluster, member)): Named<(ClusterName, VmName)>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.unlink(&cluster, &member).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes where one endpoint is reached, for members that something else has moved. Answers when
/// every switch concerned has acknowledged.
#[utoipa::path(
    put, path = "/v1/endpoints/{cluster}/{member}/locator", tag = "directory", operation_id = "placeEndpoint",
    params(
        ("cluster" = String, Path, description = "The cluster", example = "shop"),
        ("member" = String, Path, description = "The member", example = "shop-5"),
    ),
    request_body = Placement,
    responses(
        (status = 200, description = "Where it is reached", body = Placed),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn place(
    State(app): State<App>,
    Named((cluster, member)): Named<(ClusterName, VmName)>,
    Body(to): Body<Placement>,
) -> Result<Json<Placed>, Problem> {
    to_the_end(async move { app.update(&cluster, &member, &to.host).await })
        .await
        .map(Json)
}

/// Takes a description and refuses what it does not understand: a misspelt key must not pass as
/// one that was left out. `shown` are keys that the API itself adds when it shows the thing.
fn strictly<T: Serialize + DeserializeOwned>(
    mut given: Value,
    shown: &[&str],
) -> Result<T, Problem> {
    if let Value::Object(keys) = &mut given {
        for key in shown {
            keys.remove(*key);
        }
    }
    let text = given.to_string();
    let taken: T = parse(text.as_bytes())?;
    let understood = serde_json::to_value(&taken).map_err(|error| {
        Problem::internal(format!("The description cannot be written: {error}."))
    })?;
    match not_understood(&given, &understood) {
        None => Ok(taken),
        Some(path) => Err(Problem::invalid(
            format!("The request's body has '{path}', which means nothing here."),
            "Correct or remove it; GET /v1/openapi.json describes what is expected.",
        )),
    }
}
