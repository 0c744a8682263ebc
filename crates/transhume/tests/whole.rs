//! The whole of it, with real switches and a real VM: the lab comes up, its cluster moves, nothing
//! is left. Needs what the lab needs, and the guest (`make guest`).

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{fails, transhume};
use tempfile::TempDir;

/// A lab folder, and whatever stands in it until the test ends.
struct Lab {
    home: TempDir,
    folder: PathBuf,
    guest: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest");
        assert!(
            guest.join("vmlinux").exists() && guest.join("initramfs.cpio").exists(),
            "this test boots a VM: make its guest with `make guest`"
        );
        let home = tempfile::Builder::new()
            .prefix("th-whole-")
            .tempdir_in("/tmp")
            .expect("a short path for sockets");
        Self {
            folder: home.path().join("lab"),
            home,
            guest,
        }
    }

    fn command(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = transhume(self.home.path());
        command.env("TRANSHUME_LAB", &self.folder).args(words);
        command
    }

    fn bring_up(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = self.command(words);
        command.args(["--vms", "1", "--idle", "--rtt-ms", "5", "--guest"]);
        command.arg(&self.guest);
        command
    }

    /// What a command prints as JSON; it must succeed.
    fn json(&self, words: &[&str]) -> Value {
        let output = self.command(words).args(["-o", "json"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn refused(&self, words: &[&str], code: i32, sentence: &str) {
        let (got, stderr) = fails(&mut self.command(words));
        assert_eq!(got, code, "{words:?}: {stderr}");
        assert!(stderr.contains(sentence), "{words:?}: {stderr}");
    }

    fn answers(&self) {
        let words = ["lab", "exec", "office", "--", "ping", "-c", "2", "-W", "5"];
        let mut command = self.command(&words);
        let output = command.arg("10.77.0.11").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }

    /// No process names the folder any more, and nothing is where it was.
    fn assert_nothing_left(&self) {
        let folder = self.folder.to_string_lossy().into_owned();
        assert!(!self.folder.exists(), "{folder} is left");
        let of_ours = |pid: &str| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&folder)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let left: Vec<String> = processes
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|pid| pid.parse::<u32>().is_ok() && of_ours(pid))
            .collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command(&["lab", "down"]).output();
    }
}

#[test]
fn a_lab_comes_up_its_cluster_moves_and_nothing_is_left_when_its_agents_were_killed() {
    let lab = Lab::new();
    let output = lab.bring_up(&["lab", "up"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let again = lab.bring_up(&["lab", "up"]).output().unwrap();
    assert_eq!(again.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"));

    assert_eq!(lab.json(&["cluster", "list"])[0]["sites"][0], "north");
    assert_eq!(lab.json(&["host", "list"]).as_array().unwrap().len(), 3);
    lab.answers();
    lab.refused(&["migrate", "shop", "--to", "mars"], 5, "mars");
    lab.refused(&["migrate", "shop", "--to", "north"], 4, "north");
    lab.refused(&["migrate", "shoe", "--to", "south"], 3, "shoe");

    let moved = lab.json(&["migrate", "shop", "--to", "south", "--watch"]);
    assert_eq!(moved["state"], "arrived", "{moved}");
    let endpoints = lab.json(&["endpoint", "list"]);
    let vm = endpoints.as_array().unwrap().iter();
    let vm = vm.clone().find(|row| row["vm"] == "shop-1").unwrap();
    assert_eq!(vm["site"], "south", "{endpoints}");
    lab.answers();

    let status = lab.json(&["lab", "status"]);
    for process in status["inside"]["processes"].as_array().unwrap() {
        let name = process["name"].as_str().unwrap();
        if name.starts_with("agent-") || name == "controller" {
            let pid = process["outside"]["pid"].to_string();
            let killed = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status();
            assert!(killed.unwrap().success(), "{name}");
        }
    }
    let output = lab.command(&["lab", "down"]).output().unwrap();
    assert!(output.status.success());
    lab.assert_nothing_left();
}

#[test]
fn an_up_that_is_interrupted_takes_everything_with_it() {
    let lab = Lab::new();
    let mut up = std::process::Command::new(env!("CARGO_BIN_EXE_transhume"))
        .args(["lab", "up", "--vms", "1", "--guest"])
        .arg(&lab.guest)
        .env("TRANSHUME_LAB", &lab.folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !lab.folder.join("controller.toml").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no controller");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = up.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(up.wait().unwrap().code(), Some(1));
    lab.assert_nothing_left();
}

#[test]
fn the_demo_reports_a_journey_there_and_back_and_cleans_up() {
    let lab = Lab::new();
    let path = lab.home.path().join("out/report.json");
    let mut demo = lab.bring_up(&["lab", "demo"]);
    // How much a busy machine loses by itself is not this test's question: sessions are.
    let output = demo.arg("--report").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{said}\n{stderr}"));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "transhume-report/1");
    assert_eq!(report["wan"]["rtt_ms"], 5.0);
    let migrations = report["migrations"].as_array().unwrap();
    assert_eq!(migrations.len(), 2, "{said}\n{stderr}");
    for (migration, to) in migrations.iter().zip(["south", "north"]) {
        assert_eq!(migration["state"], "arrived", "{said}");
        assert_eq!(migration["to"], to);
        let vm = &migration["vms"][0];
        assert_eq!(vm["tcp_lost"], 0, "{said}");
        assert_eq!(vm["tcp_sessions"], 2);
        assert!(vm["network_downtime_ms"].as_f64().unwrap() > 0.0);
        assert!(vm["bytes_moved"].as_u64().unwrap() > 0);
    }
    let page = std::fs::read_to_string(path.with_extension("html")).unwrap();
    assert!(page.contains("<svg"), "a page with pictures");
    let siblings = std::fs::read_dir(lab.home.path()).unwrap().flatten();
    let labs: Vec<_> = siblings
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("lab"))
        .collect();
    assert!(labs.is_empty(), "{labs:?} is left");
}

#[test]
fn a_guest_that_is_not_there_is_told_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("lab");
    let mut command = transhume(home.path());
    command.env("TRANSHUME_LAB", &folder);
    command.args(["lab", "up", "--guest", "/nowhere"]);
    let (code, stderr) = fails(&mut command);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("make guest"), "{stderr}");
    assert!(!folder.exists());
}
