//! What switches hold, and what they do with a packet.

use super::App;
use super::extract::{Asked, Named};
use crate::problem::Problem;
use crate::schema;
use crate::view::Flows;
use axum::Json;
use axum::extract::State;
use model::flows::{FlowsAsked, LONGEST_MS};
use model::trace::{Question, Trace};
use model::{ClusterName, HostName};
use serde::Deserialize;

/// Which rules are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    cluster: Option<ClusterName>,
    table: Option<u8>,
    #[serde(default)]
    rates_ms: u32,
}

/// The rules that a host's switch really has, each with what it is for and whether the directory asks for it.
#[utoipa::path(
    get, path = "/v1/hosts/{host}/flows", tag = "directory", operation_id = "listFlows",
    params(
        ("host" = String, Path, description = "Name", example = "north-1"),
        ("cluster" = Option<String>, Query, description = "Only rules of this cluster"),
        ("table" = Option<u8>, Query, description = "Only rules of this table"),
        ("rates_ms" = Option<u32>, Query, description = "Read twice, so far apart, for rates, ms; at most 60,000"),
    ),
    responses(
        (status = 200, description = "The rules", body = Flows),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn flows(
    State(app): State<App>,
    Named(host): Named<HostName>,
    Asked(which): Asked<Which>,
) -> Result<Json<Flows>, Problem> {
    let asked = FlowsAsked {
        cluster: which.cluster,
        table: which.table,
        over_ms: apart(which.rates_ms)?,
        next: None,
    };
    app.flows(&host, asked).await.map(Json)
}

/// The way of a packet from one endpoint to another, as the switches tell it; none is sent.
#[utoipa::path(
    get, path = "/v1/trace", tag = "directory", operation_id = "trace",
    params(
        ("from" = String, Query, description = "The sender: CLUSTER/MEMBER or an address", example = "shop/web1"),
        ("to" = String, Query, description = "The receiver: the same", example = "10.77.0.12"),
        ("proto" = Option<String>, Query, description = "icmp (default), tcp, udp or arp"),
        ("port" = Option<u16>, Query, description = "The receiver's port, of tcp and udp"),
        ("established" = Option<bool>, Query, description = "A packet of a known connection instead of one that opens it"),
        ("both" = Option<bool>, Query, description = "The way back as well"),
    ),
    responses(
        (status = 200, description = "The way", body = schema::Trace),
        (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn trace(
    State(app): State<App>,
    Asked(question): Asked<Question>,
) -> Result<Json<Trace>, Problem> {
    app.trace(question).await.map(Json)
}

/// The time between two readings.
pub(super) fn apart(ms: u32) -> Result<u32, Problem> {
    match ms <= LONGEST_MS {
        true => Ok(ms),
        false => Err(Problem::invalid(
            format!("{ms} ms is too long between two readings."),
            format!("Ask for at most {LONGEST_MS} ms."),
        )),
    }
}
