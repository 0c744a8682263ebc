//! What is typed wrong, and what does not answer: one clear sentence and a stable exit code.

mod support;

use support::{Controller, fails, transhume};

#[test]
fn help_teaches_with_examples_at_every_level() {
    let home = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        let output = transhume(home.path())
            .args(arguments)
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = help(&[]);
    assert!(first.contains("transhume migrate shop --to south --watch"));
    assert!(first.contains("Exit codes:"));
    assert!(help(&["migrate"]).contains("--max-gap-ms"));
    assert!(help(&["cluster", "apply"]).contains("[[members]]"));
    assert!(help(&["lab"]).contains("transhume lab down"));
    assert!(help(&["decode", "openflow"]).contains("--reencode"));
    assert!(
        !help(&["lab"]).contains("inside"),
        "hidden commands stay hidden"
    );
}

#[test]
fn what_cannot_be_understood_is_wrong_usage() {
    let home = tempfile::tempdir().unwrap();
    let wrong: [&[&str]; 14] = [
        &["agent", "--host", "north-1"],
        &["agent", "--config", "/nonexistent.toml"],
        &["serve", "--listen", "nowhere"],
        &[],
        &["migrte"],
        &["migrate", "shop"],
        &["migrate", "Shop!", "--to", "south"],
        &["migrate", "shop", "--to", "south", "--order", "never"],
        &["migrate", "shop", "--to", "south", "--max-gap-ms", "-1"],
        &["link", "shop"],
        &["link", "shop", "gate", "--host", "north-1"],
        &["cluster", "list", "-o", "xml"],
        &["cluster", "list", "--api", "http://127.0.0.1"],
        &["cluster", "list", "--api", "https://127.0.0.1"],
    ];
    for arguments in wrong {
        let (code, stderr) = fails(transhume(home.path()).args(arguments));
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty());
    }
}

#[test]
fn no_controller_is_said_with_what_to_start() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = ["--api", "unix:/nonexistent/api.sock"];
    let (code, stderr) = fails(
        transhume(home.path())
            .args(["cluster", "list"])
            .args(nowhere),
    );
    assert_eq!(code, 5);
    assert!(
        stderr.starts_with(
            "error: no controller answers at unix:/nonexistent/api.sock; start one with \
             `transhume serve`, or a lab with `transhume lab up`"
        ),
        "{stderr}"
    );
}

#[test]
fn the_labs_controller_is_found_in_its_folder() {
    let controller = Controller::start();
    let mut command = transhume(controller.home.path());
    command
        .env("TRANSHUME_LAB", controller.home.path())
        .args(["cluster", "list"]);
    assert!(String::from_utf8_lossy(&command.output().unwrap().stdout).contains("shop"));
}

#[test]
fn each_kind_of_problem_has_its_exit_code() {
    let controller = Controller::start();
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["cluster", "show", "shpo"],
            3,
            "error: There is no cluster 'shpo'.\n       See the clusters",
        ),
        (
            &["vm", "list", "--cluster", "shpo"],
            3,
            "There is no cluster 'shpo'.",
        ),
        (
            &["migration", "watch", "m-9999"],
            3,
            "There is no migration 'm-9999'.",
        ),
        (
            &["migrate", "shop", "--to", "north"],
            4,
            "Cluster 'shop' is at 'north' already.",
        ),
        (
            &["update", "shop", "gate", "--to", "south-1"],
            4,
            "Move the cluster with",
        ),
        (&["unlink", "shop", "boom"], 1, "The controller failed"),
    ];
    for (arguments, expected, sentence) in cases {
        let (code, stderr) = fails(&mut controller.ask(arguments));
        assert_eq!(code, expected, "{arguments:?}: {stderr}");
        assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
    }
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let controller = Controller::start();
    let (_, stderr) = fails(&mut controller.ask(&["cluster", "show", "shpo", "-o", "json"]));
    let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["exit"], 3);
    assert_eq!(error["detail"], "There is no cluster 'shpo'.");
}

#[test]
fn a_description_that_is_wrong_is_refused_before_anything_happens() {
    let controller = Controller::start();
    let missing = fails(&mut controller.ask(&["cluster", "apply", "/nonexistent.toml"]));
    assert!(
        missing.0 == 2 && missing.1.contains("cannot read /nonexistent.toml"),
        "{}",
        missing.1
    );
    let member = |name: &str, mac: &str| {
        format!(
            "[[members]]\nname = '{name}'\nhost = 'north-1'\nkind = 'host'\n\
             mac = '02:00:00:00:00:{mac}'\naddresses = ['10.1.0.1/24']\n"
        )
    };
    let twice = format!("name = 'two'\n{}{}", member("a", "01"), member("b", "02"));
    let misspelt = format!("name = 'two'\nencpa = 'gre'\n{}", member("a", "01"));
    let cases = [
        ("name = ", "stdin is not TOML"),
        ("{", "stdin is not JSON"),
        ("vni = 1", "- has no name"),
        (
            twice.as_str(),
            "Members 'a' and 'b' have the same address 10.1.0.1.",
        ),
        (misspelt.as_str(), "'encpa', which means nothing here"),
    ];
    for (text, sentence) in cases {
        let (code, stderr) = fails(controller.ask(&["cluster", "apply", "-"]).write_stdin(text));
        assert_eq!(code, 2, "{text}: {stderr}");
        assert!(stderr.contains(sentence), "{text}: {stderr}");
    }
}

#[test]
fn completion_scripts_are_printed() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = transhume(home.path())
            .args(["completion", shell])
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("topology"),
            "{shell}"
        );
    }
}
