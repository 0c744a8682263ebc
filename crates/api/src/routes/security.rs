//! Security rules of members.

use super::extract::{Body, Named};
use super::{App, to_the_end};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use model::{ClusterName, SecurityRule, VmName};

/// A member's security rules; none when it is open to its whole network.
#[utoipa::path(
    get, path = "/v1/clusters/{cluster}/members/{member}/security", tag = "clusters", operation_id = "showSecurity",
    params(
        ("cluster" = String, Path, description = "The cluster", example = "shop"),
        ("member" = String, Path, description = "The member", example = "shop-1"),
    ),
    responses(
        (status = 200, description = "The rules", body = Vec<String>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<App>,
    Named((cluster, member)): Named<(ClusterName, VmName)>,
) -> Result<Json<Vec<SecurityRule>>, Problem> {
    app.security(&cluster, &member).await.map(Json)
}

/// Replaces all security rules of a member, while it runs. Answers when every switch concerned has
/// acknowledged. Connections under way that the new rules do not allow are cut; an empty list opens
/// the member.
#[utoipa::path(
    put, path = "/v1/clusters/{cluster}/members/{member}/security", tag = "clusters", operation_id = "replaceSecurity",
    params(
        ("cluster" = String, Path, description = "The cluster", example = "shop"),
        ("member" = String, Path, description = "The member", example = "shop-1"),
    ),
    request_body = Vec<String>,
    responses(
        (status = 200, description = "The rules that are in force", body = Vec<String>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn replace(
    State(app): State<App>,
    Named((cluster, member)): Named<(ClusterName, VmName)>,
    Body(rules): Body<Vec<SecurityRule>>,
) -> Result<Json<Vec<SecurityRule>>, Problem> {
    to_the_end(async move { app.secure(&cluster, &member, rules).await })
        .await
        .map(Json)
}
