//! `lab compare` with one VM: both halves are there with sane figures, and nothing is left. Needs what
//! the lab needs, libvirt, and the guest (`make guest`).

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::transhume;

/// What libvirt keeps on a host; the lab has its own.
const OF_THE_HOST: [&str; 5] = [
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
    "/run/libvirt",
];

/// Every file below the host's folders, with the time of its last change.
fn on_the_host() -> BTreeSet<(PathBuf, Option<std::time::SystemTime>)> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = OF_THE_HOST.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let meta = entry.metadata().ok();
            if meta.as_ref().is_some_and(std::fs::Metadata::is_dir) {
                folders.push(entry.path());
            }
            found.insert((entry.path(), meta.and_then(|meta| meta.modified().ok())));
        }
    }
    found
}

/// Processes that name the folder, or that see anything of it mounted, as libvirtd's guests do.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.to_string_lossy().into_owned();
    let own = std::process::id().to_string();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| *pid != own && pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| {
            ["cmdline", "mountinfo"].iter().any(|file| {
                let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&name)
            })
        })
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn both_ways_are_measured_in_one_run_and_nothing_is_left() {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest");
    assert!(
        guest.join("vmlinux").exists(),
        "this test boots VMs: make their guest with `make guest`"
    );
    let home = tempfile::Builder::new()
        .prefix("th-cmp-")
        .tempdir_in("/tmp")
        .expect("a short path for sockets");
    let labs = home.path().join("labs");
    std::fs::create_dir(&labs).unwrap();
    let file = home.path().join("report.json");
    let before = on_the_host();
    let mut command = transhume(home.path());
    command.env("TRANSHUME_LAB", labs.join("lab"));
    command.args(["lab", "compare", "--vms", "1", "--idle", "-o", "json"]);
    command.arg("--guest").arg(&guest);
    let output = command.arg("--report").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();

    let left: Vec<_> = std::fs::read_dir(&labs).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}: {said}");
    assert_eq!(processes_of(&labs), Vec::<String>::new(), "{said}");
    assert_eq!(on_the_host(), before, "the host's libvirt was touched");

    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report: {error}: {said}"));
    let moves = report["migrations"].as_array().unwrap();
    let orders: Vec<&str> = moves.iter().filter_map(|m| m["order"].as_str()).collect();
    let wanted = [
        "before-stop",
        "before-stop",
        "virsh-together",
        "virsh-in-turn",
    ];
    assert_eq!(orders, wanted, "{said}");
    for (at, moved) in moves.iter().enumerate() {
        let vm = &moved["vms"][0];
        let ends = [("north", "south"), ("south", "north")][at % 2];
        assert_eq!(
            (moved["from"].as_str(), moved["to"].as_str()),
            (Some(ends.0), Some(ends.1))
        );
        assert_eq!(moved["state"], "arrived", "{said}");
        let (network, vcpu) = (
            number(&vm["network_downtime_ms"]),
            number(&vm["vcpu_downtime_ms"]),
        );
        assert!(vcpu > 0.0 && vcpu <= network && network < 30_000.0, "{vm}");
        assert!(number(&vm["rule_switch_ms"]) >= 0.0, "{vm}");
        // A VM of 128 MB that has booted has some tens of them in use.
        assert!(number(&vm["bytes_moved"]) > 10e6, "{vm}");
        assert!(number(&vm["udp_sent"]) > 500.0, "{vm}");
        assert_eq!(number(&vm["tcp_sessions"]), 2.0, "{vm}");
        if at >= 2 {
            // What arrives for a VM that has no place is lost there.
            assert!(number(&vm["udp_lost"]) > 0.0, "{vm}");
        }
    }
    let rows = report["figures"].as_array().unwrap();
    let judged = rows.iter().filter(|row| row["target"].is_object());
    assert_eq!(judged.count(), 5, "{said}");
    let missed = said.contains("not as promised");
    assert_eq!(output.status.success(), !missed, "{said}");
    let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["schema"], report["schema"]);
    assert!(file.with_extension("html").exists());
}
