//! A private Open vSwitch for one test: its own folder and its own network namespace, gone with
//! the value.
#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

mod recorder;

pub(crate) use recorder::Recorder;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A switch with one bridge, `br0`.
pub(crate) struct Ovs {
    vswitchd: Child,
    ovsdb: Child,
    dir: TempDir,
}

impl Ovs {
    /// Starts a switch. Needs root and the package openvswitch-switch.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("of-")
            .tempdir()
            .expect("a folder in /tmp");
        let path = dir.path();
        let database = path.join("conf.db");
        run(Command::new("ovsdb-tool")
            .arg("create")
            .arg(&database)
            .arg("/usr/share/openvswitch/vswitch.ovsschema"));
        let socket = path.join("db.sock");
        let ovsdb = daemon(
            path,
            Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "ovsdb-server"])
                .arg(&database)
                .arg(format!("--remote=punix:{}", socket.display()))
                .arg(format!("--unixctl={}", path.join("ovsdb.ctl").display())),
        );
        await_socket(&socket);
        let vswitchd = daemon(
            path,
            Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "unshare", "-n", "ovs-vswitchd"])
                .arg(format!("unix:{}", socket.display()))
                .arg(format!("--unixctl={}", path.join("vswitchd.ctl").display())),
        );
        let ovs = Self {
            vswitchd,
            ovsdb,
            dir,
        };
        ovs.vsctl(&["--no-wait", "init"]);
        ovs.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=netdev",
        ]);
        await_socket(&ovs.management_socket());
        ovs
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn management_socket(&self) -> PathBuf {
        self.dir().join("br0.mgmt")
    }

    pub(crate) fn vsctl(&self, args: &[&str]) -> String {
        run(Command::new("ovs-vsctl")
            .arg(format!(
                "--db=unix:{}",
                self.dir().join("db.sock").display()
            ))
            .args(args))
    }

    /// `ovs-ofctl` of OpenFlow 1.3 on the bridge.
    pub(crate) fn ofctl(&self, args: &[&str]) -> String {
        run(Command::new("ovs-ofctl")
            .env("OVS_RUNDIR", self.dir())
            .arg("-OOpenFlow13")
            .args(args))
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for child in [&mut self.vswitchd, &mut self.ovsdb] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn daemon(dir: &Path, command: &mut Command) -> Child {
    command
        .env("OVS_RUNDIR", dir)
        .env("OVS_LOGDIR", dir)
        .env("OVS_DBDIR", dir)
        .args(["-vconsole:off", "-vsyslog:off"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| {
            panic!(
                "cannot start {command:?}: {e}; this test needs util-linux and openvswitch-switch"
            )
        })
}

/// Runs a program to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("cannot run {command:?}: {e}; this test needs the package openvswitch-switch")
    });
    assert!(
        output.status.success(),
        "{command:?} failed (this test needs root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A socket's file is there before anybody listens, so only a connection tells.
fn await_socket(path: &Path) {
    let begin = Instant::now();
    while UnixStream::connect(path).is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "nobody listens at {}; this test needs root and a working ovs-vswitchd",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
