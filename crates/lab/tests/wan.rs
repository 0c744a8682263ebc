//! The WAN on real namespaces. Bounds from below are exact (a packet is never early); bounds from
//! above are wide, since the machine may be loaded.

mod support;

use lab::boxed::Program;
use lab::testbed::Testbed;
use lab::wan::{Change, Direction, Shaping};
use serde_json::Value;
use support::{HELPER, Scratch, sh};

/// Round trips of `count` pings from north, in milliseconds, sorted. `None` for no answer at all.
fn pings(lab: &Testbed, target: &str, count: u32) -> Vec<f64> {
    let script = format!("ping -n -c {count} -i 0.05 -w 20 {target}");
    let output = lab.boxed().exec(&sh("north", &script)).unwrap().text();
    let times = output
        .lines()
        .filter_map(|line| line.split("time=").nth(1)?.split(' ').next());
    let mut times: Vec<f64> = times.filter_map(|time| time.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    assert!(!times.is_empty(), "no answer from {target}: {output}");
    times
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// A UDP stream from north to south; what the receiver saw.
fn stream(lab: &Testbed, count: u32, bytes: u32, gap_us: u32) -> Value {
    let address = format!("{}:7000", lab.plan().sites[1].mgmt.v4);
    // A burst that has to wait for ARP would overrun the kernel's short queue for that.
    pings(lab, "10.20.2.2", 1);
    let _ = std::fs::remove_file(lab.folder().log("receiver"));
    let receiver = Program::new("south", [HELPER, "receive", &address, &count.to_string()]);
    lab.boxed().spawn("receiver", &receiver).unwrap();
    let said = |what: &str| {
        let log = std::fs::read_to_string(lab.folder().log("receiver")).unwrap_or_default();
        log.lines()
            .find(|line| line.starts_with(what))
            .map(str::to_owned)
    };
    let wait = |what: &str| loop {
        if let Some(line) = said(what) {
            return line;
        }
        let status = lab.boxed().status().unwrap();
        let receiver = status
            .processes
            .iter()
            .find(|p| p.name == "receiver")
            .unwrap();
        assert!(
            receiver.is_alive() || said(what).is_some(),
            "the receiver died"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    wait("ready");
    let [count, bytes, gap_us] = [count, bytes, gap_us].map(|n| n.to_string());
    let sender = Program::new("north", [HELPER, "send", &address, &count, &bytes, &gap_us]);
    lab.boxed().run(&sender).unwrap();
    serde_json::from_str(&wait("{")).unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap()
}

#[test]
fn sites_reach_each_other_over_ipv4_and_ipv6_with_the_round_trip_of_the_default() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    for target in ["10.20.2.2", "fd20:2::2", "10.20.3.2", "fd20:3::2"] {
        let times = pings(&lab, target, 9);
        assert!(times[0] > 30.5, "{target} answered too early: {times:?}");
        assert!(median(&times) < 50.0, "{target}: {times:?}");
    }
}

#[test]
fn a_gateway_is_near_and_answers_pings_and_takes_one_hop() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    for target in ["10.20.1.1", "fd20:1::1"] {
        assert!(median(&pings(&lab, target, 9)) < 15.0);
    }
    let output = lab
        .boxed()
        .run(&sh("north", "ping -n -c 1 10.20.2.2"))
        .unwrap();
    assert!(output.contains("ttl=63"), "{output}");
    assert!(
        !lab.boxed()
            .exec(&sh("north", "ping -c 1 -W 1 -t 1 10.20.2.2"))
            .unwrap()
            .end
            .success()
    );
    assert_eq!(
        lab.wan()
            .unwrap()
            .stats()
            .unwrap()
            .site("north")
            .unwrap()
            .drops
            .expired,
        1
    );
}

#[test]
fn each_direction_of_each_site_has_its_own_delay() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let mut wan = lab.wan().unwrap();
    wan.set_all(&Shaping {
        delay_ms: 0.0,
        ..Shaping::default()
    })
    .unwrap();
    let base = median(&pings(&lab, "10.20.2.2", 9));
    assert!(base < 20.0, "{base}");
    for (site, direction) in [("north", Direction::Up), ("south", Direction::Down)] {
        let delay = Change {
            delay_ms: Some(100.0),
            ..Change::default()
        };
        wan.set(&delay.clone().at(site).towards(direction)).unwrap();
        let times = pings(&lab, "10.20.2.2", 5);
        assert!(
            times[0] > 99.5 && median(&times) < 150.0,
            "{site} {direction:?}: {times:?}"
        );
        wan.set(
            &Change {
                delay_ms: Some(0.0),
                ..delay
            }
            .at(site)
            .towards(direction),
        )
        .unwrap();
    }
    wan.set(
        &Change {
            delay_ms: Some(100.0),
            ..Change::default()
        }
        .at("office"),
    )
    .unwrap();
    assert!(
        median(&pings(&lab, "10.20.2.2", 5)) < 50.0,
        "office is not on this path"
    );
}

#[test]
fn jitter_spreads_delays_and_keeps_the_order() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let jitter = Shaping {
        delay_ms: 10.0,
        jitter_ms: 5.0,
        ..Shaping::default()
    };
    lab.wan().unwrap().set_all(&jitter).unwrap();
    let times = pings(&lab, "10.20.2.2", 40);
    // Four draws of 10 ± 5 each: never below 20, and 40 of them are not all within 6.
    assert!(
        times[0] > 19.5 && times[times.len() - 1] - times[0] > 6.0,
        "{times:?}"
    );
    let tally = stream(&lab, 500, 100, 200);
    assert_eq!(number(&tally, "received"), 500);
    assert_eq!(
        (number(&tally, "reordered"), number(&tally, "duplicated")),
        (0, 0)
    );
}

#[test]
fn the_rate_bounds_what_comes_through_and_a_quarter_of_it_takes_four_times_as_long() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let mut lasted = Vec::new();
    for rate_mbit in [80.0, 20.0] {
        let shaping = Shaping {
            rate_mbit,
            queue_ms: 60_000.0,
            ..Shaping::default()
        };
        lab.wan().unwrap().set_all(&shaping).unwrap();
        // 600 packets of 1042 bytes with their headers: 62.5 or 250 ms on the line.
        let tally = stream(&lab, 600, 1000, 0);
        assert_eq!(number(&tally, "received"), 600);
        lasted.push(number(&tally, "lasted_us") as f64);
    }
    assert!(
        lasted[0] > 61_000.0 && lasted[1] > 245_000.0,
        "faster than the line: {lasted:?}"
    );
    let ratio = lasted[1] / lasted[0];
    assert!((1.5..6.0).contains(&ratio), "{ratio} instead of 4");
}

#[test]
fn a_queue_that_is_full_drops_the_rest_and_counts_it() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let mut wan = lab.wan().unwrap();
    let narrow = Shaping {
        rate_mbit: 1.0,
        queue_ms: 50.0,
        ..Shaping::default()
    };
    wan.set(&Change::all_to(&narrow).at("north").towards(Direction::Up))
        .unwrap();
    let tally = stream(&lab, 300, 1000, 0);
    let north = wan.stats().unwrap().site("north").unwrap().clone();
    assert!(north.up.dropped_queue > 0);
    assert_eq!(number(&tally, "received") + north.up.dropped_queue, 300);
    assert_eq!(north.up.backlog_bytes, 0, "all of it is through");
}

#[test]
fn loss_is_as_asked_and_every_packet_is_accounted_for() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let mut wan = lab.wan().unwrap();
    let loss = Change {
        loss: Some(0.2),
        ..Change::default()
    };
    wan.set(&loss.at("south").towards(Direction::Down)).unwrap();
    let tally = stream(&lab, 2000, 100, 50);
    let south = wan.stats().unwrap().site("south").unwrap().clone();
    let lost = south.down.dropped_loss;
    // ARP and the like pass by the same way, hence not exactly equal.
    let missing = 2000 - number(&tally, "received");
    assert!(
        missing <= lost && lost <= missing + 5,
        "{missing} missing, {lost} counted"
    );
    // Six standard deviations.
    assert!(
        (290..=510).contains(&lost),
        "{lost} of 2000 lost instead of 400"
    );
}

#[test]
fn tcp_stays_below_the_rate_and_its_checksums_are_right() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let bytes = 3_000_000;
    let before = lab.wan().unwrap().stats().unwrap();
    let script = format!(
        "until head -c {bytes} /dev/zero | {HELPER} tcp-send 10.20.2.2:7001; do sleep 0.05; done"
    );
    lab.boxed()
        .spawn(
            "sink",
            &Program::new("south", [HELPER, "tcp-count", "10.20.2.2:7001"]),
        )
        .unwrap();
    lab.boxed().run(&sh("north", &script)).unwrap();
    let log = lab.folder().log("sink");
    let counted = loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        match text.lines().next() {
            Some(line) if text.ends_with('\n') => break line.to_owned(),
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    assert_eq!(counted, bytes.to_string());
    let after = lab.wan().unwrap().stats().unwrap();
    let carried =
        after.site("south").unwrap().down.bytes - before.site("south").unwrap().down.bytes;
    assert!(
        carried > bytes,
        "real frames with their headers came through: {carried}"
    );
    let errors = lab
        .boxed()
        .run(&sh("south", "grep -A1 '^Tcp: Rto' /proc/net/snmp"))
        .unwrap();
    assert_eq!(
        errors.split_whitespace().last(),
        Some("0"),
        "InCsumErrors: {errors}"
    );
}

#[test]
fn a_site_that_loses_its_data_link_is_reached_by_the_other_at_once() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    // What a bond does: one MAC and one address on either link.
    for (site, number) in [("north", 1), ("south", 2)] {
        let script = format!(
            "set -e
            sysctl -qw net.ipv4.conf.all.arp_ignore=0
            for link in eth0 eth1; do
                sysctl -qw net.ipv4.conf.$link.arp_ignore=0
                ip link set $link down
                ip link set $link address 02:0a:00:00:0{number}:02 arp on up
            done
            ip addr add 10.10.{number}.2/32 dev lo
            for link in 0 1; do
                ip route add 10.10.{number}.1 dev eth$link metric $link src 10.10.{number}.2
                ip route add 10.10.0.0/16 via 10.10.{number}.1 dev eth$link onlink metric $link src 10.10.{number}.2
            done"
        );
        lab.boxed().run(&sh(site, &script)).unwrap();
    }
    pings(&lab, "10.10.2.2", 3);
    let sent = |link: usize| {
        lab.wan()
            .unwrap()
            .stats()
            .unwrap()
            .site("south")
            .unwrap()
            .ports[link]
            .sent
    };
    let (before_0, before_1) = (sent(0), sent(1));
    assert!(before_0 > 0);
    lab.boxed()
        .run(&sh("south", "ip link set eth0 down"))
        .unwrap();
    // Only packets towards south: it says nothing by itself on its other link.
    let quiet = "ping -n -q -c 5 -i 0.05 -W 1 10.10.2.2";
    lab.boxed()
        .run(&sh("south", "sysctl -qw net.ipv4.icmp_echo_ignore_all=1"))
        .unwrap();
    lab.boxed().exec(&sh("north", quiet)).unwrap();
    assert_eq!(sent(0), before_0, "nothing goes to a dead link");
    assert!(sent(1) >= before_1 + 5);
    lab.boxed()
        .run(&sh("south", "sysctl -qw net.ipv4.icmp_echo_ignore_all=0"))
        .unwrap();
    pings(&lab, "10.10.2.2", 3);
}

#[test]
fn nonsense_on_the_control_socket_gets_a_sentence_and_changes_nothing() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let mut wan = lab.wan().unwrap();
    let west = Change {
        loss: Some(0.5),
        ..Change::default()
    }
    .at("west");
    let said = wan.set(&west).unwrap_err().to_string();
    assert!(
        said.contains("no site west") && said.contains("north, south, office"),
        "{said}"
    );
    let negative = Change {
        delay_ms: Some(-1.0),
        loss: Some(0.5),
        ..Change::default()
    };
    assert!(
        wan.set(&negative)
            .unwrap_err()
            .to_string()
            .contains("use 0 to")
    );
    for site in wan.stats().unwrap().sites {
        assert_eq!(
            (site.up_shaping, site.down_shaping),
            (Shaping::default(), Shaping::default())
        );
    }
    let out = scratch.helper("set", &[r#"{"delay":5}"#]);
    assert!(!out.status.success());
}
