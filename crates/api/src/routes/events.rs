//! Events as a stream: `text/event-stream` (WHATWG HTML, section 9.2).

use super::App;
use super::extract::Asked;
use crate::problem::Problem;
use crate::schema;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use model::MigrationId;
use model::event::{Event, What};
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use utoipa::IntoParams;

/// A comment goes out after this much silence, so that both ends and all between know that the
/// other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// First number that is wanted; without it only what happens from now on. A `Last-Event-ID`
    /// header, as browsers send when they reconnect, goes before it.
    #[param(minimum = 0)]
    from: Option<u64>,
    /// Only events of this migration.
    #[param(value_type = Option<String>, example = "m-0007")]
    migration: Option<MigrationId>,
    /// Whether to go on as events happen (`true`), or to end after the newest.
    #[serde(default = "yes")]
    #[param(default = true)]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// What happens, in order. Each frame's `id` is the event's number, its `event` the kind, its
/// `data` the event as JSON.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "events",
    params(Wanted),
    responses(
        (status = 200, description = "The events", body = schema::Event, content_type = "text/event-stream"),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(
    State(app): State<App>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Frame, Infallible>>>, Problem> {
    let last_seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let from = last_seen.map(|seq| seq.saturating_add(1)).or(wanted.from);
    if let Some(id) = &wanted.migration {
        app.migration(id).await?;
    }
    let events = app.events(from, wanted.follow).await?;
    let frames = events.filter_map(move |event| {
        let meant = wanted.migration.is_none() || migration_of(&event) == wanted.migration.as_ref();
        std::future::ready(meant.then(|| frame(&event)).flatten().map(Ok))
    });
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn migration_of(event: &Event) -> Option<&MigrationId> {
    match &event.what {
        What::Phase { migration, .. }
        | What::Progress { migration, .. }
        | What::Ended { migration, .. } => Some(migration),
        What::HostUp { .. }
        | What::HostDown { .. }
        | What::ClusterChanged { .. }
        | What::Dns { .. } => None,
    }
}

fn frame(event: &Event) -> Option<Frame> {
    let name = match event.what {
        What::HostUp { .. } => "host_up",
        What::HostDown { .. } => "host_down",
        What::ClusterChanged { .. } => "cluster_changed",
        What::Phase { .. } => "phase",
        What::Progress { .. } => "progress",
        What::Ended { .. } => "ended",
        What::Dns { .. } => "dns",
    };
    let data = serde_json::to_string(event)
        .inspect_err(|error| tracing::error!(%error, "an event cannot be written"))
        .ok()?;
    Some(
        Frame::default()
            .id(event.seq.to_string())
            .event(name)
            .data(data),
    )
}
