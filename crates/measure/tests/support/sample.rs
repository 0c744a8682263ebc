//! A run made up: a gang of four there and back over 31 ms and 200 Mbit/s, as a probe would have
//! recorded it and the engine would have told it.

use measure::analysis::Window;
use measure::clock::Clock;
use measure::guest::{Stats, TcpPeer, UdpPeer};
use measure::recording::{Mark, Recording, Reply, SCHEMA, TargetRecord, TcpRecord, UdpRecord};
use measure::report::build::{self, Evidence};
use measure::report::{Figure, Machine, Report, Target, Wan};
use model::migration::{Figures, Kind, Migration, Options, Phase, Progress, State, VmMove};
use model::plan::{Needs, Predicted};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const MS: i64 = 1_000_000;
pub(crate) const VMS: [&str; 4] = ["shop-1", "shop-2", "shop-3", "shop-4"];
/// Unix ns less monotonic ns.
const OFFSET: i64 = 1_800_000_000_000 * MS;
const LENGTH_MS: i64 = 80_000;
const OWD_US: i64 = 15_500;

/// One migration: begin, end; for each VM its stop, resume and first reply; ms after the start.
struct Move {
    begin: i64,
    end: i64,
    stops: [(i64, i64, i64); 4],
}

const MOVES: [Move; 2] = [
    Move {
        begin: 4_000,
        end: 36_400,
        stops: [
            (34_100, 34_285, 34_318),
            (34_131, 34_300, 34_330),
            (34_120, 34_292, 34_337),
            (34_108, 34_246, 34_281),
        ],
    },
    Move {
        begin: 41_000,
        end: 74_200,
        stops: [
            (72_050, 72_241, 72_270),
            (72_092, 72_262, 72_301),
            (72_071, 72_259, 72_299),
            (72_066, 72_214, 72_259),
        ],
    },
];

/// Repeatable noise, 0..n.
fn noise(seed: i64, n: i64) -> i64 {
    let mixed = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(29) ^ seed;
    mixed
        .wrapping_mul(2_685_821_657_736_338_717)
        .rotate_left(17)
        .rem_euclid(n)
}

/// When the reply to a packet sent at `sent_us` arrives: kept in the target's queue while its VM
/// does not run.
fn reply_us(vm: usize, sent_us: i64) -> i64 {
    let arrival = sent_us + 300 + noise(sent_us + vm as i64, 400);
    for (stop, _, first) in MOVES.iter().map(|m| m.stops[vm]) {
        let queued = arrival + 5_000 > stop * 1_000 && arrival < first * 1_000 + 6_000;
        if queued {
            // Delivered in order, a few dozen microseconds apart.
            return first * 1_000 + (sent_us + 5_000 - stop * 1_000) / 40;
        }
    }
    arrival + 200 + noise(sent_us * 7, 300)
}

pub(crate) fn recording() -> Recording {
    let targets = VMS.iter().enumerate().map(|(vm, name)| {
        let mut udp = UdpRecord {
            interval_ns: 2 * MS,
            ..UdpRecord::default()
        };
        let mut tcp = TcpRecord::default();
        for (seq, sent) in (0..LENGTH_MS * 1_000).step_by(2_000).enumerate() {
            udp.sent_ns.push(sent * 1_000);
            udp.replies.push(Reply {
                seq: seq as u64,
                guest: seq as u64 + 1,
                at_ns: reply_us(vm, sent) * 1_000,
            });
            if seq % 5 == 0 {
                tcp.sent_ns.push(sent * 1_000);
                tcp.echoed_ns.push((reply_us(vm, sent) + 900) * 1_000);
            }
        }
        TargetRecord {
            name: (*name).to_owned(),
            address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + vm as u8)),
            udp,
            tcp: vec![tcp.clone(), tcp],
        }
    });
    Recording {
        schema: SCHEMA.to_owned(),
        clock: Clock::fixed(OFFSET),
        begin_ns: 0,
        end_ns: (LENGTH_MS + 1_500) * MS,
        targets: targets.collect(),
        marks: vec![Mark {
            name: "there".to_owned(),
            at_ns: MOVES[0].begin * MS,
            unix_ns: MOVES[0].begin * MS + OFFSET,
        }],
        late: Vec::new(),
        realtime: true,
    }
}

pub(crate) fn windows() -> Vec<Window> {
    MOVES
        .iter()
        .map(|m| Window::new("move", m.begin * MS, m.end * MS))
        .collect()
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

pub(crate) fn migration(number: usize) -> Migration {
    let m = &MOVES[number];
    let (from, to) = if number == 0 {
        ("north", "south")
    } else {
        ("south", "north")
    };
    let mut phases = vec![phase("prepare", None, 0, 640)];
    let mut vms = Vec::new();
    for (i, vm) in VMS.iter().enumerate() {
        let (stop, resume, first) = m.stops[i];
        let (stop_ms, resume_ms) = (stop - m.begin, resume - m.begin);
        let copied = 22_400 + 700 * i as i64;
        phases.push(phase("pre-copy", Some(vm), 640, copied - 640));
        phases.push(phase("hold", Some(vm), copied, stop_ms - 420 - copied));
        phases.push(phase("armed", Some(vm), stop_ms - 420, 420));
        phases.push(phase(
            "switchover",
            Some(vm),
            stop_ms,
            first - m.begin - stop_ms,
        ));
        phases.push(phase("verify", Some(vm), first - m.begin, 180));
        vms.push(VmMove {
            vm: name(vm),
            from: name(&format!("{from}-1")),
            to: name(&format!("{to}-1")),
            needs: Needs::default(),
            predicted: None,
            progress: Progress::default(),
            figures: Figures {
                vcpu_downtime_ms: Some((resume_ms - stop_ms) as f64 + 0.4),
                rule_switch_ms: Some(17.2 + i as f64 * 0.8),
                stop_error_ms: Some(0.6 - i as f64 * 0.5),
                predicted_gap_ms: Some(208.0 + 4.0 * i as f64),
                sent_bytes: 198_400_000 + 4_000_000 * i as u64,
                wire_bytes: 141_700_000 + 3_100_000 * i as u64,
                last_burst_bytes: 1_122_000 + 49_000 * i as u64,
                stopped_unix_ns: Some(stop * MS + OFFSET),
                resumed_unix_ns: Some(resume * MS + OFFSET),
                ..Figures::default()
            },
        });
    }
    let end = m.end - m.begin;
    phases.push(phase("clean-up", None, end - 900, 900));
    Migration {
        id: name(&format!("m-000{}", number + 1)),
        cluster: name("shop"),
        from: name(from),
        to: name(to),
        kind: Kind::Live,
        options: Options::default(),
        state: State::Arrived,
        message: "every VM runs at the target".to_owned(),
        vms,
        phases,
        started_unix_ms: ((m.begin * MS + OFFSET) / MS) as u64,
        total_ms: end as f64,
        paused: false,
        given_mbit: 0.0,
        predicted: Some(Predicted {
            bytes: 560_000_000,
            total_ms: end as f64 * 1.08,
            gap_ms: 208.0,
        }),
    }
}

fn phase(step: &str, vm: Option<&str>, start_ms: i64, ms: i64) -> Phase {
    Phase {
        name: step.to_owned(),
        vm: vm.map(name),
        start_ms: start_ms as f64,
        ms: ms as f64,
    }
}

fn guests() -> BTreeMap<String, Stats> {
    let stats = |name: &str| Stats {
        name: name.to_owned(),
        udp: vec![UdpPeer {
            sent: 16_200,
            received: 16_200,
            longest_gap_ms: 61.4,
            ..UdpPeer::default()
        }],
        tcp: vec![TcpPeer::default(); 3],
        ..Stats::default()
    };
    VMS.iter().map(|vm| ((*vm).to_owned(), stats(vm))).collect()
}

/// The whole report of it.
pub(crate) fn report() -> Report {
    let (recording, windows, guests) = (recording(), windows(), guests());
    let wan = Wan {
        rtt_ms: OWD_US as f64 * 2.0 / 1_000.0,
        rate_mbit: 200.0,
        ..Wan::default()
    };
    let mut report = Report::new("make demo: a cluster moves there and back", wan);
    report.started_unix_ms = (OFFSET / MS) as u64;
    report.machine = Machine {
        cpus: 2,
        memory_mb: 24_576,
        kernel: "6.1.0-50-amd64".to_owned(),
        accelerator: "tcg".to_owned(),
        qemu: "10.0.2".to_owned(),
        ovs: "3.1.0".to_owned(),
        load: 3.4,
    };
    for (number, window) in windows.iter().enumerate() {
        let evidence = Evidence {
            recording: &recording,
            window,
            windows: &windows,
            guests: &guests,
        };
        let mut entry = build::migration(&migration(number), &evidence);
        for vm in &mut entry.vms {
            vm.flip_at_ms = vm.stop_at_ms.map(|stop| stop - 38.2);
        }
        report.migrations.push(entry);
    }
    report.whole = build::whole(&recording);
    report.link_ms = (0..10).map(|i| 4.0 + noise(i, 40) as f64 / 10.0).collect();
    report.update_ms = (0..100)
        .map(|i| 0.21 + noise(i + 50, 90) as f64 / 400.0)
        .collect();
    report.figures = vec![
        Figure {
            name: "bond: an uplink dies".to_owned(),
            unit: "ms".to_owned(),
            values: vec![11.2, 14.0, 9.8, 21.4, 12.6],
            target: Some(Target {
                worst: Some(30.0),
                ..Target::default()
            }),
            note: "gap of a 1 ms stream".to_owned(),
            ..Figure::default()
        },
        Figure {
            name: "flow installation, 20 000 rules".to_owned(),
            unit: "1/s".to_owned(),
            values: vec![118_300.0, 121_900.0, 109_400.0],
            target: Some(Target {
                median: Some(1.0),
                at_least: true,
                ..Target::default()
            }),
            peer: Some(Box::new(Figure {
                name: "ovs-ofctl --bundle add-flows".to_owned(),
                unit: "1/s".to_owned(),
                values: vec![98_700.0, 103_100.0, 101_800.0],
                ..Figure::default()
            })),
            note: "beside ovs-ofctl --bundle add-flows".to_owned(),
        },
    ];
    report.notes = vec!["Guests ran without KVM (TCG).".to_owned()];
    report
}
