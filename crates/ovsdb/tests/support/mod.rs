//! A real ovsdb-server, and ovs-vswitchd in a network namespace of its own, gone when dropped.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ovsdb::{Client, ConnectionState, Op, Options, Remote};

pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|e| {
            panic!(
                "this test needs {:?} ({e}): install the package openvswitch-switch",
                command.get_program()
            )
        }))
    }

    pub fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An ovsdb-server with the schema of Open vSwitch, in a folder of its own.
pub struct Server {
    process: Option<Process>,
    more: Vec<String>,
    dir: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// With more arguments, which may name files in the folder.
    pub fn start_with(more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let dir = tempfile::Builder::new().prefix("odb-").tempdir().unwrap();
        run(Command::new("ovsdb-tool")
            .arg("create")
            .arg(dir.path().join("conf.db"))
            .arg("/usr/share/openvswitch/vswitch.ovsschema"));
        let more = more(dir.path());
        let mut server = Self {
            process: None,
            more,
            dir,
        };
        server.begin();
        server
    }

    pub fn begin(&mut self) {
        let dir = self.dir.path();
        let mut command = Command::new("ovsdb-server");
        command
            .arg(dir.join("conf.db"))
            .arg(format!("--remote=punix:{}", self.socket().display()))
            .arg(format!("--unixctl={}", dir.join("ovsdb.ctl").display()))
            .arg("-vconsole:off")
            .args(&self.more);
        self.process = Some(Process::start(&mut command));
    }

    pub fn end(&mut self) {
        self.process = None;
    }

    /// Changes the database file while no server has it open.
    pub fn offline(&self, db: &str, ops: impl IntoIterator<Item = Op>) {
        let mut transaction = vec![serde_json::json!(db)];
        transaction.extend(ops.into_iter().map(Op::into_json));
        run(Command::new("ovsdb-tool")
            .arg("transact")
            .arg(self.dir.path().join("conf.db"))
            .arg(serde_json::Value::from(transaction).to_string()));
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("db.sock")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn remote(&self) -> Remote {
        Remote::Unix(self.socket())
    }

    pub async fn client(&self) -> Client {
        Client::connect_with(self.remote(), options())
            .await
            .unwrap()
    }

    /// Runs ovs-vsctl without waiting for ovs-vswitchd.
    pub async fn vsctl(&self, args: &str) -> String {
        // Its own attempts to reach a server that just starts come seconds apart.
        self.client().await;
        let mut command = Command::new("ovs-vsctl");
        command
            .arg(format!("--db=unix:{}", self.socket().display()))
            .arg("--no-wait");
        command.args(args.split(' '));
        tokio::task::spawn_blocking(move || run(&mut command))
            .await
            .unwrap()
    }

    /// ovs-vswitchd in a new network namespace, which ends with it.
    pub fn vswitchd(&self) -> Process {
        let dir = self.dir.path();
        Process::start(
            Command::new("unshare")
                .args(["--net", "ovs-vswitchd"])
                .arg(format!("unix:{}", self.socket().display()))
                .arg(format!("--unixctl={}", dir.join("vswitchd.ctl").display()))
                .arg("-vconsole:off")
                .envs(["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"].map(|name| (name, dir))),
        )
    }
}

pub fn options() -> Options {
    Options {
        backoff_max: Duration::from_millis(50),
        ..Options::default()
    }
}

/// Waits for the client's nth connection.
pub async fn generation(client: &Client, nth: u64) {
    let mut state = client.state();
    let reached = |state: &ConnectionState| matches!(state, ConnectionState::Connected { generation } if *generation >= nth);
    state.wait_for(reached).await.unwrap();
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!(
            "this test needs {:?} ({e}): install the package openvswitch-switch",
            command.get_program()
        )
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
