//! The box: nothing outside changes, nothing is left, and mistakes get a sentence.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use lab::boxed::{BoxHandle, End, Program};
use lab::folder::Folder;
use lab::process::ProcessId;
use nix::sys::signal::Signal;
use support::{HELPER, Scratch, Traces, sh};

/// Long enough for any machine; only ever waited for in full by a test that fails.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_lab_comes_and_goes_and_leaves_nothing() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let traces = Traces::of(&lab);
    let status = lab.boxed().status().unwrap();
    assert_eq!(status.namespaces, ["north", "office", "south", "wan"]);
    assert_eq!(status.processes.len(), 1);
    scratch.down();
    scratch.assert_nothing_left(&traces);
    scratch.down();
}

#[test]
fn nothing_outside_sees_the_labs_links_namespaces_or_mounts() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let links = lab.boxed().run(&sh("wan", "ls /sys/class/net")).unwrap();
    assert!(
        links.contains("north-0") && !links.contains("mgmt0"),
        "{links}"
    );
    for link in ["north-0", "office-m", "mgmt0"] {
        assert!(
            !std::path::Path::new("/sys/class/net").join(link).exists(),
            "{link}"
        );
    }
    for netns in ["north", "wan"] {
        assert!(
            !std::path::Path::new("/run/netns").join(netns).exists(),
            "{netns}"
        );
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/run/netns/north") && !mounts.contains("outside-proc"));
}

#[test]
fn a_killed_warden_takes_everything_along_and_down_clears_the_folder() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    // Daemons that have left their parents, too.
    lab.boxed()
        .run(&sh(
            "north",
            "setsid sleep 1000 & setsid setsid sleep 1000 &",
        ))
        .unwrap();
    while lab.boxed().outside_pids().len() < 4 {
        std::thread::yield_now();
    }
    let traces = Traces::of(&lab);
    let warden = lab.folder().warden().unwrap();
    assert!(warden.signal(Signal::SIGKILL).unwrap());
    for process in &traces.processes {
        assert!(
            process.wait_gone(LIMIT).unwrap(),
            "{process} outlived the warden"
        );
    }
    let second = scratch.helper("up", &[]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("remains"),
        "{said}"
    );
    scratch.down();
    scratch.assert_nothing_left(&traces);
}

#[test]
fn down_works_whatever_process_was_killed_or_stopped() {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        for victim in ["wan", "warden"] {
            let scratch = Scratch::new();
            let lab = scratch.up();
            let traces = Traces::of(&lab);
            let file = match victim {
                "warden" => lab.folder().warden_pid_file(),
                name => lab.folder().pid_file(name),
            };
            let victim = ProcessId::from_file(&file).unwrap();
            assert!(victim.signal(signal).unwrap());
            scratch.down();
            scratch.assert_nothing_left(&traces);
        }
    }
}

#[test]
fn down_clears_what_an_interrupted_up_left_at_any_moment() {
    for after_ms in [0, 1, 2, 3, 5, 8, 12, 20, 30, 50] {
        let scratch = Scratch::new();
        let mut up = Command::new(HELPER)
            .arg("up")
            .arg(scratch.folder())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        up.kill().unwrap();
        up.wait().unwrap();
        scratch.down();
        scratch.assert_nothing_left(&Traces::default());
    }
}

#[test]
fn a_box_whose_folder_is_removed_ends_by_itself() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let traces = Traces::of(&lab);
    std::fs::remove_dir_all(scratch.folder()).unwrap();
    for process in &traces.processes {
        assert!(
            process.wait_gone(LIMIT).unwrap(),
            "{process} is still there"
        );
    }
}

#[test]
fn a_box_whose_pid_file_is_gone_is_found_by_its_command_line() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let traces = Traces::of(&lab);
    std::fs::remove_file(lab.folder().warden_pid_file()).unwrap();
    scratch.down();
    scratch.assert_nothing_left(&traces);
}

#[test]
fn a_recycled_pid_in_the_record_is_not_killed() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    lab.folder()
        .warden()
        .unwrap()
        .signal(Signal::SIGKILL)
        .unwrap();
    let mut innocent = Command::new("sleep").arg("1000").spawn().unwrap();
    let id = ProcessId::of(innocent.id() as i32).unwrap();
    let stale = ProcessId {
        start: id.start - 1,
        ..id
    };
    std::fs::write(lab.folder().warden_pid_file(), stale.to_string()).unwrap();
    scratch.down();
    assert!(id.is_alive());
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[test]
fn a_second_lab_in_the_same_folder_is_refused_with_the_way_out() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let second = scratch.helper("up", &[]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(
        said.contains("already exists") && said.contains("lab down"),
        "{said}"
    );
    assert!(
        lab.boxed().status().is_ok(),
        "the first lab stands as before"
    );
}

#[test]
fn two_labs_in_two_folders_stand_side_by_side() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let (first, second) = (one.up(), two.up());
    let count = |lab: &lab::testbed::Testbed| lab.boxed().status().unwrap().namespaces.len();
    assert_eq!((count(&first), count(&second)), (4, 4));
    one.down();
    assert_eq!(count(&second), 4);
}

#[test]
fn an_ordinary_user_needs_nothing_more_than_namespaces() {
    assert!(
        nix::unistd::geteuid().is_root() && lab_has("setpriv"),
        "this test needs root and setpriv, to become an ordinary user"
    );
    let scratch = Scratch::new();
    // The build folder may not be open to everybody.
    let helper = scratch.root().join("helper");
    std::fs::copy(HELPER, &helper).unwrap();
    let home = scratch.root().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    for open in [scratch.root(), &helper] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let folder = home.join("lab");
    let run = |words: &[&str]| {
        let user = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--reset-env",
        ];
        Command::new("setpriv")
            .args(user)
            .arg(&helper)
            .args(words)
            .output()
            .unwrap()
    };
    let folder = folder.to_str().unwrap();
    let up = run(&["up", folder]);
    let stats = run(&["exec", folder, "north", "ping", "-c1", "10.20.2.2"]);
    let warden = Folder::locate(Some(folder.as_ref())).unwrap().warden();
    let end = run(&["down", folder]);
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    assert!(
        stats.status.success(),
        "{}",
        String::from_utf8_lossy(&stats.stderr)
    );
    assert!(
        end.status.success(),
        "{}",
        String::from_utf8_lossy(&end.stderr)
    );
    assert!(!warden.unwrap().is_alive());
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
}

fn lab_has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn a_lab_below_run_stays_visible_inside() {
    if std::fs::create_dir_all("/run/lab-test").is_err() {
        panic!("this test needs to write below /run (run it as root)");
    }
    let root = tempfile::Builder::new()
        .tempdir_in("/run/lab-test")
        .unwrap();
    let folder = root.path().join("lab");
    let up = Command::new(HELPER)
        .arg("up")
        .arg(&folder)
        .output()
        .unwrap();
    let down = Command::new(HELPER)
        .arg("down")
        .arg(&folder)
        .output()
        .unwrap();
    drop(root);
    let _ = std::fs::remove_dir("/run/lab-test");
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
}

#[test]
fn programs_run_in_their_namespace_with_input_output_and_exit_code() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let program = sh(
        "south",
        "cat; ip -o -4 addr show mgmt0; echo oops >&2; exit 7",
    );
    let output = lab.boxed().exec_with_input(&program, b"hello\n").unwrap();
    assert_eq!(output.end, End::Code(7));
    assert!(output.text().starts_with("hello\n") && output.text().contains("10.20.2.2/24"));
    assert_eq!(output.stderr, b"oops\n");
    let output = lab
        .boxed()
        .exec(&sh("south", "echo $COLOUR").env("COLOUR", "blue"))
        .unwrap();
    assert_eq!(output.text(), "blue\n");
    let output = lab.boxed().exec(&sh("south", "kill -9 $$")).unwrap();
    assert_eq!(output.end, End::Signal(9));
}

#[test]
fn a_program_that_cannot_run_gets_a_sentence() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let refused = |program: &Program| lab.boxed().exec(program).unwrap_err().to_string();
    let missing = refused(&Program::new("north", ["no-such-program"]));
    assert!(
        missing.contains("no-such-program") && missing.contains("install"),
        "{missing}"
    );
    let nowhere = refused(&Program::new("west", ["true"]));
    assert!(nowhere.contains("no namespace west"), "{nowhere}");
    let outside = refused(&Program::new("../../proc/1/ns/net", ["true"]));
    assert!(outside.contains("cannot be a name"), "{outside}");
    let twice = lab.boxed().netns_add("north").unwrap_err().to_string();
    assert!(twice.contains("already"), "{twice}");
}

#[test]
fn supervised_processes_are_listed_logged_killed_and_may_be_started_again() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let program = sh("office", "echo started; exec sleep 1000");
    let started = lab.boxed().spawn("sleeper", &program).unwrap();
    let outside = started.outside.expect("the pid outside is known");
    assert!(outside.is_alive());
    assert_eq!(
        ProcessId::from_file(&lab.folder().pid_file("sleeper")),
        Some(outside)
    );
    let twice = lab
        .boxed()
        .spawn("sleeper", &program)
        .unwrap_err()
        .to_string();
    assert!(twice.contains("runs already"), "{twice}");
    lab.boxed().kill("sleeper", Signal::SIGKILL).unwrap();
    assert!(outside.wait_gone(LIMIT).unwrap());
    let status = |handle: &BoxHandle| {
        let all = handle.status().unwrap().processes;
        all.into_iter().find(|p| p.name == "sleeper").unwrap()
    };
    while status(lab.boxed()).is_alive() {
        std::thread::yield_now();
    }
    assert_eq!(status(lab.boxed()).end, Some(End::Signal(9)));
    assert!(!lab.folder().pid_file("sleeper").exists());
    lab.boxed().kill("sleeper", Signal::SIGKILL).unwrap();
    lab.boxed().spawn("sleeper", &program).unwrap();
    let unknown = lab
        .boxed()
        .kill("nobody", Signal::SIGTERM)
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("no process nobody"), "{unknown}");
}

#[test]
fn a_program_whose_caller_dies_is_ended() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let marker = scratch.root().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", marker.display());
    let mut caller = Command::new(HELPER)
        .arg("exec")
        .arg(scratch.folder())
        .args(["north", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let inside = loop {
        match std::fs::read_to_string(&marker)
            .ok()
            .and_then(|t| t.trim().parse::<i32>().ok())
        {
            Some(pid) => break pid,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert!(lab.boxed().status().unwrap().all_pids.contains(&inside));
    caller.kill().unwrap();
    caller.wait().unwrap();
    while lab.boxed().status().unwrap().all_pids.contains(&inside) {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::remove_file(&marker).unwrap();
}

#[test]
fn a_daemon_that_keeps_its_output_open_does_not_hold_its_starter() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let output = lab
        .boxed()
        .exec(&sh("north", "setsid sleep 1000 & echo done"))
        .unwrap();
    assert_eq!(output.text(), "done\n");
}

#[test]
fn a_person_can_enter_a_site_from_outside() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let program = sh(
        "north",
        "id -u; hostname; ip -o -4 addr show mgmt0; ls /sys/class/net",
    );
    let output = lab.boxed().nsenter(&program).unwrap().output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.starts_with("0\ntranshume-lab\n") && text.contains("10.20.1.2/24"),
        "{text}"
    );
}

/// Runs `lab up` inside a lab, whose root may spoil things that a test may not spoil outside.
fn up_inside(lab: &lab::testbed::Testbed, spoil: &str, folder: &str) -> String {
    let script = format!("{spoil} && exec {HELPER} up {folder}");
    let apart = ["unshare", "--mount", "sh", "-c", &script];
    let output = lab.boxed().exec(&Program::new("north", apart)).unwrap();
    assert_eq!(
        output.end,
        End::Code(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_host_without_user_namespaces_or_space_is_told_the_way_out_and_left_as_it_was() {
    let scratch = Scratch::new();
    let lab = scratch.up();
    let folder = scratch.root().join("inner");
    let inner = folder.to_str().unwrap();
    let said = up_inside(&lab, "echo 0 > /proc/sys/user/max_user_namespaces", inner);
    assert!(
        said.contains("user namespaces") && said.contains("sysctl"),
        "{said}"
    );
    assert!(!folder.exists());
    let said = up_inside(&lab, "mount -t tmpfs -o size=1m tmpfs /mnt", "/mnt/lab");
    assert!(said.contains("make room"), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}
