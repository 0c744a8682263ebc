//! Two sites with a bridge and a guest each, and a WAN between them.

use identity::{Authority, Credentials};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use openvpn::{Bridge, Config, OpenVpn, Role, State};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    prefix: String,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Sites 1 and 2: `eth0` on the WAN with 10.9.0.N, bridge `lan`, and in a namespace of its own a guest
    /// with 192.168.9.N.
    pub(crate) fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("ovpn").tempdir().unwrap();
        let stage = Self {
            authority: Authority::open(&folder.path().join("ca")).unwrap(),
            folder,
            prefix: format!("ovpn{}", std::process::id()),
            _turn: turn,
        };
        let wan = stage.ns("wan");
        sh(&format!(
            "ip netns add {wan}; ip -n {wan} link add wan0 type bridge; ip -n {wan} link set wan0 up"
        ));
        for site in 1..=2 {
            let (ns, guest) = (stage.site(site), stage.guest(site));
            sh(&format!(
                "for n in {ns} {guest}; do
                   ip netns add $n
                   ip netns exec $n sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
                 done
                 ip -n {ns} link set lo up
                 ip -n {ns} link add eth0 type veth peer name s{site} netns {wan}
                 ip -n {wan} link set s{site} master wan0 up
                 ip -n {ns} addr add 10.9.0.{site}/24 dev eth0; ip -n {ns} link set eth0 up
                 ip -n {ns} link add lan type bridge; ip -n {ns} link set lan up
                 ip -n {guest} link add eth0 type veth peer name guest netns {ns}
                 ip -n {ns} link set guest master lan up
                 ip -n {guest} addr add 192.168.9.{site}/24 dev eth0; ip -n {guest} link set eth0 up"
            ));
        }
        stage
    }

    pub(crate) fn ns(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn site(&self, site: u8) -> String {
        self.ns(&format!("s{site}"))
    }

    pub(crate) fn guest(&self, site: u8) -> String {
        self.ns(&format!("g{site}"))
    }

    /// Site 1 listens, site 2 dials.
    pub(crate) fn config(&self, site: u8) -> Config {
        let address = "10.9.0.1:1194".parse().unwrap();
        Config {
            rundir: self.folder.path().join(format!("s{site}")),
            netns: Some(format!("/run/netns/{}", self.site(site)).into()),
            credentials: certified(&self.authority, &format!("site-{site}")),
            revoked: None,
            peer: format!("site-{}", 3 - site),
            role: match site {
                1 => Role::Listen(address),
                _ => Role::Dial(address),
            },
            port: "site".into(),
            bridge: Bridge::Linux("lan".into()),
            mtu: 1500,
            program: "openvpn".into(),
        }
    }

    /// Both sides, connected.
    pub(crate) async fn pair(&self) -> (OpenVpn, OpenVpn) {
        let one = OpenVpn::start(self.config(1)).await.unwrap();
        let two = OpenVpn::start(self.config(2)).await.unwrap();
        up(&one).await;
        up(&two).await;
        (one, two)
    }

    /// Pings the other site's guest, so often, and gives how many answers came.
    pub(crate) fn ping(&self, times: u32, more: &str) -> u32 {
        let said = out(&format!(
            "ip netns exec {} ping -q -i 0.02 -W 1 -c {times} {more} 192.168.9.2",
            self.guest(1)
        ));
        let (before, _) = said.split_once(" received").expect(&said);
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a ping of the other site's guest is answered, and gives how long that took.
    pub(crate) async fn reached(&self) -> Duration {
        let begun = Instant::now();
        while self.ping(1, "") == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it did not come back"
            );
        }
        begun.elapsed()
    }

    pub(crate) fn nothing_is_left(&self, site: u8) {
        let ns = self.site(site);
        let links = sh(&format!("ip -n {ns} -br link"));
        assert!(!links.contains("site"), "{links}");
        let programs = sh(&format!(
            "for p in $(ip netns pids {ns}); do cat /proc/$p/comm; done"
        ));
        assert!(!programs.contains("openvpn"), "{programs}");
        assert!(
            !self
                .folder
                .path()
                .join(format!("s{site}/openvpn.conf"))
                .exists()
        );
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for ns in [
            self.site(1),
            self.site(2),
            self.guest(1),
            self.guest(2),
            self.ns("wan"),
        ] {
            out(&format!(
                "for p in $(ip netns pids {ns}); do [ $p = $$ ] || kill -9 $p; done; ip netns del {ns}"
            ));
        }
        if !std::thread::panicking() {
            let left = sh("ip netns list");
            assert!(!left.contains(&self.prefix), "namespaces are left: {left}");
        }
    }
}

pub(crate) fn certified(authority: &Authority, name: &str) -> openvpn::Credentials {
    let (key, request) = Credentials::request(name).unwrap();
    openvpn::Credentials {
        authority: authority.certificate().to_owned(),
        certificate: authority.sign(name, &request).unwrap(),
        key: key.serialize_pem(),
    }
}

pub(crate) async fn up(side: &OpenVpn) {
    let begun = Instant::now();
    while side.status().await.unwrap().state != State::Up {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            side.refusals()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A capture of all frames in a namespace.
pub(crate) struct Wire {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u8>>,
}

impl Wire {
    pub(crate) fn watch(ns: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        let file = std::fs::File::open(format!("/run/netns/{ns}")).unwrap();
        let (ready, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            let (packet, raw) = (AddressFamily::Packet, SockType::Raw);
            let all = socket(packet, raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll).unwrap();
            ready.send(()).unwrap();
            let (mut seen, mut frame) = (Vec::new(), [0; 65536]);
            loop {
                match nix::unistd::read(&all, &mut frame) {
                    Ok(length) => seen.extend(&frame[..length]),
                    Err(_) if over.load(Ordering::Relaxed) => return seen,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        wait.recv().unwrap();
        Self { stop, thread }
    }

    /// The bytes of all frames.
    pub(crate) fn end(self) -> Vec<u8> {
        std::thread::sleep(Duration::from_millis(50));
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Runs a script, which must succeed, and gives what it printed.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script, whatever comes of it, and gives what it printed.
pub(crate) fn out(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
