//! Dynamic DNS: names of members, and what was last published.

use super::extract::Body;
use super::{App, to_the_end};
use crate::problem::Problem;
use crate::view::{DnsPublish, DnsRecord};
use axum::Json;
use axum::extract::State;

/// Every name that is published or should be, by zone and name.
#[utoipa::path(
    get, path = "/v1/dns", tag = "dns", operation_id = "listDnsRecords",
    responses(
        (status = 200, description = "The names", body = Vec<DnsRecord>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<DnsRecord>>, Problem> {
    app.dns_records().await.map(Json)
}

/// Publishes names again, though they were published, refused or stopped. Ends before the servers have answered.
#[utoipa::path(
    post, path = "/v1/dns/publish", tag = "dns", operation_id = "publishDnsRecords",
    request_body = DnsPublish,
    responses(
        (status = 200, description = "All names as they stand now", body = Vec<DnsRecord>),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn publish(
    State(app): State<App>,
    Body(wish): Body<DnsPublish>,
) -> Result<Json<Vec<DnsRecord>>, Problem> {
    to_the_end(async move { app.publish_dns(wish).await })
        .await
        .map(Json)
}
