//! The binary, run against a fake controller on a socket of its own.

#![allow(dead_code, unreachable_pub)]

// The API's own tests have the fake service and its data.
#[path = "../../../api/tests/support/mod.rs"]
pub mod fake;

use assert_cmd::Command;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The binary with nothing of this machine's environment that could mislead it.
pub fn transhume(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transhume"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin");
    command
}

/// A fake controller, served from a thread of its own.
pub struct Controller {
    pub home: TempDir,
    pub socket: PathBuf,
    _runtime: tokio::runtime::Runtime,
}

impl Controller {
    pub fn start() -> Self {
        Self::of(std::sync::Arc::new(fake::Fake::default()))
    }

    pub fn of(service: std::sync::Arc<dyn api::Service>) -> Self {
        let home = tempfile::tempdir().expect("a folder for the socket");
        let socket = home.path().join("api.sock");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = runtime
            .block_on(api::server::UnixServer::bind(&socket))
            .expect("a socket");
        runtime.spawn(server.serve(service));
        Self {
            home,
            socket,
            _runtime: runtime,
        }
    }

    /// The binary, told to ask this controller.
    pub fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = transhume(self.home.path());
        command
            .env("TRANSHUME_API", format!("unix:{}", self.socket.display()))
            .args(arguments);
        command
    }

    /// What a command prints; it must succeed.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// Exit code and stderr of a command that must fail.
pub fn fails(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("the binary runs");
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("no signal"), stderr)
}
