//! What the comparison must show, from a report that holds both halves. Pure.

use measure::report::{Figure, Migration, Report, Target, Vm};
use measure::sides::is_virsh;

/// Tens to hundreds of packets.
const LOST_AT_LEAST: f64 = 10.0;

/// Each VM's network downtime is so many times better at least.
const BETTER: f64 = 2.0;

/// The figures, each with its target.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let sides = |virsh| {
        let all = report.migrations.iter();
        all.filter(move |m| is_virsh(&m.order) == virsh)
    };
    let ours = || sides(false).flat_map(|m| &m.vms);
    let lost = |m: &Migration| m.vms.iter().map(|vm| vm.udp_lost).sum::<u64>() as f64;
    let none = Some(Target {
        worst: Some(0.0),
        ..Target::default()
    });
    let at_least = |worst| {
        Some(Target {
            worst: Some(worst),
            at_least: true,
            ..Target::default()
        })
    };
    vec![
        figure(
            "UDP packets lost by ours, each VM, the whole run",
            "packets",
            report.whole.iter().map(|vm| vm.udp_lost as f64).collect(),
            none,
        ),
        figure(
            "TCP sessions lost by ours, each VM",
            "sessions",
            report.whole.iter().map(|vm| vm.tcp_lost as f64).collect(),
            none,
        ),
        figure(
            "UDP packets lost by ours among the VMs, each move",
            "packets",
            ours()
                .filter_map(|vm| Some(vm.guest?.udp_lost as f64))
                .collect(),
            none,
        ),
        figure(
            "UDP packets lost by virsh migrate, each move",
            "packets",
            sides(true).map(lost).collect(),
            at_least(LOST_AT_LEAST),
        ),
        figure(
            "network downtime, virsh migrate over ours, each VM",
            "x",
            ratios(&ours().collect::<Vec<_>>(), sides(true)),
            at_least(BETTER),
        ),
    ]
}

/// Of every VM in every one of the others' moves, by how much its network downtime was longer than
/// the longest that the same VM had with us.
fn ratios<'a>(ours: &[&Vm], theirs: impl Iterator<Item = &'a Migration>) -> Vec<f64> {
    let longest = |name: &str| {
        let of_it = ours.iter().filter(|vm| vm.name == name);
        let all = of_it.filter_map(|vm| vm.network_downtime_ms);
        all.reduce(f64::max)
    };
    let ratio = |vm: &Vm| Some(vm.network_downtime_ms? / longest(&vm.name)?);
    theirs.flat_map(|m| &m.vms).filter_map(ratio).collect()
}

fn figure(name: &str, unit: &str, values: Vec<f64>, target: Option<Target>) -> Figure {
    Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        values,
        target,
        ..Figure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::report::verdict::{Verdict, of_figure};
    use measure::report::{VmTotal, Wan};
    use measure::sides::{VIRSH_IN_TURN, VIRSH_TOGETHER};

    fn moved(order: &str, gap: f64, lost: u64) -> Migration {
        Migration {
            order: order.to_owned(),
            vms: vec![Vm {
                name: "shop-1".to_owned(),
                network_downtime_ms: Some(gap),
                udp_lost: lost,
                ..Vm::default()
            }],
            ..Migration::default()
        }
    }

    fn rows(lost_by_ours: u64, migrations: Vec<Migration>) -> Vec<Verdict> {
        let mut report = Report::new("x", Wan::default());
        report.migrations = migrations;
        report.whole = vec![VmTotal {
            udp_lost: lost_by_ours,
            ..VmTotal::default()
        }];
        figures(&report).iter().filter_map(of_figure).collect()
    }

    #[test]
    fn twice_as_good_is_judged_by_our_longest_and_their_shortest() {
        let ratio = |theirs| {
            let ours = [moved("before-stop", 40.0, 0), moved("before-stop", 60.0, 0)];
            let theirs = [
                moved(VIRSH_TOGETHER, 400.0, 90),
                moved(VIRSH_IN_TURN, theirs, 30),
            ];
            rows(0, ours.into_iter().chain(theirs).collect())
        };
        assert!(ratio(120.0).iter().all(|row| row.met));
        let missed: Vec<_> = ratio(119.0).into_iter().filter(|row| !row.met).collect();
        assert_eq!(missed.len(), 1);
        assert!(missed[0].what.contains("virsh migrate over ours"));
    }

    #[test]
    fn one_packet_of_ours_and_none_of_theirs_are_each_a_row_that_is_missed() {
        let both = |theirs| {
            vec![
                moved("before-stop", 40.0, 0),
                moved(VIRSH_TOGETHER, 400.0, theirs),
            ]
        };
        let missed = |rows: Vec<Verdict>| rows.iter().filter(|row| !row.met).count();
        assert_eq!(missed(rows(0, both(90))), 0);
        assert_eq!(missed(rows(1, both(90))), 1);
        assert_eq!(missed(rows(0, both(9))), 1);
    }
}
