//! Reports from end to end: from a made-up run to JSON, its schema, its documentation, the page
//! and the table.

#[path = "support/sample.rs"]
mod sample;
#[path = "support/schema.rs"]
mod schema;

use measure::report::{Report, SCHEMA};
use measure::{html, table};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn schema_file() -> Value {
    serde_json::from_str(include_str!("../schema/report-1.json")).expect("the schema is JSON")
}

#[test]
fn a_gang_there_and_back_is_told_as_it_was() {
    let report = sample::report();
    assert_eq!(report.schema, SCHEMA);
    assert_eq!(report.migrations.len(), 2);
    let there = &report.migrations[0];
    assert_eq!((there.from.as_str(), there.to.as_str()), ("north", "south"));
    assert_eq!(
        (there.kind.as_str(), there.order.as_str()),
        ("live", "before-stop")
    );
    let vm = &there.vms[0];
    assert_eq!(
        (vm.udp_lost, vm.udp_duplicated, vm.tcp_sessions, vm.tcp_lost),
        (0, 0, 2, 0)
    );
    assert_eq!(vm.udp_sent, 16_200, "32.4 s at 2 ms");
    assert_eq!(vm.stop_at_ms, Some(30_100.0));
    // The last packet that is answered by the source arrives 5 ms before the stop at 34 100 ms,
    // the first reply of the target leaves at 34 318 ms.
    let gap = vm.network_downtime_ms.expect("a gap");
    assert!((221.0..227.0).contains(&gap), "{gap}");
    assert_eq!((vm.switch_udp_lost, vm.switch_gap_ms), (Some(0), Some(gap)));
    assert!(
        vm.gap_at_ms.is_some_and(|at| (at - 30_094.0).abs() < 3.0),
        "{:?}",
        vm.gap_at_ms
    );
    assert!(vm.baseline.longest_ms < 3.5 && vm.baseline.intervals > 7_000);
    let plot = vm.plot.as_ref().expect("a plot");
    let (first, last) = (plot.packets.first().unwrap(), plot.packets.last().unwrap());
    assert!(first.sent_ms < 29_810.0 && last.sent_ms > 30_600.0);
    assert!(plot.packets.iter().all(|packet| packet.rtt_ms.is_some()));
    assert_eq!(report.whole[3].udp_sent, 40_000);
}

#[test]
fn a_report_survives_json_and_fits_its_schema() {
    let report = sample::report();
    let text = report.to_json().expect("it is written");
    // Not assert_eq: nobody could read two whole reports.
    assert!(Report::from_json(&text).expect("it is read") == report);
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let faults = schema::faults(&schema_file(), &value);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_schema_refuses_what_the_types_refuse() {
    let good: Value = serde_json::from_str(&sample::report().to_json().unwrap()).unwrap();
    let spoil = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path)
            .unwrap_or_else(|| panic!("{path} is there")) = value;
        bad
    };
    for (path, value) in [
        ("/schema", json!("transhume-report/2")),
        ("/migrations/0/total_ms", json!("long")),
        ("/migrations/0/vms/0/udp_lost", json!(-1)),
        ("/migrations/0/vms/0/udp_lost", Value::Null),
        (
            "/migrations/0/phases/0",
            json!({"name": "hold", "vm": null}),
        ),
        ("/link_ms", json!([1.0, null])),
        ("/wan", json!(31)),
    ] {
        let bad = spoil(path, value);
        assert!(
            !schema::faults(&schema_file(), &bad).is_empty(),
            "schema takes {path}"
        );
        assert!(
            Report::from_json(&bad.to_string()).is_err(),
            "types take {path}"
        );
    }
}

/// Every property of every object of the schema, by name.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(own) = schema.get("properties").and_then(Value::as_object) {
        found.extend(own.keys().cloned());
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| properties(value, found)),
        Value::Array(list) => list.iter().for_each(|value| properties(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented_and_every_documented_field_exists() {
    let mut known = BTreeSet::new();
    properties(&schema_file(), &mut known);
    let text = include_str!("../../../docs/report-schema.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name.trim_end_matches("[]").to_owned())
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_shows_every_vm() {
    let report = sample::report();
    let page = html::render(&report);
    // For people: cargo's folder for files of tests.
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    report
        .save(&folder.join("report.json"))
        .expect("it is written");
    for foreign in [
        "http:", "https:", "src=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!page.contains(foreign), "the page holds {foreign}");
    }
    for vm in sample::VMS {
        assert!(page.contains(&format!("Packets of {vm} around its switchover")));
    }
    assert!(!page.contains("NaN") && !page.contains("inf"));
    for tag in [
        "section", "svg", "table", "figure", "div", "ul", "tr", "td", "main", "text", "rect",
    ] {
        let opened =
            page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        let empty = page
            .matches(&format!(
                "<{tag} class=\"gap\" width=\"12\" height=\"12\"/>"
            ))
            .count();
        let keys = if tag == "rect" {
            page.matches("width=\"12\" height=\"12\"/>").count()
        } else {
            empty
        };
        assert_eq!(
            opened - keys,
            page.matches(&format!("</{tag}>")).count(),
            "<{tag}>"
        );
    }
}

#[test]
fn names_in_a_report_cannot_inject_anything_into_the_page() {
    let mut report = sample::report();
    let evil = "<script>alert('x')</script>";
    report.title = evil.to_owned();
    report.notes = vec![evil.to_owned()];
    report.migrations[0].cluster = evil.to_owned();
    report.migrations[0].vms[0].name = evil.to_owned();
    report.migrations[0].phases[0].name = evil.to_owned();
    report.figures[0].unit = evil.to_owned();
    report.figures[0].name = evil.to_owned();
    assert!(!html::render(&report).contains("<script"));
}

#[test]
fn an_empty_report_and_one_without_measurements_still_make_a_page_and_a_table() {
    let text = r#"{"schema":"transhume-report/1","wan":{},"migrations":[{"cluster":"a","from":"b","to":"c",
        "kind":"live","total_ms":0,"phases":[],"vms":[{"name":"v","vcpu_downtime_ms":null,
        "network_downtime_ms":null,"rule_switch_ms":null,"udp_sent":0,"udp_lost":0,"udp_duplicated":0,
        "tcp_sessions":0,"tcp_lost":0,"bytes_moved":0}]}],"link_ms":[],"update_ms":[]}"#;
    let bare = Report::from_json(text).expect("only the required fields");
    for report in [bare, Report::new("", Default::default())] {
        assert!(html::render(&report).ends_with("</html>\n"));
        assert!(table::render(&report).starts_with("Transhume report\n"));
    }
}

#[test]
fn the_table_fits_80_columns_whatever_the_numbers() {
    let mut report = sample::report();
    let fits = |report: &Report| {
        for line in table::render(report).lines() {
            assert!(line.chars().count() <= table::WIDTH, "{line}");
        }
    };
    fits(&report);
    println!("{}", table::render(&report));
    let vm = &mut report.migrations[0].vms[0];
    vm.name = "a-very-long-name-of-a-virtual-machine".to_owned();
    vm.udp_sent = u64::MAX / 2;
    vm.udp_lost = 123_456_789;
    vm.udp_duplicated = 1_234;
    vm.network_downtime_ms = Some(1e12);
    vm.bytes_moved = 999_999_999_999;
    report.notes = vec!["word ".repeat(100), "x".repeat(200)];
    fits(&report);
}
