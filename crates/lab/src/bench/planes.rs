//! The same cluster, load and WAN with the client on each plane: a member's port in Open vSwitch, a LISP site
//! whose router subscribes, and one whose router only asks anew when it is solicited to.

use super::moves::{self, Setting};
use super::{Measured, at_most, figure};
use crate::cli::UpOptions;
use crate::demo::{Audience, DemoError};
use crate::parts::Plane;
use measure::report::{Figure, Migration, Vm};
use model::migration::FlipOrder;
use ovs::bench::quantile;

/// A subscriber's gap, against that on the cluster's own plane.
const MOST_RATIO: f64 = 1.1;
/// Round trips and ms beside them, and packets a VM, where a router has to ask anew.
const TRIPS: f64 = 1.5;
const BESIDE_MS: f64 = 120.0;
const LATE_PACKETS: f64 = 5.0;

pub(super) async fn planes(
    up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let mut measured = Measured::default();
    let mut own = None;
    let late_ms = TRIPS * 4.0 * up.shaping.delay_ms + BESIDE_MS;
    for (plane, what) in [
        (Plane::Ovs, "client in Open vSwitch"),
        (Plane::LispGpe, "LISP, subscribed, VXLAN-GPE"),
        (Plane::Lisp, "LISP, subscribed"),
        (Plane::LispSolicited, "LISP, solicited"),
    ] {
        let up = UpOptions {
            plane,
            ..up.clone()
        };
        let setting = Setting {
            what,
            rounds,
            orders: &[FlipOrder::BeforeStop],
            downtime: (220.0, Some(320.0)),
            note: "",
        };
        let (migrations, notes, missing) = moves::tour(&up, &setting, audience).await?;
        let gaps: Vec<f64> = vms(&migrations).filter_map(|vm| vm.switch_gap_ms).collect();
        let longest = vms(&migrations).filter_map(|vm| vm.network_downtime_ms);
        let (most_gap, most_lost) = match plane {
            Plane::LispSolicited => (Some(late_ms), LATE_PACKETS),
            _ => (None, 0.0),
        };
        let median = (!gaps.is_empty()).then(|| quantile(&gaps, 0.5));
        measured.figures.extend([
            figure(
                &format!("gap at the switch, {what}"),
                "ms",
                gaps,
                at_most(None, most_gap),
            ),
            figure(
                &format!("longest silence of the whole move, {what}"),
                "ms",
                longest.collect(),
                None,
            ),
            each(
                &migrations,
                ("UDP packets lost", "packets", what),
                most_lost,
                |vm| vm.udp_lost,
            ),
            each(
                &migrations,
                ("TCP sessions lost", "sessions", what),
                0.0,
                |vm| vm.tcp_lost,
            ),
        ]);
        match plane {
            Plane::Ovs => own = median,
            Plane::LispGpe | Plane::Lisp => {
                if let (Some(own), Some(median)) = (own, median) {
                    let against = format!("median gap against that in Open vSwitch, {what}");
                    let most = at_most(None, Some(MOST_RATIO));
                    let ratio = figure(&against, "x", vec![median / own], most);
                    measured.figures.push(ratio);
                }
            }
            Plane::LispSolicited => {}
        }
        measured.notes.extend(notes.into_iter().chain(missing));
        measured.migrations.extend(migrations);
    }
    Ok(measured)
}

fn vms(migrations: &[Migration]) -> impl Iterator<Item = &Vm> {
    migrations.iter().flat_map(|migration| &migration.vms)
}

fn each(
    migrations: &[Migration],
    (name, unit, what): (&str, &str, &str),
    most: f64,
    of: fn(&Vm) -> u64,
) -> Figure {
    figure(
        &format!("{name}, {what}"),
        unit,
        vms(migrations).map(|vm| of(vm) as f64).collect(),
        at_most(None, Some(most)),
    )
}
