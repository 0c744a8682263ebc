//! The tunnel router as a program: starts in a namespace, shows what it does, ends on a signal.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{fails, transhume};

#[test]
fn a_router_without_or_with_a_wrong_configuration_says_what_to_write() {
    let home = tempfile::tempdir().unwrap();
    let (code, stderr) = fails(transhume(home.path()).arg("xtr"));
    assert_eq!(code, 2);
    assert!(stderr.contains("--config"), "{stderr}");
    let file = home.path().join("xtr.toml");
    std::fs::write(&file, "rlocs = []\ninstances = []\nmisspelt = 1\n").unwrap();
    let (code, stderr) = fails(transhume(home.path()).args(["xtr", "--config"]).arg(&file));
    assert_eq!(code, 2);
    assert!(stderr.contains("misspelt"), "{stderr}");
    let (code, stderr) =
        fails(transhume(home.path()).args(["xtr", "status", "--socket", "/nowhere"]));
    assert_eq!(code, 5);
    assert!(stderr.contains("--socket"), "{stderr}");
}

#[test]
fn a_router_runs_rootless_shows_its_status_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (file, socket) = (home.path().join("xtr.toml"), home.path().join("sock"));
    let text = format!(
        "rlocs = [{{ address = '127.0.0.1' }}]
         eids = [{{ prefix = '10.2.0.5/32', instance = 7 }}]
         mappings = [{{ prefix = '10.2.0.6/32', instance = 7, rlocs = [{{ address = '127.0.0.2' }}] }}]
         socket = '{}'
         [[instances]]
         id = 7
         tun = 'lisp7'
         addresses = ['10.2.0.5/32']
         routes = ['10.2.0.0/16']",
        socket.display()
    );
    std::fs::write(&file, text).unwrap();
    let program = env!("CARGO_BIN_EXE_transhume");
    let mut router = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c"])
        .arg("ip link set lo up && exec \"$0\" xtr --config \"$1\"")
        .arg(program)
        .arg(&file)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        let output = transhume(home.path())
            .args(["xtr", "status", "-o", "json", "--socket"])
            .arg(&socket)
            .output();
        let output = output.unwrap();
        if output.status.success() {
            break String::from_utf8(output.stdout).unwrap();
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the router does not start"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["eids"][0]["state"], "here");
    assert_eq!(status["mappings"][0]["used"][0], "127.0.0.2");
    assert_eq!(status["packets"]["drop_fenced"], 0);
    let output = transhume(home.path())
        .args(["xtr", "status", "--socket"])
        .arg(&socket)
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("ENDPOINT") && table.contains("[7]10.2.0.6/32"),
        "{table}"
    );
    let id = nix::unistd::Pid::from_raw(router.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(router.wait().unwrap().success());
    assert!(!socket.exists());
}
