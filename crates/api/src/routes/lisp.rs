//! Sites and mappings of the LISP Map-Server.

use super::extract::{Asked, Body, Named};
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::view::{LispMapping, LispMappingSpec, LispSite, LispSiteSpec};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::SiteName;
use serde::Deserialize;

/// Every LISP site, by name. Its secrets are not shown.
#[utoipa::path(
    get, path = "/v1/lisp/sites", tag = "lisp", operation_id = "listLispSites",
    responses(
        (status = 200, description = "The sites", body = Vec<LispSite>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn sites(State(app): State<App>) -> Result<Json<Vec<LispSite>>, Problem> {
    app.lisp_sites().await.map(Json)
}

/// Makes a LISP site known, or changes it. What it has registered and may no longer is dropped.
#[utoipa::path(
    put, path = "/v1/lisp/sites/{site}", tag = "lisp", operation_id = "putLispSite",
    params(("site" = String, Path, description = "Name", example = "branch")),
    request_body = LispSiteSpec,
    responses(
        (status = 200, description = "The site as it stands now", body = LispSite),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put_site(
    State(app): State<App>,
    Named(name): Named<SiteName>,
    Body(spec): Body<LispSiteSpec>,
) -> Result<Json<LispSite>, Problem> {
    to_the_end(async move { app.put_lisp_site(&name, spec).await })
        .await
        .map(Json)
}

/// Forgets a LISP site, its registrations and its subscriptions.
#[utoipa::path(
    delete, path = "/v1/lisp/sites/{site}", tag = "lisp", operation_id = "deleteLispSite",
    params(("site" = String, Path, description = "Name", example = "branch")),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_site(
    State(app): State<App>,
    Named(name): Named<SiteName>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.delete_lisp_site(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a list goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<String>,
}

/// LISP mappings of all sources, in order, at most a thousand.
#[utoipa::path(
    get, path = "/v1/lisp/mappings", tag = "lisp", operation_id = "listLispMappings",
    params(("after" = Option<String>, Query, description = "Go on behind this identifier", example = "[7]10.77.0.11/32")),
    responses(
        (status = 200, description = "The mappings", body = Vec<LispMapping>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn mappings(
    State(app): State<App>,
    Asked(After { after }): Asked<After>,
) -> Result<Json<Vec<LispMapping>>, Problem> {
    app.lisp_mappings(after.as_deref()).await.map(Json)
}

/// The LISP mapping of exactly one identifier.
#[utoipa::path(
    get, path = "/v1/lisp/mappings/{eid}", tag = "lisp", operation_id = "showLispMapping",
    params(("eid" = String, Path, description = "Identifier, with its `/` as `%2F`", example = "[7]10.77.0.11/32")),
    responses(
        (status = 200, description = "The mapping", body = LispMapping),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn mapping(
    State(app): State<App>,
    Named(eid): Named<String>,
) -> Result<Json<LispMapping>, Problem> {
    app.lisp_mapping(&eid).await.map(Json)
}

/// Sets a LISP mapping by hand. Subscribers, and those who have asked, are told at once.
#[utoipa::path(
    put, path = "/v1/lisp/mappings/{eid}", tag = "lisp", operation_id = "putLispMapping",
    params(("eid" = String, Path, description = "Identifier, with its `/` as `%2F`", example = "[7]10.2.0.0/16")),
    request_body = LispMappingSpec,
    responses(
        (status = 200, description = "The mapping as it stands now", body = LispMapping),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put_mapping(
    State(app): State<App>,
    Named(eid): Named<String>,
    Body(spec): Body<LispMappingSpec>,
) -> Result<Json<LispMapping>, Problem> {
    to_the_end(async move { app.put_lisp_mapping(&eid, spec).await })
        .await
        .map(Json)
}

/// Forgets a LISP mapping that was set by hand.
#[utoipa::path(
    delete, path = "/v1/lisp/mappings/{eid}", tag = "lisp", operation_id = "deleteLispMapping",
    params(("eid" = String, Path, description = "Identifier, with its `/` as `%2F`", example = "[7]10.2.0.0/16")),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_mapping(
    State(app): State<App>,
    Named(eid): Named<String>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.delete_lisp_mapping(&eid).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
