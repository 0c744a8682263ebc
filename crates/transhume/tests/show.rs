//! What people and programs read.

mod support;

use serde_json::Value;
use support::Controller;

const LISTS: [&[&str]; 17] = [
    &["cluster", "list"],
    &["cluster", "security", "shop", "shop-1"],
    &["cluster", "show", "shop"],
    &["vm", "list"],
    &["endpoint", "list"],
    &["host", "list"],
    &["site", "list"],
    &["topology"],
    &["flows", "north-1"],
    &["trace", "shop/shop-1", "shop/shop-2", "--both"],
    &["topology", "--rates", "0.2"],
    &["plan", "shop", "--to", "south"],
    &["migration", "list"],
    &["migration", "show", "m-0001"],
    &["migrate", "shop", "--to", "south"],
    &["lisp", "site", "list"],
    &["lisp", "mapping", "list"],
];

#[test]
fn every_answer_fits_80_columns_without_trailing_blanks() {
    let controller = Controller::start();
    for arguments in LISTS {
        let text = controller.says(arguments);
        for line in text.lines() {
            let width = line.chars().count();
            assert!(
                width <= 80 && !line.ends_with(' '),
                "{arguments:?} has {width}:\n{text}"
            );
        }
    }
}

#[test]
fn every_answer_is_json_when_asked_for() {
    let controller = Controller::start();
    for arguments in LISTS {
        let text = controller.says(&[arguments, &["-o", "json"]].concat());
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(value.is_array() || value.is_object(), "{arguments:?}");
    }
}

#[test]
fn a_cluster_is_shown_with_the_place_of_every_member() {
    let controller = Controller::start();
    let text = controller.says(&["cluster", "show", "shop"]);
    assert!(
        text.starts_with("shop: geneve network 7, MTU 1450, at north, moved by m-0001\n"),
        "{text}"
    );
    assert!(text.contains("shop-1") && text.contains("VM running") && text.contains("fd77::1/64"));
    assert!(
        text.contains("gate") && text.contains("host itself"),
        "{text}"
    );
}

#[test]
fn sites_are_also_found_under_the_name_of_clouds() {
    let controller = Controller::start();
    assert_eq!(
        controller.says(&["cloud", "list"]),
        controller.says(&["site", "list"])
    );
}

#[test]
fn events_that_were_kept_are_a_line_each() {
    let controller = Controller::start();
    let text = controller.says(&["events"]);
    assert_eq!(text.lines().count(), 7);
    assert!(text.contains("m-0001 hold: Waits for shop-2."), "{text}");
    let text = controller.says(&["events", "-o", "json", "--migration", "m-0001"]);
    let seqs: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seqs, [4, 5, 7]);
}

#[test]
fn a_shown_cluster_can_be_applied_again_from_json_and_a_new_one_from_toml() {
    let controller = Controller::start();
    let json = controller.says(&["cluster", "show", "shop", "-o", "json"]);
    let file = controller.home.path().join("shop.json");
    std::fs::write(&file, json).unwrap();
    let said = controller.says(&["cluster", "apply", file.to_str().unwrap()]);
    assert_eq!(said, "Cluster 'shop' stands: 3 members, MTU 1450.\n");
    let toml = "name = 'two'\n[[members]]\nname = 'gate'\nhost = 'north-1'\nkind = 'host'\n\
                mac = '02:00:00:00:00:01'\naddresses = ['10.1.0.1/24']\n";
    let applied = controller
        .ask(&["cluster", "apply", "-"])
        .write_stdin(toml)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&applied.stdout),
        "Cluster 'two' stands: 1 members, MTU 1450.\n"
    );
}

#[test]
fn a_host_becomes_a_member_by_name_and_address_alone() {
    let controller = Controller::start();
    let said = controller.says(&[
        "link",
        "shop",
        "gate",
        "--host",
        "north-1",
        "--address",
        "10.77.0.9/24",
    ]);
    assert!(
        said.starts_with("'gate' of cluster 'shop' is reached at north-1 (192.0.2.10)"),
        "{said}"
    );
    let said = controller.says(&["unlink", "shop", "gate"]);
    assert_eq!(said, "'gate' is no member of 'shop' any more.\n");
}

#[test]
fn a_migration_that_is_over_is_told_from_its_events() {
    let controller = Controller::start();
    let text = controller.says(&["migration", "watch", "m-0001"]);
    assert!(text.contains("hold: Waits for shop-2."), "{text}");
    assert!(
        text.contains("shop arrived at south after 111.5 ms"),
        "{text}"
    );
    assert!(text.contains("PREDICTED"), "{text}");
}

#[test]
fn the_join_token_is_shown() {
    let controller = Controller::start();
    assert!(controller.says(&["host", "join-token"]).contains("secret"));
}

#[test]
fn security_rules_are_shown_and_replaced_in_the_same_words() {
    let controller = Controller::start();
    let member = ["cluster", "security", "shop", "shop-1"];
    assert_eq!(
        controller.says(&member),
        "ingress tcp 80 from 10.77.0.0/24\n"
    );
    let allow = [
        "--allow",
        "ingress icmp from members",
        "--allow",
        "egress any",
    ];
    let said = controller.says(&[&member[..], &allow].concat());
    assert_eq!(said, "ingress icmp from members\negress any to any\n");
    let said = controller.says(&[&member[..], &["--open"]].concat());
    assert!(said.contains("open to its network"), "{said}");
}

#[test]
fn a_lisp_sites_secret_goes_in_from_a_file_or_stdin_and_never_comes_out() {
    let fake = std::sync::Arc::new(support::fake::Fake::default());
    let controller = Controller::of(fake.clone());
    let file = controller.home.path().join("branch.key");
    std::fs::write(&file, "not to be seen\n").unwrap();
    let add = |key: &str| {
        let site = ["lisp", "site", "add", "branch", "--id", "9"];
        let rest = ["--prefix", "[7]10.2.0.0/16", "--key-file", key];
        controller.ask(&[&site[..], &rest[..]].concat())
    };
    let said = add(file.to_str().unwrap()).output().unwrap();
    let piped = add("-").write_stdin("not to be seen\n").output().unwrap();
    for output in [said, piped] {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("branch") && text.contains("[7]10.2.0.0/16"),
            "{text}"
        );
        assert!(!text.contains("seen"), "{text}");
    }
    let keys = fake.lisp_keys.lock().unwrap();
    let secrets: Vec<&str> = keys.iter().map(|key| key.secret.as_str()).collect();
    assert_eq!(secrets, ["not to be seen"; 2]);
    let empty = support::fails(add("-").write_stdin(""));
    assert!(empty.0 == 2 && empty.1.contains("no secret"), "{}", empty.1);
}

#[test]
fn a_lisp_mapping_is_set_with_its_locators_and_removed() {
    let controller = Controller::start();
    let said = controller.says(&[
        "lisp",
        "mapping",
        "add",
        "[7]10.9.0.0/24",
        "--locator",
        "192.0.2.10",
        "--locator",
        "192.0.2.11,2,50",
        "--ttl",
        "30",
    ]);
    assert!(
        said.contains("[7]10.9.0.0/24") && said.contains("by hand"),
        "{said}"
    );
    assert!(
        said.contains("192.0.2.11,2,50") && said.contains("30 min"),
        "{said}"
    );
    let said = controller.says(&["lisp", "mapping", "remove", "[7]10.9.0.0/24"]);
    assert_eq!(said, "The mapping of [7]10.9.0.0/24 is gone.\n");
}

#[test]
fn rules_say_what_they_are_for_and_what_differs() {
    let controller = Controller::start();
    let text = controller.says(&["flows", "north-1", "--rates", "1"]);
    assert!(
        text.starts_with("north-1: 1 rules, 1 missing, 1 changed\ntable 30\n"),
        "{text}"
    );
    assert!(
        text.contains("   100  tunnel to south-1 for shop-2 of shop  << changed\n"),
        "{text}"
    );
    assert!(
        text.contains("asked for: drop") && text.contains("2.5 packets/s, 2.0 kbit/s"),
        "{text}"
    );
}

#[test]
fn a_trace_tells_the_way_and_ends_with_a_sentence() {
    let controller = Controller::start();
    let text = controller.says(&[
        "trace",
        "shop/shop-1",
        "fd77::2",
        "--proto",
        "tcp",
        "--port",
        "80",
    ]);
    assert!(text.contains("1. north-1, at the port of shop-1"), "{text}");
    assert!(
        text.contains("    -> tunnel to 192.0.2.20\n2. south-1"),
        "{text}"
    );
    assert!(
        text.ends_with("=> Delivered to shop/shop-2 on south-1.\n"),
        "{text}"
    );
}

#[test]
fn the_topology_is_drawn_for_graphviz_and_nothing_else_is() {
    let controller = Controller::start();
    let text = controller.says(&["topology", "-o", "dot"]);
    assert!(
        text.starts_with("digraph topology {") && text.contains("\"north-1\" -> "),
        "{text}"
    );
    let output = controller
        .ask(&["host", "list", "-o", "dot"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = controller.ask(&["flows", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}
