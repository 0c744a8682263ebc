//! What decides when a migration may go, and how it is steered.

mod support;

use model::migration::Switch;
use support::{Controller, fails, fake};

#[test]
fn a_migration_is_asked_for_with_priority_window_rate_and_way_to_switch() {
    let service = std::sync::Arc::new(fake::Fake::default());
    let controller = Controller::of(service.clone());
    controller.says(&[
        "migrate",
        "shop",
        "--to",
        "south",
        "--priority",
        "-3",
        "--window",
        "22:00/04:00",
        "--rate",
        "80",
        "--switch",
        "together",
    ]);
    let journeys = service.journeys.lock().unwrap();
    let options = &journeys[0].2;
    assert_eq!((options.priority, options.bandwidth_mbit), (-3, 80.0));
    assert_eq!(options.window.unwrap().to_string(), "22:00/04:00");
    assert_eq!(options.switch, Some(Switch::Together));
}

#[test]
fn a_window_that_is_none_is_wrong_usage_with_the_way_to_write_one() {
    let controller = Controller::start();
    let asked = ["migrate", "shop", "--to", "south", "--window", "tonight"];
    let (code, stderr) = fails(&mut controller.ask(&asked));
    assert_eq!(code, 2);
    assert!(stderr.contains("22:00/04:00"), "{stderr}");
}

#[test]
fn the_plan_shows_what_either_way_to_switch_costs() {
    let text = Controller::start().says(&["plan", "shop", "--to", "south"]);
    let row = |way: &str| {
        let row = text.lines().find(|line| line.contains(way));
        row.unwrap_or_else(|| panic!("no {way} in\n{text}"))
            .to_owned()
    };
    let together = row("together");
    assert!(
        together.contains("90.0 ms") && together.contains("40.0 ms"),
        "{text}"
    );
    let each = row("one-by-one");
    assert!(each.contains("→") && each.contains("220.0 ms"), "{text}");
    assert!(each.contains("shop-1 then shop-2"), "{text}");
}

#[test]
fn a_pause_is_shown_with_the_way_to_go_on() {
    let controller = Controller::start();
    let text = controller.says(&["migration", "pause", "m-0001"]);
    assert!(text.contains("m-0001 is paused, in pre-copy"), "{text}");
    assert!(text.contains("transhume migration resume m-0001"), "{text}");
    let text = controller.says(&["migration", "resume", "m-0001"]);
    assert!(text.starts_with("m-0001 goes on"), "{text}");
}

#[test]
fn a_paused_migration_is_shown_as_paused() {
    let service = std::sync::Arc::new(fake::Fake::default());
    service.current.lock().unwrap().paused = true;
    let controller = Controller::of(service);
    let text = controller.says(&["migration", "show", "m-0001"]);
    assert!(text.contains("paused, arrived"), "{text}");
}

#[test]
fn limits_are_changed_part_by_part() {
    let controller = Controller::start();
    let text = controller.says(&[
        "limits",
        "set",
        "--uplink",
        "2",
        "--uplink",
        "north-1=none",
        "--site-mbit",
        "south=150",
        "--window",
        "south=22:00/23:00",
        "--window",
        "south=02:00/04:00",
    ]);
    for line in [
        "each uplink",
        "uplink of north-1",
        "site south",
        "22:00/23:00",
        "02:00/04:00",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    controller.says(&["limits", "set", "--controller", "8", "--no-window", "south"]);
    let text = controller.says(&["limits", "show", "-o", "json"]);
    let limits: model::limits::Limits = serde_json::from_str(&text).unwrap();
    assert_eq!(limits.controller.at_once, Some(8));
    assert_eq!(limits.uplink.at_once, Some(2));
    assert_eq!(limits.uplinks.values().next().unwrap().at_once, None);
    assert_eq!(limits.sites.values().next().unwrap().mbit, Some(150.0));
    assert!(limits.windows.is_empty());
    controller.says(&["limits", "set", "--reset"]);
    let text = controller.says(&["limits", "show", "-o", "json"]);
    let limits: model::limits::Limits = serde_json::from_str(&text).unwrap();
    assert_eq!(limits, model::limits::Limits::default());
    let (code, stderr) = fails(&mut controller.ask(&["limits", "set"]));
    assert_eq!(code, 2, "{stderr}");
}
