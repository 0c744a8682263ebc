//! A migration that is watched while it goes on, and what its end means.

mod support;

use model::event::What;
use model::migration::{Progress, State};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::Controller;
use support::fake::{Fake, migration, name};

/// A migration under way, and the controller that knows of it.
fn under_way() -> (Arc<Fake>, Controller) {
    let fake = Arc::new(Fake::default());
    fake.forget();
    *fake.current.lock().unwrap() = migration(State::PreCopy);
    let controller = Controller::of(fake.clone());
    (fake, controller)
}

fn start(controller: &Controller, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transhume"));
    command
        .args(arguments)
        .env(
            "TRANSHUME_API",
            format!("unix:{}", controller.socket.display()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

/// What it printed, what it complained, its exit code.
fn end(child: Child) -> (String, String, i32) {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().expect("no signal"),
    )
}

fn phase(name_of_phase: &str, message: &str) -> What {
    let (phase, message) = (name_of_phase.to_owned(), message.to_owned());
    What::Phase {
        migration: name("m-0001"),
        vm: None,
        phase,
        message,
    }
}

/// It ends like this, with these last words.
fn ends(fake: &Fake, state: State, message: &str) {
    let mut current = fake.current.lock().unwrap();
    current.state = state;
    current.message = message.to_owned();
    current.vms[0].figures.predicted_gap_ms = Some(148.0);
    current.vms[0].figures.wire_bytes = 61_500_000;
    drop(current);
    let message = message.to_owned();
    fake.tell(What::Ended {
        migration: name("m-0001"),
        arrived: state == State::Arrived,
        message,
    });
}

#[test]
fn a_watched_migration_tells_its_phases_numbers_and_figures() {
    let (fake, controller) = under_way();
    let child = start(
        &controller,
        &["migrate", "shop", "--to", "south", "--watch"],
    );
    fake.tell(phase("pre-copy", "Memory flows."));
    let progress = Progress {
        wire_bytes: 30_000_000,
        rate: 2.4e7,
        passes: 1,
        ready_in_ms: 4200.0,
        ..Progress::default()
    };
    fake.tell(What::Progress {
        migration: name("m-0001"),
        vm: name("shop-1"),
        progress,
    });
    fake.tell(phase("hold", "Waits for shop-1, the slowest."));
    // A watcher that hears of the end asks no more for what was before it.
    std::thread::sleep(Duration::from_secs(1));
    ends(&fake, State::Arrived, "Every VM runs at south.");
    let (text, errors, code) = end(child);
    assert_eq!(code, 0, "{errors}");
    for expected in [
        "0.5 s  pre-copy: Memory flows.",
        "30.0 MB sent, 24.0 MB/s, shop-1 ready in 4.2 s",
        "hold: Waits for shop-1, the slowest.",
        "predicted gap: 148.0 ms",
        "shop arrived at south after 111.5 ms, 61.5 MB on the wire. Every VM runs at south.",
        "148.0 ms",
        "-0.4 ms",
    ] {
        assert!(text.contains(expected), "'{expected}' is missing:\n{text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no escape sequences where nobody watches:\n{text}"
    );
}

#[test]
fn a_migration_that_went_back_is_a_failure_with_the_reason() {
    let (fake, controller) = under_way();
    let child = start(&controller, &["migration", "watch", "m-0001"]);
    fake.tell(phase("abort", "Everything goes back."));
    ends(
        &fake,
        State::Aborted,
        "shop-1 dirties more than the WAN carries.",
    );
    let (_, errors, code) = end(child);
    assert_eq!(code, 1);
    assert!(
        errors.starts_with("error: m-0001 is aborted: shop-1 dirties more than the WAN carries."),
        "{errors}"
    );
    assert!(errors.contains("Every VM runs at the source as before."));
}

#[test]
fn with_json_only_the_migration_as_it_ended_is_printed() {
    let (fake, controller) = under_way();
    let child = start(
        &controller,
        &["migrate", "shop", "--to", "south", "--watch", "-o", "json"],
    );
    ends(&fake, State::Arrived, "Every VM runs at south.");
    let (text, _, code) = end(child);
    let ended: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(code == 0 && ended["state"] == "arrived", "{text}");
}

#[test]
fn an_end_that_no_event_tells_is_noticed_all_the_same() {
    let (fake, controller) = under_way();
    let child = start(&controller, &["migration", "watch", "m-0001"]);
    fake.current.lock().unwrap().state = State::Arrived;
    assert_eq!(end(child).2, 0);
}

#[test]
fn who_stops_watching_is_told_that_the_migration_goes_on() {
    let (fake, controller) = under_way();
    let mut child = start(&controller, &["migration", "watch", "m-0001"]);
    fake.tell(phase("hold", "Waits."));
    // The first line says that it listens; then it is interrupted as a person would.
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
    let id = child.id().to_string();
    Command::new("kill")
        .args(["-INT", &id])
        .status()
        .expect("kill runs");
    let (_, errors, code) = end(child);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("m-0001 itself goes on"), "{errors}");
    assert!(
        errors.contains("transhume migration cancel m-0001"),
        "{errors}"
    );
}

#[test]
fn a_person_at_a_terminal_sees_a_bar_for_each_vm() {
    let (fake, controller) = under_way();
    let command = format!("{} migration watch m-0001", env!("CARGO_BIN_EXE_transhume"));
    let child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env(
            "TRANSHUME_API",
            format!("unix:{}", controller.socket.display()),
        )
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script (of Debian's package bsdutils) makes a terminal for the test");
    fake.tell(phase("hold", "Waits for shop-1."));
    ends(&fake, State::Arrived, "Every VM runs at south.");
    let (text, _, code) = end(child);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains('\u{1b}') && text.contains("shop-1") && text.contains('━'),
        "{text}"
    );
    assert!(text.contains("shop arrived at south"), "{text}");
}
