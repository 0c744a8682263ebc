//! A lab for one test: in a folder of its own, gone when the test ends however it ends.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary is a crate and uses its part"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::boxed::Program;
use lab::preflight::Needs;
use lab::process::ProcessId;
use lab::testbed::{Options, Testbed, down};

/// Our own binary, as the lab's processes are.
pub const HELPER: &str = env!("CARGO_BIN_EXE_lab-helper");

/// A lab folder in a new temporary folder.
pub struct Scratch {
    root: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("lab-test-")
            .tempdir_in("/tmp");
        Self {
            root: root.expect("the tests need to write below /tmp"),
        }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("lab")
    }

    /// Box, network and WAN; neither OVS nor VMs nor a tun device are needed.
    pub fn up(&self) -> Testbed {
        let needs = Needs {
            programs: &["ip"],
            tun: false,
            free_mib: 16,
        };
        let folder = self.folder();
        let options = Options {
            folder: Some(&folder),
            needs,
            exe: Some(PathBuf::from(HELPER)),
            ..Options::default()
        };
        Testbed::up(&options).expect("a lab comes up where namespaces are allowed")
    }

    pub fn down(&self) {
        down(Some(&self.folder())).expect("a lab can always be taken down");
    }

    /// The helper's command line with the lab folder behind the first word.
    pub fn helper(&self, command: &str, rest: &[&str]) -> Output {
        Command::new(HELPER)
            .arg(command)
            .arg(self.folder())
            .args(rest)
            .output()
            .expect("the helper can be started")
    }

    /// Nothing of the lab is left: no file, no process, no namespace.
    pub fn assert_nothing_left(&self, traces: &Traces) {
        let left: Vec<_> = std::fs::read_dir(self.root()).unwrap().flatten().collect();
        assert!(left.is_empty(), "files are left: {left:?}");
        for process in &traces.processes {
            assert!(!process.is_alive(), "process {process} is left");
        }
        for (pid, namespace) in namespaces_of_all() {
            assert!(
                !traces.namespaces.contains(&namespace),
                "{pid} is still in {namespace}"
            );
        }
        for (pid, line) in command_lines() {
            let ours = line.contains(&*self.root().to_string_lossy());
            assert!(
                !ours || pid == std::process::id() as i32,
                "process {pid} is left: {line}"
            );
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(&*self.root().to_string_lossy()),
            "a mount is left"
        );
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed test has told its reason already.
        let _ = down(Some(&self.folder()));
    }
}

/// What a standing lab is made of, as seen from outside.
#[derive(Default)]
pub struct Traces {
    pub processes: Vec<ProcessId>,
    pub namespaces: BTreeSet<String>,
    /// Keeps the namespaces' numbers from being used again for another test's.
    held: Vec<File>,
}

impl Traces {
    pub fn of(lab: &Testbed) -> Self {
        let processes = lab.boxed().outside_pids();
        assert!(
            processes.len() >= 2,
            "warden and relay are seen from outside"
        );
        let own = namespaces_of(std::process::id() as i32);
        let (mut namespaces, mut held) = (BTreeSet::new(), Vec::new());
        for process in &processes {
            namespaces.extend(namespaces_of(process.pid));
            let file = |kind| File::open(format!("/proc/{}/ns/{kind}", process.pid));
            held.extend(NAMESPACES.iter().filter_map(|kind| file(kind).ok()));
        }
        Self {
            processes,
            namespaces: namespaces.difference(&own).cloned().collect(),
            held,
        }
    }
}

const NAMESPACES: [&str; 6] = ["user", "net", "mnt", "pid", "uts", "ipc"];

fn namespaces_of(pid: i32) -> BTreeSet<String> {
    NAMESPACES
        .iter()
        .filter_map(|kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}

/// Of all that live: what init has not buried yet does not count.
fn namespaces_of_all() -> Vec<(i32, String)> {
    let of = |pid| {
        namespaces_of(pid)
            .into_iter()
            .map(move |namespace| (pid, namespace))
    };
    let found: Vec<_> = pids().into_iter().flat_map(of).collect();
    found
        .into_iter()
        .filter(|(pid, _)| ProcessId::of(*pid).is_some())
        .collect()
}

fn command_lines() -> Vec<(i32, String)> {
    let line = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
    pids()
        .into_iter()
        .filter_map(|pid| Some((pid, text(line(pid)?))))
        .collect()
}

fn pids() -> Vec<i32> {
    let dir = std::fs::read_dir("/proc").unwrap();
    dir.flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

/// A shell command in a namespace of the lab.
pub fn sh(netns: &str, script: &str) -> Program {
    Program::new(netns, ["sh", "-c", script])
}
