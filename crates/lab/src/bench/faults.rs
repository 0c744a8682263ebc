//! Faults at every stage of a live move of four VMs with disks.

use super::{Measured, at_most, figure};
use crate::cli::UpOptions;
use crate::demo::{Audience, DemoError};
use crate::faults::fault::Fault;
use crate::faults::stage::Stage;
use crate::faults::{self, Row};
use crate::shop::DiskLoad;
use model::vm::DiskFormat;
use std::path::PathBuf;

/// Small, so that a move is short; every stage is there all the same.
const DISK: DiskLoad = DiskLoad {
    size_mib: 256,
    fill_mib: 12,
    rate: 20,
    format: DiskFormat::Qcow2,
    image: PathBuf::new(),
};

pub(super) async fn kills(
    up: UpOptions,
    only: &[String],
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    run(up, &Fault::KILLS, only, "kills", audience).await
}

pub(super) async fn cuts(
    up: UpOptions,
    only: &[String],
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    run(up, &Fault::CUTS, only, "cuts", audience).await
}

async fn run(
    mut up: UpOptions,
    all: &[Fault],
    only: &[String],
    what: &str,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    up.disk = Some(DISK);
    let stages = chosen(&Stage::ALL, only);
    let rows = faults::matrix(&up, &chosen(all, only), &stages, audience).await?;
    let count = |of: &dyn Fn(&Row) -> usize| rows.iter().map(|row| of(row) as f64).collect();
    let none = || at_most(None, Some(0.0));
    let figures = vec![
        figure(
            &format!("{what}: runs that did not end"),
            "runs",
            count(&|row| usize::from(row.end.is_none())),
            none(),
        ),
        figure(
            &format!("{what}: VMs in two places, or none"),
            "VMs",
            count(&|row| row.rest.misplaced(row.fault.takes_a_vm())),
            none(),
        ),
        figure(
            &format!("{what}: VMs that lost an acknowledged write"),
            "VMs",
            count(&|row| row.rest.lost_writes.len()),
            none(),
        ),
        figure(
            &format!("{what}: anything else that must not be"),
            "faults",
            count(&|row| row.wrong.len()),
            none(),
        ),
        figure(
            &format!("{what}: from the fault to the end"),
            "s",
            rows.iter().map(|row| row.seconds).collect(),
            None,
        ),
    ];
    Ok(Measured {
        figures,
        notes: rows
            .iter()
            .filter(|row| !row.wrong.is_empty())
            .map(|row| format!("{row} ({})", row.message))
            .collect(),
        ..Measured::default()
    })
}

/// Those that are named, or all where none of them is.
fn chosen<T: Copy + std::fmt::Display>(all: &[T], only: &[String]) -> Vec<T> {
    let named: Vec<T> = all
        .iter()
        .copied()
        .filter(|it| only.contains(&it.to_string()))
        .collect();
    if named.is_empty() {
        all.to_vec()
    } else {
        named
    }
}
