//! Two sites with a bridge and a DHCP server each, a DNS server behind both, and a guest with one cable.

use crate::knot::{KEY, Knot, ZONE};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use watchdog::Status;

const NAME: &str = "guest.shop.example";
/// Reached from both sites.
const SERVER: &str = "10.99.0.53";
const PATIENCE: Duration = Duration::from_secs(40);

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct World {
    folder: tempfile::TempDir,
    world: String,
    guest: String,
    knot: Option<Knot>,
    client: Option<Child>,
    dhcp: [Option<Child>; 2],
    tail: std::sync::Arc<tokio::sync::Notify>,
}

/// The watchdog, in the guest's network.
pub(crate) struct Dog {
    file: std::path::PathBuf,
}

fn ip(arguments: &str) {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = Command::new("ip")
        .args(&words)
        .output()
        .expect("ip: install the package iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {arguments}: {said} (these tests need root)"
    );
}

impl World {
    pub(crate) fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        let mut made = Self {
            folder: tempfile::tempdir().unwrap(),
            world: format!("wd-world-{mark}"),
            guest: format!("wd-guest-{mark}"),
            knot: None,
            client: None,
            dhcp: [None, None],
            tail: Default::default(),
        };
        let (world, guest) = (made.world.clone(), made.guest.clone());
        ip(&format!("netns add {world}"));
        ip(&format!("netns add {guest}"));
        ip(&format!("-n {world} link set lo up"));
        ip(&format!("-n {world} addr add {SERVER}/32 dev lo"));
        // Else one bridge would answer for the gateway of the other.
        made.inside(&world, &["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"]);
        for site in 1..=2 {
            ip(&format!("-n {world} link add site{site} type bridge"));
            ip(&format!(
                "-n {world} link set site{site} address 02:00:00:00:00:0{site}"
            ));
            ip(&format!(
                "-n {world} addr add 10.81.{site}.1/24 dev site{site}"
            ));
            ip(&format!("-n {world} link set site{site} up"));
        }
        ip(&format!(
            "-n {world} link add cable type veth peer name eth0 netns {guest}"
        ));
        ip(&format!("-n {guest} link set lo up"));
        ip(&format!("-n {guest} link set eth0 up"));
        made.plug_into(1);
        let address: SocketAddr = format!("{SERVER}:5300").parse().unwrap();
        made.knot = Some(Knot::at(address, Some(&world)));
        made.start_dhcp(1);
        made.start_dhcp(2);
        made.start_client();
        made
    }

    fn inside(&self, namespace: &str, words: &[&str]) {
        let status = Command::new("ip")
            .args(["netns", "exec", namespace])
            .args(words)
            .status()
            .unwrap();
        assert!(status.success(), "{words:?}");
    }

    fn spawn(&self, namespace: &str, words: &[String]) -> Child {
        let log = File::create(
            self.folder
                .path()
                .join(format!("{}.log", words[0].replace('/', "_"))),
        )
        .unwrap();
        Command::new("ip")
            .args(["netns", "exec", namespace])
            .args(words)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(crate) fn start_dhcp(&mut self, site: usize) {
        let at = self.folder.path().display().to_string();
        let words = format!(
            "dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=site{site} --bind-interfaces --no-ping \
             --except-interface=lo --dhcp-authoritative --user=root --pid-file={at}/dnsmasq{site}.pid \
             --dhcp-leasefile={at}/leases{site} --dhcp-range=10.81.{site}.100,10.81.{site}.150,1h --dhcp-option=3,10.81.{site}.1"
        );
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let child = self.spawn(&self.world.clone(), &words);
        self.dhcp[site - 1] = Some(child);
    }

    pub(crate) fn stop_dhcp(&mut self, site: usize) {
        end(&mut self.dhcp[site - 1]);
    }

    fn start_client(&mut self) {
        let script = self.folder.path().join("script");
        fs::write(
            &script,
            "#!/bin/sh\nexport PATH=$PATH:/usr/sbin:/sbin\ncase $1 in\n\
             deconfig) ip -4 addr flush dev $interface ;;\n\
             bound|renew) ip -4 addr flush dev $interface; ip addr add $ip/$mask dev $interface\n\
             ip route replace default via $router dev $interface ;;\nesac\n",
        )
        .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let words = format!(
            "busybox udhcpc -i eth0 -f -t 3 -T 1 -A 1 -s {}",
            script.display()
        );
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        self.client = Some(self.spawn(&self.guest.clone(), &words));
    }

    /// Puts the guest's cable into a site's bridge.
    pub(crate) fn plug_into(&mut self, site: u8) {
        let world = &self.world;
        ip(&format!("-n {world} link set cable master site{site}"));
        ip(&format!("-n {world} link set cable up"));
    }

    pub(crate) fn unplug(&mut self) {
        ip(&format!("-n {} link set cable down", self.world));
    }

    pub(crate) fn renewed_at(&self, site: u8) {
        let begun = Instant::now();
        loop {
            let output = Command::new("ip")
                .args(["-n", &self.guest, "-4", "addr", "show", "eth0"])
                .output()
                .unwrap();
            if String::from_utf8_lossy(&output.stdout).contains(&format!("10.81.{site}.")) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no address came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the server leads the guest's name to an address of a site.
    pub(crate) fn name_leads_to(&self, site: u8) {
        let knot = self.knot.as_ref().unwrap();
        let begun = Instant::now();
        loop {
            let there = knot.ask(NAME, "A");
            if matches!(&there[..], [address] if address.starts_with(&format!("10.81.{site}."))) {
                return;
            }
            let status = fs::read_to_string(self.folder.path().join("status")).unwrap_or_default();
            assert!(
                begun.elapsed() < PATIENCE,
                "{NAME} leads to {there:?}; {status}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn tunnel(&self) -> String {
        fs::read_to_string(self.folder.path().join("tunnel")).unwrap_or_default()
    }

    pub(crate) fn tunnel_was_made_at(&self, site: u8) -> bool {
        let last = self.tunnel().lines().last().unwrap_or_default().to_owned();
        last.starts_with(&format!("eth0 10.81.{site}."))
            && last.ends_with(&format!(" 10.81.{site}.1"))
    }

    /// Starts the watchdog in the guest.
    pub(crate) fn watchdog(&self) -> Dog {
        let knot = self.knot.as_ref().unwrap();
        let at = self.folder.path().display();
        let config = format!(
            "interface = 'eth0'\nstatus_file = '{at}/status'\n\
             [target]\ntcp = '{SERVER}:5300'\nevery_ms = 500\nagain_ms = 100\npatience_ms = 300\n\
             [renew]\npatience_ms = 6000\n\
             [tunnel]\ncommand = ['sh', '-c', 'echo $WATCHDOG_INTERFACE $WATCHDOG_ADDRESS $WATCHDOG_GATEWAY >>{at}/tunnel']\n\
             [[names]]\nname = '{NAME}'\nzone = '{ZONE}'\n\
             [names.rfc2136]\nservers = ['{}']\nkey = '{KEY}'\nkey_file = '{}'\n",
            knot.address(),
            knot.key_file().display()
        );
        let config = toml::from_str(&config).unwrap();
        let guest = File::open(format!("/run/netns/{}", self.guest)).unwrap();
        let tail = self.tail.clone();
        std::thread::spawn(move || {
            setns(guest, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    ended = watchdog::run(config) => ended.unwrap(),
                    () = tail.notified() => {}
                }
            });
        });
        Dog {
            file: self.folder.path().join("status"),
        }
    }
}

impl Dog {
    pub(crate) fn status(&self) -> Option<Status> {
        Status::read(&self.file).ok()
    }

    pub(crate) fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if let Some(status) = status.clone().filter(|status| is(status)) {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{what} did not come: {status:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tail.notify_one();
        for child in [&mut self.client].into_iter().chain(&mut self.dhcp) {
            end(child);
        }
        drop(self.knot.take());
        for namespace in [&self.world, &self.guest] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}
