//! Plans and migrations.

use super::extract::{Body, Named};
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::view::Journey;
use crate::{check, schema};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use model::MigrationId;
use model::migration::{Migration, Plan};

/// What a migration would do and what stands in its way. Changes nothing.
#[utoipa::path(
    post, path = "/v1/plans", tag = "migrations", operation_id = "plan",
    request_body = Journey,
    responses(
        (status = 200, description = "The plan; a failed check stands in the way", body = schema::Plan),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn plan(
    State(app): State<App>,
    Body(journey): Body<Journey>,
) -> Result<Json<Plan>, Problem> {
    check::options(&journey.options)?;
    let Journey {
        cluster,
        to,
        options,
    } = journey;
    to_the_end(async move { app.plan(&cluster, &to, options).await })
        .await
        .map(Json)
}

/// Every migration that is known, oldest first.
#[utoipa::path(
    get, path = "/v1/migrations", tag = "migrations", operation_id = "listMigrations",
    responses(
        (status = 200, description = "The migrations", body = Vec<schema::Migration>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<Migration>>, Problem> {
    app.migrations().await.map(Json)
}

/// Begins a migration; answers at once, `/v1/events` and `/v1/migrations/{id}` tell how it goes.
#[utoipa::path(
    post, path = "/v1/migrations", tag = "migrations", operation_id = "migrate",
    request_body = Journey,
    responses(
        (status = 201, description = "It has begun", body = schema::Migration,
            headers(("location" = String, description = "The migration"))),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn begin(
    State(app): State<App>,
    Body(journey): Body<Journey>,
) -> Result<impl IntoResponse, Problem> {
    check::options(&journey.options)?;
    let Journey {
        cluster,
        to,
        options,
    } = journey;
    let begun = to_the_end(async move { app.migrate(&cluster, &to, options).await }).await?;
    let location = format!("/v1/migrations/{}", begun.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(begun)))
}

/// One migration.
#[utoipa::path(
    get, path = "/v1/migrations/{id}", tag = "migrations", operation_id = "showMigration",
    params(("id" = String, Path, description = "Identity", example = "m-0007")),
    responses(
        (status = 200, description = "The migration", body = schema::Migration),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<App>,
    Named(id): Named<MigrationId>,
) -> Result<Json<Migration>, Problem> {
    app.migration(&id).await.map(Json)
}

/// Asks a migration to go back to its source.
#[utoipa::path(
    post, path = "/v1/migrations/{id}/cancel", tag = "migrations", operation_id = "cancelMigration",
    params(("id" = String, Path, description = "Identity", example = "m-0007")),
    responses(
        (status = 200, description = "How it stands now", body = schema::Migration),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Named(id): Named<MigrationId>,
) -> Result<Json<Migration>, Problem> {
    to_the_end(async move { app.cancel(&id).await })
        .await
        .map(Json)
}

/// Puts a cluster back where a migration took it from.
#[utoipa::path(
    post, path = "/v1/migrations/{id}/rollback", tag = "migrations", operation_id = "rollbackMigration",
    params(("id" = String, Path, description = "Identity", example = "m-0007")),
    responses(
        (status = 200, description = "The migration that goes back: the same, or a new one", body = schema::Migration),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rollback(
    State(app): State<App>,
    Named(id): Named<MigrationId>,
) -> Result<Json<Migration>, Problem> {
    to_the_end(async move { app.rollback(&id).await })
        .await
        .map(Json)
}

/// Lets a migration go no further until it is resumed.
#[utoipa::path(
    post, path = "/v1/migrations/{id}/pause", tag = "migrations", operation_id = "pauseMigration",
    params(("id" = String, Path, description = "Identity", example = "m-0007")),
    responses(
        (status = 200, description = "How it stands now", body = schema::Migration),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pause(
    State(app): State<App>,
    Named(id): Named<MigrationId>,
) -> Result<Json<Migration>, Problem> {
    to_the_end(async move { app.pause(&id).await })
        .await
        .map(Json)
}

/// Lets a paused migration go on.
#[utoipa::path(
    post, path = "/v1/migrations/{id}/resume", tag = "migrations", operation_id = "resumeMigration",
    params(("id" = String, Path, description = "Identity", example = "m-0007")),
    responses(
        (status = 200, description = "How it stands now", body = schema::Migration),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(app): State<App>,
    Named(id): Named<MigrationId>,
) -> Result<Json<Migration>, Problem> {
    to_the_end(async move { app.resume(&id).await })
        .await
        .map(Json)
}
