//! A real server: Knot DNS on a port of loopback, in a folder of its own. Ends with the test.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "several tests include this, and each uses its own part of it"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The key that may update the zone.
pub const KEY: &str = "transhume";
/// Its secret.
pub const SECRET: &str = "Wg1JHbSy3mqGfPCHKVb5l0xHHkjZQbVLgjmOdnwOEWY=";
/// The zone.
pub const ZONE: &str = "shop.example";

pub struct Knot {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
    namespace: Option<String>,
}

impl Knot {
    /// Starts one on a free port of loopback.
    pub fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        Self::at(address, None)
    }

    /// Starts one at an address, in a network namespace.
    pub fn at(address: SocketAddr, namespace: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let config = format!(
            "server:\n  listen: {}@{}\n  rundir: {at}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             database:\n  storage: {at}\n\
             log:\n - target: {at}/log\n   any: info\n\
             key:\n - id: {KEY}\n   algorithm: hmac-sha256\n   secret: {SECRET}\n\
             acl:\n - id: ours\n   key: {KEY}\n   action: update\n\
             zone:\n - domain: {ZONE}\n   storage: {at}\n   file: zone\n   acl: ours\n",
            address.ip(),
            address.port()
        );
        fs::write(folder.path().join("conf"), config).unwrap();
        let zone = format!(
            "$ORIGIN {ZONE}.\n$TTL 60\n@ SOA ns admin 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n\
             theirs A 198.51.100.7\ntheirs TXT \"not yours\"\n"
        );
        fs::write(folder.path().join("zone"), zone).unwrap();
        let mut knot = Self {
            folder,
            address,
            child: None,
            namespace: namespace.map(str::to_owned),
        };
        knot.resume();
        knot
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file with the secret.
    pub fn key_file(&self) -> PathBuf {
        let file = self.folder.path().join("secret");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        file
    }

    fn command(&self, program: &str) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
        }
    }

    /// Starts it again after [`Knot::stop`].
    pub fn resume(&mut self) {
        let child = self
            .command("/usr/sbin/knotd")
            .arg("-c")
            .arg(self.folder.path().join("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child =
            Some(child.expect("knotd: install the package knot (scripts/setup.sh --test)"));
        let begun = Instant::now();
        while self.ask(ZONE, "SOA").is_empty() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "knotd does not answer: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it; what it has taken stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Asked to, not killed: it then leaves no lock on its databases.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    /// What the server answers for a name, as another program reads it; in order.
    pub fn ask(&self, name: &str, kind: &str) -> Vec<String> {
        let port = self.address.port().to_string();
        let output = self
            .command("kdig")
            .args(["+short", "+retry=0", "+timeout=1", "-p", &port])
            .arg(format!("@{}", self.address.ip()))
            .args([name, kind])
            .output()
            .expect("kdig: install the package knot-dnsutils (scripts/setup.sh --test)");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with(";;"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.stop();
    }
}
