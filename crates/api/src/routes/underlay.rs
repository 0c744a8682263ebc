//! The secure underlay, and hosts that lose access to it.

use super::extract::{Asked, Named};
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::view::{Underlay, UnderlayHost};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::HostName;
use serde::Deserialize;

/// What hosts' tunnels run in, and how it stands between them.
#[utoipa::path(
    get, path = "/v1/underlay", tag = "clouds", operation_id = "showUnderlay",
    responses(
        (status = 200, description = "The secure underlay", body = Underlay),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(State(app): State<App>) -> Result<Json<Underlay>, Problem> {
    app.underlay().await.map(Json)
}

/// Replaces a host's key in the secure underlay while packets flow. Ends when the old one is good for nothing.
#[utoipa::path(
    post, path = "/v1/hosts/{host}/key", tag = "clouds", operation_id = "rotateKey",
    params(("host" = String, Path, description = "Name", example = "north-1")),
    responses(
        (status = 200, description = "The host's part with its new key", body = UnderlayHost),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rotate(
    State(app): State<App>,
    Named(name): Named<HostName>,
) -> Result<Json<UnderlayHost>, Problem> {
    to_the_end(async move { app.rotate_key(&name).await })
        .await
        .map(Json)
}

/// How a host is removed.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    #[serde(default)]
    with_members: bool,
}

/// Forgets a host: its certificate and its keys are good for nothing from now on.
#[utoipa::path(
    delete, path = "/v1/hosts/{host}", tag = "clouds", operation_id = "removeHost",
    params(
        ("host" = String, Path, description = "Name", example = "north-1"),
        ("with_members" = Option<bool>, Query, description = "Also when members of clusters are there; they stay members"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(app): State<App>,
    Named(name): Named<HostName>,
    Asked(removal): Asked<Removal>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.remove_host(&name, removal.with_members).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
