//! Answers as tables and sentences. Pure: values in, text out.

mod clusters;
mod dns;
mod domains;
mod dot;
mod events;
mod flows;
mod inventory;
mod limits;
mod lisp;
mod migrations;
mod plans;
mod topology;
mod underlay;

pub(crate) use clusters::{cluster, clusters, endpoints, vms};
pub(crate) use dns::dns_records;
pub(crate) use domains::{FoundDomain, domains};
pub(crate) use dot::dot;
pub(crate) use events::event;
pub(crate) use flows::{flows, trace};
pub(crate) use inventory::{hosts, join_token, sites};
pub(crate) use limits::limits;
pub(crate) use lisp::{lisp_mappings, lisp_sites};
pub(crate) use migrations::{migration, migrations, state, summary};
pub(crate) use plans::plan;
pub(crate) use topology::topology;
pub(crate) use underlay::underlay;

use std::fmt::Display;

/// Items one below the other, for a cell.
fn lines<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    joined(items, "\n")
}

/// Items in a row.
fn joined<T: Display>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(between)
}

/// Something or a dash.
fn or_dash<T: Display>(item: Option<T>) -> String {
    item.map_or_else(|| "-".to_owned(), |item| item.to_string())
}

fn up(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

fn vm_state(state: model::vm::VmState) -> &'static str {
    use model::vm::VmState;
    match state {
        VmState::Running => "running",
        VmState::Paused => "paused",
        VmState::Incoming => "incoming",
        VmState::Gone => "gone",
    }
}
