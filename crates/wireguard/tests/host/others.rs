//! Together with an implementation that is not ours.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use wireguard::{Device, SecretKey};

use crate::stage::{PORT, Stage, inner, inner6, noise, only, outer, peer, until};

/// `wireguard-go` in a place, until it is dropped.
struct Go {
    name: String,
    child: Child,
}

impl Go {
    /// Knows the device at place 1, and begins if it is told where that is.
    fn start(stage: &Stage, place: u8, key: &SecretKey, other: &SecretKey, begins: bool) -> Self {
        let name = format!("wgo{}", std::process::id());
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &stage.name(place),
                "wireguard-go",
                "-f",
                &name,
            ])
            .env("WG_PROCESS_FOREGROUND", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("wireguard-go");
        let go = Self { name, child };
        until("wireguard-go listens", || go.socket().exists());
        let name = &go.name;
        let endpoint = match begins {
            true => format!("endpoint {}:{PORT}", outer(1)),
            false => String::new(),
        };
        stage.sh(
            place,
            &format!(
                "echo {secret} | wg set {name} private-key /dev/stdin listen-port {PORT} \
                    peer {other} allowed-ips {v4}/32,{v6}/128 {endpoint}
                 ip link set {name} mtu 1420 up",
                secret = key.to_base64().as_str(),
                other = other.public(),
                v4 = inner(1),
                v6 = inner6(1),
            ),
        );
        stage.address(place, name);
        go
    }

    fn socket(&self) -> PathBuf {
        format!("/var/run/wireguard/{}.sock", self.name).into()
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(self.socket()));
    }
}

fn together(stage: &Stage, they_begin: bool) -> (Device, Go) {
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let device = stage.device(1);
    let go = Go::start(stage, 2, &other, &own, they_begin);
    let mut known = peer(2, &other);
    if they_begin {
        known.endpoint = None;
    }
    device.set(only(&own, known)).expect("set");
    (device, go)
}

#[test]
fn wireguard_go_and_we_understand_each_other_whoever_begins() {
    for they_begin in [false, true] {
        let stage = Stage::new(2);
        let (device, go) = together(&stage, they_begin);
        let (from, to) = if they_begin { (2, 1) } else { (1, 2) };
        stage.sh(from, &format!("ping -qc 3 -i 0.2 -W 5 {}", inner(to)));
        let bytes = noise(10_000_000);
        for (from, to) in [(1, 2), (2, 1)] {
            for address in [inner(to), inner6(to)] {
                assert!(stage.tcp(from, to, address, &bytes) == bytes, "{address}");
            }
        }
        let shown = stage.sh(2, &format!("wg show {} latest-handshakes", go.name));
        let moment = shown.split_whitespace().last().map(str::parse::<u64>);
        assert!(matches!(moment, Some(Ok(1..))), "{shown}");
        let status = device.status();
        assert!(status.peers[0].handshake.is_some());
        // The kernel asks for routers, whom nobody is.
        let only = ["no_peer"];
        let mut dropped = status.drops.by_name().into_keys();
        assert!(dropped.all(|why| only.contains(&why)), "{status:?}");
    }
}

#[test]
fn wireguard_go_that_was_started_again_is_found_again() {
    let stage = Stage::new(2);
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let device = stage.device(1);
    device.set(only(&own, peer(2, &other))).expect("set");
    let go = Go::start(&stage, 2, &other, &own, false);
    stage.sh(1, &format!("ping -qc 1 -W 5 {}", inner(2)));
    drop(go);
    let _go = Go::start(&stage, 2, &other, &own, true);
    // It begins, since it has something to say.
    stage.sh(2, &format!("ping -qc 1 -W 10 {}", inner(1)));
    stage.sh(1, &format!("ping -qc 1 -W 5 {}", inner(2)));
}
