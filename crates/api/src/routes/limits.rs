//! How many migrations run at once, what they may send, and when.

use super::extract::Body;
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::schema;
use axum::Json;
use axum::extract::State;
use model::limits::Limits;

/// How many migrations run at once, what they may send, and when.
#[utoipa::path(
    get, path = "/v1/limits", tag = "migrations", operation_id = "showLimits",
    responses(
        (status = 200, description = "The limits that hold", body = schema::Limits),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(State(app): State<App>) -> Result<Json<Limits>, Problem> {
    app.limits().await.map(Json)
}

/// Sets other limits; parts that are left out take their defaults. What runs goes on.
#[utoipa::path(
    put, path = "/v1/limits", tag = "migrations", operation_id = "setLimits",
    request_body = schema::Limits,
    responses(
        (status = 200, description = "The limits that hold now", body = schema::Limits),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set(
    State(app): State<App>,
    Body(limits): Body<Limits>,
) -> Result<Json<Limits>, Problem> {
    to_the_end(async move { app.set_limits(Some(limits)).await })
        .await
        .map(Json)
}

/// Goes back to the limits of the controller's configuration file.
#[utoipa::path(
    delete, path = "/v1/limits", tag = "migrations", operation_id = "resetLimits",
    responses(
        (status = 200, description = "The limits that hold now", body = schema::Limits),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reset(State(app): State<App>) -> Result<Json<Limits>, Problem> {
    to_the_end(async move { app.set_limits(None).await })
        .await
        .map(Json)
}
