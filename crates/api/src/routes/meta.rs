//! The API about itself.

use super::extract::Named;
use crate::problem::{Kind, Problem};
use crate::view::About;
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::OnceLock;

/// Who answers here.
#[utoipa::path(
    get, path = "/v1", tag = "about", operation_id = "about",
    responses((status = 200, description = "The controller and its version", body = About)),
)]
pub(super) async fn about() -> Json<About> {
    Json(About {
        name: "transhume".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: "v1".to_owned(),
    })
}

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "about", operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document", body = Object)),
)]
pub(super) async fn openapi() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| super::document().to_json().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], text.as_str())
}

/// What a problem type means.
#[utoipa::path(
    get, path = "/v1/problems/{kind}", tag = "about", operation_id = "problem",
    params(("kind" = String, Path, description = "Last part of a problem's `type`")),
    responses(
        (status = 200, description = "One sentence", body = String, content_type = "text/plain"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn problem(Named(kind): Named<String>) -> Result<String, Problem> {
    let found = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let known = found.ok_or_else(|| {
        let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::not_found(
            "There is no problem type of this name.",
            format!("The types are {}.", all.join(", ")),
        )
    })?;
    Ok(format!("{}: {}\n", known.title(), known.description()))
}
