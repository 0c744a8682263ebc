//! The report's figures beside the project's targets: what must show, and what did.
//!
//! Comparisons that are made to lose (any order of flipping but `before-stop`) are left out: their
//! figures are in the report, but no target speaks of them. A migration that did not arrive must
//! not lose anything either; only its downtime is not judged.

use super::{Figure, Migration, Report, Target, Vm};
use serde::{Deserialize, Serialize};

/// Longest network downtime of a gang against what was predicted.
const PREDICTED_RATIO: f64 = 1.3;

/// From this rate on, Mbit/s, the gang's target is that of a fast link.
const FAST_MBIT: f64 = 1_000.0;

/// One target and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was measured.
    pub what: String,
    /// What came out, with its unit.
    pub measured: String,
    /// What must show.
    pub target: String,
    /// Whether it did.
    pub met: bool,
}

/// Median and worst of some values; none of no values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Smallest.
    pub least: f64,
    /// Middle one, or the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub most: f64,
}

impl Spread {
    /// Of these values; not-a-numbers are left out.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            (sorted[half - 1] + sorted[half]) / 2.0
        };
        Some(Self {
            count: sorted.len(),
            least,
            median,
            most,
        })
    }
}

/// The migrations that targets speak of: those of the orchestrated switchover.
pub fn judged(report: &Report) -> Vec<&Migration> {
    let judged = |m: &&Migration| matches!(m.order.as_str(), "" | "before-stop");
    report.migrations.iter().filter(judged).collect()
}

/// Every target that the report has figures for.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let judged = judged(report);
    let mut verdicts = losses(report, &judged);
    let arrived = |m: &&&Migration| matches!(m.state.as_str(), "" | "arrived");
    let (single, gang): (Vec<&Migration>, Vec<&Migration>) = judged
        .iter()
        .filter(arrived)
        .partition(|m| m.vms.len() == 1);
    let fast = report.wan.rate_mbit >= FAST_MBIT;
    let bounds = if fast {
        (130.0, None)
    } else {
        (220.0, Some(320.0))
    };
    verdicts.extend(downtime("one VM", &single, 80.0, Some(120.0)));
    verdicts.extend(downtime("gang", &gang, bounds.0, bounds.1));
    verdicts.extend(predicted(&gang));
    verdicts.extend(operations(report).iter().filter_map(of_figure));
    verdicts
}

/// Every single operation that was measured, with its target: link, update, and the bench's own.
pub fn operations(report: &Report) -> Vec<Figure> {
    let of = |name: &str, values: &[f64], median| Figure {
        name: name.to_owned(),
        unit: "ms".to_owned(),
        values: values.to_vec(),
        target: Some(Target {
            median: Some(median),
            ..Target::default()
        }),
        ..Figure::default()
    };
    let mut all = vec![
        of(
            "link, until switches have acknowledged",
            &report.link_ms,
            10.0,
        ),
        of(
            "update, until switches have acknowledged",
            &report.update_ms,
            0.5,
        ),
    ];
    all.extend(report.figures.iter().cloned());
    all
}

fn losses(report: &Report, judged: &[&Migration]) -> Vec<Verdict> {
    let vms = || judged.iter().flat_map(|m| &m.vms);
    if vms().next().is_none() {
        return Vec::new();
    }
    let sum = |of: fn(&Vm) -> u64| vms().map(of).sum::<u64>();
    let mut udp = (sum(|vm| vm.udp_lost), sum(|vm| vm.udp_sent));
    let mut tcp = sum(|vm| vm.tcp_lost);
    let mut copies = vms().map(|vm| vm.udp_max_copies).max().unwrap_or(0);
    // The time between migrations counts as well, unless a migration was made to lose.
    if judged.len() == report.migrations.len() && !report.whole.is_empty() {
        let whole = || report.whole.iter();
        udp = (
            whole().map(|vm| vm.udp_lost).sum(),
            whole().map(|vm| vm.udp_sent).sum(),
        );
        tcp = tcp.max(whole().map(|vm| vm.tcp_lost).sum());
        copies = copies.max(whole().map(|vm| vm.udp_max_copies).max().unwrap_or(0));
    }
    let sessions = vms().map(|vm| vm.tcp_sessions).sum::<u64>();
    vec![
        Verdict {
            what: "TCP sessions lost".to_owned(),
            measured: format!("{tcp} of {sessions}"),
            target: "0".to_owned(),
            met: tcp == 0,
        },
        Verdict {
            what: "UDP packets lost".to_owned(),
            measured: format!("{} of {}", number(udp.0 as f64), number(udp.1 as f64)),
            target: "0".to_owned(),
            met: udp.0 == 0,
        },
        Verdict {
            what: "most replies to one UDP packet".to_owned(),
            measured: copies.to_string(),
            target: "≤ 2".to_owned(),
            met: copies <= 2,
        },
    ]
}

fn downtime(
    what: &str,
    migrations: &[&Migration],
    median: f64,
    worst: Option<f64>,
) -> Option<Verdict> {
    let vms = migrations.iter().flat_map(|m| &m.vms);
    of_figure(&Figure {
        name: format!("network downtime, {what}"),
        unit: "ms".to_owned(),
        values: vms.filter_map(|vm| vm.network_downtime_ms).collect(),
        target: Some(Target {
            median: Some(median),
            worst,
            at_least: false,
        }),
        ..Figure::default()
    })
}

fn predicted(migrations: &[&Migration]) -> Option<Verdict> {
    let ratio = |vm: &Vm| Some(vm.network_downtime_ms? / vm.predicted_gap_ms?);
    let vms = migrations.iter().flat_map(|m| &m.vms);
    let spread = Spread::of(vms.filter_map(ratio).filter(|ratio| ratio.is_finite()))?;
    Some(Verdict {
        what: "network downtime against predicted, gang".to_owned(),
        measured: format!("worst {:.2}x", spread.most),
        target: format!("≤ {PREDICTED_RATIO}x"),
        met: spread.most <= PREDICTED_RATIO,
    })
}

/// A figure beside its target; none when it has no target or no values.
pub fn of_figure(figure: &Figure) -> Option<Verdict> {
    let target = figure.target?;
    let spread = Spread::of(figure.values.iter().copied())?;
    let worst = if target.at_least {
        spread.least
    } else {
        spread.most
    };
    let peer = match &figure.peer {
        Some(peer) => Some(Spread::of(peer.values.iter().copied())?.median),
        None => None,
    };
    let sign = if target.at_least { "≥" } else { "≤" };
    let unit = &figure.unit;
    let mut wanted = Vec::new();
    let mut met = true;
    for (word, value, bound) in [
        ("median", spread.median, target.median),
        ("worst", worst, target.worst),
    ] {
        let Some(bound) = bound else { continue };
        let (limit, text) = match peer {
            Some(peer) => (
                bound * peer,
                format!("{word} {sign} {} of peer", percent(bound)),
            ),
            None => (bound, format!("{word} {sign} {} {unit}", number(bound))),
        };
        met &= if target.at_least {
            value >= limit
        } else {
            value <= limit
        };
        wanted.push(text);
    }
    let beside = peer.map_or_else(String::new, |peer| format!(" (peer {})", number(peer)));
    Some(Verdict {
        what: figure.name.clone(),
        measured: match spread.count {
            1 => format!("{} {unit}{beside}", number(spread.median)),
            _ => format!(
                "median {}, worst {} {unit}{beside}",
                number(spread.median),
                number(worst)
            ),
        },
        target: wanted.join(", "),
        met,
    })
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

/// A number with three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 10_000.0 => thousands(value),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => trim(format!("{value:.1}")),
        v if v >= 1.0 => trim(format!("{value:.2}")),
        _ => trim(format!("{value:.3}")),
    }
}

fn trim(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Wan;

    fn vm(gap: f64, predicted: f64) -> Vm {
        Vm {
            network_downtime_ms: Some(gap),
            predicted_gap_ms: Some(predicted),
            udp_sent: 1_000,
            udp_max_copies: 1,
            tcp_sessions: 2,
            ..Vm::default()
        }
    }

    fn report(migrations: Vec<Migration>) -> Report {
        Report {
            migrations,
            ..Report::new("x", Wan::default())
        }
    }

    fn gang(order: &str, vms: Vec<Vm>) -> Migration {
        Migration {
            order: order.to_owned(),
            vms,
            ..Migration::default()
        }
    }

    #[test]
    fn a_gang_within_its_bounds_meets_every_target() {
        let migration = gang(
            "before-stop",
            vec![vm(200.0, 190.0), vm(310.0, 300.0), vm(210.0, 205.0)],
        );
        let verdicts = verdicts(&report(vec![migration]));
        assert_eq!(verdicts.len(), 5);
        assert!(verdicts.iter().all(|v| v.met), "{verdicts:?}");
    }

    #[test]
    fn one_vm_and_a_gang_have_different_bounds() {
        let met = |vms| verdicts(&report(vec![gang("", vms)]))[3].met;
        assert!(!met(vec![vm(130.0, 130.0)]));
        assert!(met(vec![vm(130.0, 130.0), vm(130.0, 130.0)]));
    }

    #[test]
    fn a_gap_far_beyond_its_prediction_is_told() {
        let verdicts = verdicts(&report(vec![gang(
            "",
            vec![vm(140.0, 100.0), vm(100.0, 100.0)],
        )]));
        let ratio = verdicts.last().unwrap();
        assert_eq!((ratio.measured.as_str(), ratio.met), ("worst 1.40x", false));
    }

    #[test]
    fn orders_that_are_made_to_lose_are_not_judged() {
        let lossy = Vm {
            udp_lost: 33,
            ..vm(120.0, 60.0)
        };
        let all = verdicts(&report(vec![
            gang("after-resume", vec![lossy]),
            gang("before-stop", vec![vm(60.0, 60.0)]),
        ]));
        assert!(all.iter().all(|v| v.met), "{all:?}");
    }

    #[test]
    fn an_aborted_migration_must_not_lose_but_its_downtime_is_not_judged() {
        let aborted = Migration {
            state: "aborted".to_owned(),
            ..gang(
                "before-stop",
                vec![Vm {
                    udp_lost: 1,
                    ..vm(900.0, 100.0)
                }],
            )
        };
        let all = verdicts(&report(vec![aborted]));
        assert_eq!(all.len(), 3);
        assert!(!all[1].met, "{all:?}");
    }

    #[test]
    fn a_rate_is_judged_against_its_peer_in_the_same_run() {
        let figure = |rate| Figure {
            name: "rules".to_owned(),
            unit: "1/s".to_owned(),
            values: vec![rate],
            target: Some(Target {
                median: Some(1.0),
                at_least: true,
                ..Target::default()
            }),
            peer: Some(Box::new(Figure {
                values: vec![100_000.0],
                ..Figure::default()
            })),
            ..Figure::default()
        };
        assert!(of_figure(&figure(100_001.0)).unwrap().met);
        let short = of_figure(&figure(99_000.0)).unwrap();
        assert!(!short.met);
        assert_eq!(short.measured, "99 000 1/s (peer 100 000)");
        assert_eq!(short.target, "median ≥ 100 % of peer");
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_matter() {
        let all = [0.0, 0.3456, 5.0, 12.34, 218.6, 123_456.0].map(number);
        assert_eq!(all, ["0", "0.346", "5", "12.3", "219", "123 456"]);
    }
}
