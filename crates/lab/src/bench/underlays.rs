//! The same cluster, load and WAN with tunnels in each underlay, one after the other.
//!
//! Four emulated guests at the demo's load take all of a small machine's CPU, also at rest: whatever else needs some
//! of it makes them late, and the figures tell of that alone. So the VMs say less here: none of it to each other, and a
//! packet each 10 ms to the client.

use super::moves::{self, Setting};
use super::{Measured, at_most, figure};
use crate::cli::UpOptions;
use crate::demo::{Audience, DemoError};
use measure::report::{Figure, Migration, Vm};
use model::migration::FlipOrder;
use model::underlay::Method;
use ovs::bench::quantile;

/// WireGuard's network downtime against that without, and IPsec's against WireGuard's.
const MOST_RATIOS: [f64; 2] = [1.15, 1.2];

/// Time between two packets of a stream, ms.
const STREAM_MS: u32 = 10;

pub(super) async fn underlays(
    up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let mut measured = Measured::default();
    let mut before: Option<f64> = None;
    let ratios = [None, Some(MOST_RATIOS[0]), Some(MOST_RATIOS[1])];
    let underlays = [Method::None, Method::Wireguard, Method::Ipsec];
    for (underlay, most) in underlays.into_iter().zip(ratios) {
        let what = format!("underlay {underlay}");
        let up = UpOptions {
            underlay,
            talk_ms: 0,
            stream_ms: STREAM_MS,
            ..up.clone()
        };
        let setting = Setting {
            what: &what,
            rounds,
            orders: &[FlipOrder::BeforeStop],
            downtime: (220.0, Some(320.0)),
            note: "",
        };
        let (migrations, notes, missing) = moves::tour(&up, &setting, audience).await?;
        let silences: Vec<f64> = vms(&migrations)
            .filter_map(|vm| vm.network_downtime_ms)
            .collect();
        let gaps = vms(&migrations).filter_map(|vm| vm.switch_gap_ms).collect();
        let median = (!silences.is_empty()).then(|| quantile(&silences, 0.5));
        let row = |name: &str, unit: &str, values, target| {
            figure(&format!("{name}, {what}"), unit, values, target)
        };
        measured.figures.extend([
            row("network downtime", "ms", silences, None),
            row("gap at the switch", "ms", gaps, None),
            none(&migrations, ("UDP packets lost", "packets", &what), |vm| {
                vm.udp_lost
            }),
            none(
                &migrations,
                ("TCP sessions lost", "sessions", &what),
                |vm| vm.tcp_lost,
            ),
        ]);
        if let (Some(most), Some(before), Some(median)) = (most, before, median) {
            let target = at_most(None, Some(most));
            let against = row(
                "median network downtime against the row before",
                "x",
                vec![median / before],
                target,
            );
            measured.figures.push(against);
        }
        before = median;
        measured.notes.extend(notes.into_iter().chain(missing));
        measured.migrations.extend(migrations);
    }
    Ok(measured)
}

fn vms(migrations: &[Migration]) -> impl Iterator<Item = &Vm> {
    migrations.iter().flat_map(|migration| &migration.vms)
}

/// A figure that is to be 0 for each VM and migration.
fn none(
    migrations: &[Migration],
    (name, unit, what): (&str, &str, &str),
    of: fn(&Vm) -> u64,
) -> Figure {
    let values = vms(migrations).map(|vm| of(vm) as f64).collect();
    figure(
        &format!("{name}, {what}"),
        unit,
        values,
        at_most(None, Some(0.0)),
    )
}
