//! Namespaces one hop from each other, through one in the middle.

use std::fs::File;
use std::net::IpAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use super::peer::Peer;

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A network that goes away with it.
#[derive(Debug)]
pub(crate) struct World {
    prefix: String,
    places: Vec<String>,
    files: TempDir,
}

impl World {
    /// A middle and no places yet.
    pub(crate) fn new() -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let mut world = Self {
            prefix: format!("lp68-{}-{number}", std::process::id()),
            places: Vec::new(),
            files: tempfile::tempdir().expect("a temporary folder"),
        };
        let middle = world.make("net");
        for switch in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            ip(&["netns", "exec", &middle, "sysctl", "-qw", switch]);
        }
        world
    }

    fn make(&mut self, place: &str) -> String {
        let name = self.name(place);
        ip(&["netns", "add", &name]);
        self.places.push(name.clone());
        name
    }

    /// The namespace of a place.
    pub(crate) fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// The path of a file with a secret in it.
    pub(crate) fn key(&self, secret: &str) -> String {
        let path = self.files.path().join(secret.replace(' ', "-"));
        std::fs::write(&path, format!("{secret}\n")).expect("a file in our folder");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A place with an address that every other place reaches.
    pub(crate) fn place(&mut self, place: &str, address: IpAddr) -> String {
        let (name, middle, end) = (self.make(place), self.name("net"), format!("to-{place}"));
        let link = ["link", "add", &end, "type", "veth", "peer", "name", "core"];
        ip_in(&middle, &[&link[..], &["netns", &name]].concat());
        ip_in(&middle, &["addr", "add", "169.254.0.1/32", "dev", &end]);
        ip_in(
            &middle,
            &["addr", "add", "fe80::1/64", "dev", &end, "nodad"],
        );
        ip_in(&middle, &["link", "set", &end, "up"]);
        ip_in(&name, &["link", "set", "lo", "up"]);
        ip_in(&name, &["link", "set", "core", "up"]);
        for (family, gateway) in [("-4", "169.254.0.1"), ("-6", "fe80::1")] {
            let route = ["route", "add", "default", "via", gateway, "dev", "core"];
            ip_in(&name, &[&[family], &route[..], &["onlink"]].concat());
        }
        let text = address.to_string();
        let mut own = vec!["addr", "add", &text, "dev", "core"];
        if address.is_ipv6() {
            own.push("nodad");
        }
        ip_in(&name, &own);
        let family = if address.is_ipv6() { "-6" } else { "-4" };
        ip_in(&middle, &[family, "route", "add", &text, "dev", &end]);
        name
    }

    /// What the closure makes inside a place, such as a socket.
    pub(crate) fn inside<T: Send>(&self, place: &str, make: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(place));
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = File::open(&path).expect("the namespace was made");
                setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                make()
            });
            inside.join().expect("the closure does not panic")
        })
    }

    /// A router of the peer at a place of its own, its device holding an address of each prefix
    /// (`10.1.0.1/24`), with 10.0.0.0/8 and fd10::/16 behind it.
    pub(crate) fn router(
        &mut self,
        place: &str,
        rloc: IpAddr,
        eids: &[&str],
        words: &[&str],
    ) -> Peer {
        let name = self.place(place, rloc);
        let rloc = rloc.to_string();
        let mut all = vec!["xtr", "--commands", "--tun", "lisp0", "--rloc", &rloc];
        all.extend(eids.iter().flat_map(|eid| ["--eid", *eid]));
        all.extend(words);
        let peer = Peer::start(&name, &all);
        for eid in eids {
            self.give(place, eid);
        }
        ip_in(&name, &["route", "add", "10.0.0.0/8", "dev", "lisp0"]);
        ip_in(&name, &["-6", "route", "add", "fd10::/16", "dev", "lisp0"]);
        peer
    }

    /// Puts an address on the router's device.
    pub(crate) fn give(&self, place: &str, eid: &str) {
        let mut words = vec!["addr", "add", eid, "dev", "lisp0"];
        if eid.contains(':') {
            words.push("nodad");
        }
        ip_in(&self.name(place), &words);
    }

    /// Takes it away.
    pub(crate) fn take(&self, place: &str, eid: &str) {
        ip_in(&self.name(place), &["addr", "del", eid, "dev", "lisp0"]);
    }

    /// Waits until an echo comes back; the first ones may be dropped while routers resolve.
    pub(crate) fn reach(&self, place: &str, target: &str) {
        let came = (0..20).any(|_| self.ping(place, target, 1) == 1);
        assert!(came, "{target} does not answer {place}");
    }

    /// How many of `count` echoes come back, a tenth of a second apart.
    pub(crate) fn ping(&self, place: &str, target: &str, count: u32) -> u32 {
        // One that is late on a busy machine is not lost.
        let wait = if count == 1 { "1" } else { "5" };
        let (name, count) = (self.name(place), count.to_string());
        let ping = ["ping", "-n", "-i", "0.1", "-W", wait, "-c", &count, target];
        let output = command(&[&["netns", "exec", &name], &ping[..]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = text.split(", ").find(|part| part.ends_with(" received"));
        let number = summary.and_then(|part| part.split(' ').next());
        let number = number.and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("ping says {text}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in &self.places {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn ip_in(namespace: &str, words: &[&str]) {
    ip(&[&["-n", namespace], words].concat());
}

fn ip(words: &[&str]) {
    let output = command(words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", words.join(" "));
}

fn command(words: &[&str]) -> Output {
    Command::new("ip")
        .args(words)
        .output()
        .expect("ip runs; it is in iproute2")
}
