//! What every path means, and the OpenAPI document that says so.
//!
//! A route takes the request apart, asks the [`Service`], and puts the answer together. The
//! document is made from the routes themselves, so that it cannot miss one.

mod clusters;
mod dns;
mod events;
mod extract;
mod flows;
mod inventory;
mod limits;
mod lisp;
mod meta;
mod migrations;
mod security;
mod underlay;

use crate::Service;
use crate::problem::{MEDIA_TYPE, Problem};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::future::Future;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest request body, bytes: a cluster of some thousand members.
pub(crate) const LARGEST_BODY: usize = 1 << 20;

pub(crate) type App = Arc<dyn Service>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Transhume",
        description = "Moves running clusters of virtual machines between clouds.\n\n\
            Every error is an RFC 9457 problem document with one clear sentence in `detail` and \
            what to do about it in `way_out`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "clusters", description = "Clusters, their members and VMs"),
        (name = "clouds", description = "Clouds and hosts"),
        (name = "directory", description = "Where every endpoint is"),
        (name = "lisp", description = "The LISP Map-Server: sites and mappings"),
        (name = "dns", description = "Dynamic DNS: names of members, and what was last published"),
        (name = "migrations", description = "Plans and migrations"),
        (name = "events", description = "What happens, in order"),
        (name = "about", description = "The API itself"),
    ),
)]
struct Base;

fn parts() -> (Router<App>, Document) {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(meta::about))
        .routes(routes!(meta::openapi))
        .routes(routes!(meta::problem))
        .routes(routes!(inventory::clouds))
        .routes(routes!(inventory::cloud))
        .routes(routes!(inventory::hosts))
        .routes(routes!(inventory::host, underlay::remove))
        .routes(routes!(underlay::show))
        .routes(routes!(underlay::rotate))
        .routes(routes!(inventory::domains))
        .routes(routes!(inventory::join_token))
        .routes(routes!(inventory::vms))
        .routes(routes!(inventory::endpoints))
        .routes(routes!(inventory::topology))
        .routes(routes!(flows::flows))
        .routes(routes!(flows::trace))
        .routes(routes!(clusters::list))
        .routes(routes!(clusters::show, clusters::apply, clusters::delete))
        .routes(routes!(clusters::link, clusters::unlink))
        .routes(routes!(security::show, security::replace))
        .routes(routes!(clusters::place))
        .routes(routes!(migrations::plan))
        .routes(routes!(migrations::list, migrations::begin))
        .routes(routes!(migrations::show))
        .routes(routes!(migrations::cancel))
        .routes(routes!(migrations::rollback))
        .routes(routes!(migrations::pause))
        .routes(routes!(migrations::resume))
        .routes(routes!(limits::show, limits::set, limits::reset))
        .routes(routes!(lisp::sites))
        .routes(routes!(lisp::put_site, lisp::delete_site))
        .routes(routes!(lisp::mappings))
        .routes(routes!(
            lisp::mapping,
            lisp::put_mapping,
            lisp::delete_mapping
        ))
        .routes(routes!(dns::list))
        .routes(routes!(dns::publish))
        .routes(routes!(events::events))
        .split_for_parts()
}

/// The OpenAPI document, as served at `/v1/openapi.json`.
pub fn document() -> Document {
    parts().1
}

/// The API over a service.
pub(crate) fn router(service: App) -> Router {
    parts()
        .0
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(service)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(
        format!("There is nothing at {}.", uri.path()),
        "GET /v1/openapi.json lists what there is.",
    )
}

async fn not_this_way(method: Method, uri: Uri) -> Problem {
    let mut problem = Problem::invalid(
        format!("{method} is not possible at {}.", uri.path()),
        "GET /v1/openapi.json lists what is.",
    );
    problem.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    problem
}

/// Runs a request to its end even if the client goes away meanwhile: nothing is half done. A panic
/// in the service becomes an internal error.
pub(crate) async fn to_the_end<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "a request died");
            Err(Problem::internal(
                "The controller failed while it worked on the request.",
            ))
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}
