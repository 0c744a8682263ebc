//! Clusters moved there and back: downtimes, losses, predictions.

use super::{Measured, at_most, figure, within};
use crate::cli::{self, UpOptions};
use crate::demo::{Audience, DemoError, Tour};
use crate::shop::{DiskLoad, HOME, Load};
use measure::report::{Figure, Migration, Vm};
use model::migration::{FlipOrder, Options, State};
use model::vm::DiskFormat;
use std::path::PathBuf;
use std::time::Duration;

/// Where the cluster goes from home.
const AWAY: &str = "south";

/// Probe and guests talk this long before the first migration.
const WARM_UP: Duration = Duration::from_secs(3);

/// What is moved, how often, and what must show.
pub(super) struct Setting<'a> {
    /// In the figures' names.
    pub(super) what: &'a str,
    /// There and back.
    pub(super) rounds: u32,
    /// With each of these, round by round.
    pub(super) orders: &'a [FlipOrder],
    /// Network downtime, ms: median and worst.
    pub(super) downtime: (f64, Option<f64>),
    /// What others reach.
    pub(super) note: &'a str,
}

const PAPER_B: &str = "paper B: 400 to 600 ms";

pub(super) async fn single_idle(
    mut up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    (up.vms, up.load) = (1, Load::IDLE);
    let setting = Setting {
        what: "one idle VM",
        rounds,
        orders: &[FlipOrder::BeforeStop],
        downtime: (80.0, Some(120.0)),
        note: PAPER_B,
    };
    figures_of(&up, &setting, audience).await
}

pub(super) async fn single_load(
    mut up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    up.vms = 1;
    let setting = Setting {
        what: "one VM under load",
        rounds,
        orders: &[FlipOrder::BeforeStop],
        downtime: (80.0, Some(120.0)),
        note: PAPER_B,
    };
    figures_of(&up, &setting, audience).await
}

pub(super) async fn gang(
    up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let setting = Setting {
        what: "gang of four",
        rounds,
        orders: &[FlipOrder::BeforeStop],
        downtime: (220.0, Some(320.0)),
        note: PAPER_B,
    };
    figures_of(&up, &setting, audience).await
}

pub(super) async fn gang_disks(
    mut up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    up.disk = Some(DiskLoad {
        size_mib: 1024,
        fill_mib: 64,
        rate: 20,
        format: DiskFormat::Qcow2,
        image: PathBuf::new(),
    });
    let setting = Setting {
        what: "gang of four with 1 GB disks under write load",
        rounds,
        orders: &[FlipOrder::BeforeStop],
        downtime: (140.0, None),
        note: PAPER_B,
    };
    figures_of(&up, &setting, audience).await
}

pub(super) async fn gang_1gbit(
    mut up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    up.shaping.rate_mbit = 1000.0;
    let setting = Setting {
        what: "gang of four on 1 Gbit/s",
        rounds,
        orders: &[FlipOrder::BeforeStop],
        downtime: (130.0, None),
        note: "",
    };
    figures_of(&up, &setting, audience).await
}

/// The orders side by side in one run, as the prototype had them.
pub(super) async fn orders(
    mut up: UpOptions,
    rounds: u32,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    const ORDERS: [FlipOrder; 3] = [
        FlipOrder::BeforeStop,
        FlipOrder::PreSwitchover,
        FlipOrder::AfterResume,
    ];
    up.vms = 1;
    let setting = Setting {
        what: "one VM, in turn with the other orders",
        rounds,
        orders: &ORDERS,
        downtime: (80.0, Some(120.0)),
        note: "",
    };
    let (migrations, notes, _) = tour(&up, &setting, audience).await?;
    let mut figures = Vec::new();
    for (order, target, note) in [
        ("before-stop", Some(0.0), ""),
        ("pre-switchover", None, "the prototype lost 33"),
        ("after-resume", None, "the prototype lost 113 to 138"),
    ] {
        let of_order = migrations.iter().filter(|m| m.order == order);
        let lost = of_order.flat_map(|m| &m.vms).map(|vm| vm.udp_lost as f64);
        let name = format!("UDP packets lost, flip {}", order.replace('-', " "));
        let target = target.and_then(|worst| at_most(None, Some(worst)));
        figures.push(noted(
            figure(&name, "packets", lost.collect(), target),
            note,
        ));
    }
    let ours = migrations.iter().filter(|m| m.order == "before-stop");
    let errors = ours.flat_map(|m| &m.vms).filter_map(|vm| vm.stop_error_ms);
    figures.push(noted(
        figure(
            "real stop less predicted stop",
            "ms",
            errors.collect(),
            None,
        ),
        "negative is the dangerous side",
    ));
    Ok(Measured {
        figures,
        migrations,
        notes,
        ..Measured::default()
    })
}

async fn figures_of(
    up: &UpOptions,
    setting: &Setting<'_>,
    audience: &mut dyn Audience,
) -> Result<Measured, DemoError> {
    let (migrations, notes, missing) = tour(up, setting, audience).await?;
    let mut figures = figures(setting, &migrations);
    if up.disk.is_some() {
        figures.push(figure(
            &format!("VMs that lost an acknowledged write, {}", setting.what),
            "VMs",
            vec![missing.len() as f64],
            at_most(None, Some(0.0)),
        ));
    }
    let notes = notes.into_iter().chain(missing).collect();
    Ok(Measured {
        figures,
        notes,
        ..Measured::default()
    })
}

fn figures(setting: &Setting<'_>, migrations: &[Migration]) -> Vec<Figure> {
    let what = setting.what;
    let vms = || {
        let arrived = migrations.iter().filter(|m| m.state == "arrived");
        arrived.flat_map(|m| &m.vms)
    };
    let all = |of: fn(&Vm) -> u64| {
        let each = migrations.iter().flat_map(|m| &m.vms);
        each.map(|vm| of(vm) as f64).collect::<Vec<f64>>()
    };
    let none_of = |name: &str, unit: &str, values| {
        figure(
            &format!("{name}, {what}"),
            unit,
            values,
            at_most(None, Some(0.0)),
        )
    };
    let stayed = |m: &Migration| f64::from(u8::from(m.state != "arrived"));
    let (median, worst) = setting.downtime;
    let downtimes = vms().filter_map(|vm| vm.network_downtime_ms).collect();
    let ratio = |vm: &Vm| Some(vm.network_downtime_ms? / vm.predicted_gap_ms?);
    let ratios = vms().filter_map(ratio).filter(|ratio| ratio.is_finite());
    vec![
        noted(
            figure(
                &format!("network downtime, {what}"),
                "ms",
                downtimes,
                at_most(Some(median), worst),
            ),
            setting.note,
        ),
        figure(
            &format!("network downtime against predicted, {what}"),
            "x",
            ratios.collect(),
            at_most(None, Some(1.3)),
        ),
        figure(
            &format!("vCPU downtime, {what}"),
            "ms",
            vms().filter_map(|vm| vm.vcpu_downtime_ms).collect(),
            None,
        ),
        none_of("UDP packets lost", "packets", all(|vm| vm.udp_lost)),
        none_of("TCP sessions lost", "sessions", all(|vm| vm.tcp_lost)),
        none_of(
            "migrations that did not arrive",
            "migrations",
            migrations.iter().map(stayed).collect(),
        ),
    ]
}

fn noted(figure: Figure, note: &str) -> Figure {
    Figure {
        note: note.to_owned(),
        ..figure
    }
}

/// There and back, again and again; one that does not arrive is tried once more in the same
/// direction.
pub(super) async fn tour(
    up: &UpOptions,
    setting: &Setting<'_>,
    audience: &mut dyn Audience,
) -> Result<Toured, DemoError> {
    let standing = cli::up(up, &mut |step| audience.step(step)).await?;
    let lab = standing.clone();
    within(standing, async move {
        let mut tour = Tour::begin(&lab, WARM_UP).await?;
        let mut away = false;
        for _ in 0..setting.rounds {
            for order in setting.orders {
                for _ in 0..2 {
                    let to = if away { HOME } else { AWAY };
                    let asked = Options {
                        order: *order,
                        ..Options::default()
                    };
                    let moved = tour.travel(to, asked, audience).await?;
                    match moved.state {
                        State::Arrived => away = !away,
                        State::Aborted => {}
                        _ => return finish(tour).await,
                    }
                }
            }
        }
        finish(tour).await
    })
    .await
}

/// Migrations, notes, and what was missing of acknowledged writes.
pub(super) type Toured = (Vec<Migration>, Vec<String>, Vec<String>);

async fn finish(tour: Tour) -> Result<Toured, DemoError> {
    let seen = tour.end().await?;
    Ok((seen.migrations, seen.notes, seen.missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(state: &str, downtime: f64, lost: u64) -> Migration {
        Migration {
            state: state.to_owned(),
            vms: vec![Vm {
                network_downtime_ms: Some(downtime),
                predicted_gap_ms: Some(50.0),
                udp_lost: lost,
                ..Vm::default()
            }],
            ..Migration::default()
        }
    }

    #[test]
    fn one_that_did_not_arrive_has_no_downtime_but_its_losses_count() {
        let setting = Setting {
            what: "x",
            rounds: 1,
            orders: &[],
            downtime: (80.0, None),
            note: "",
        };
        let figures = figures(
            &setting,
            &[moved("arrived", 60.0, 0), moved("aborted", 900.0, 3)],
        );
        assert_eq!(figures[0].values, [60.0]);
        assert_eq!(figures[1].values, [1.2]);
        assert_eq!(figures[3].values, [0.0, 3.0]);
        assert_eq!(figures[5].values, [0.0, 1.0]);
    }
}
