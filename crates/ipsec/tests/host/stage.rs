//! Hosts in namespaces, joined by a WAN that is one more.

use identity::{Authority, Credentials};
use ipsec::{Config, Esp, Ipsec, Peer, State, Switch};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A WAN with hosts on it. What is left when it goes is checked.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    hosts: usize,
    pub(crate) authority: Authority,
    prefix: String,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Hosts 1 to `hosts`: device `eth0` with 10.9.0.N/24, and bridge `icsec0` with 100.64.0.N/10.
    pub(crate) fn new(hosts: usize) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("ips").tempdir().unwrap();
        let authority = Authority::open(&folder.path().join("ca")).unwrap();
        let prefix = format!("ips{}", std::process::id());
        let stage = Self {
            folder,
            hosts,
            authority,
            prefix,
            _turn: turn,
        };
        let wan = stage.ns(0);
        sh(&format!(
            "ip netns add {wan}; ip -n {wan} link add wan0 type bridge; ip -n {wan} link set wan0 up"
        ));
        for host in 1..=hosts {
            let ns = stage.ns(host);
            sh(&format!(
                "ip netns add {ns}
                 ip netns exec {ns} sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
                 ip -n {ns} link set lo up
                 ip -n {ns} link add eth0 mtu 1600 type veth peer name h{host} mtu 1600 netns {wan}
                 ip -n {wan} link set h{host} master wan0 up
                 ip -n {ns} addr add 10.9.0.{host}/24 dev eth0
                 ip -n {ns} link set eth0 up"
            ));
        }
        stage
    }

    /// A device with the inner address, where no switch makes one.
    pub(crate) fn inner_device(&self, host: usize) {
        let ns = self.ns(host);
        sh(&format!(
            "ip -n {ns} link add icsec0 type bridge; ip -n {ns} link set icsec0 up
             ip -n {ns} addr add 100.64.0.{host}/10 dev icsec0"
        ));
    }

    pub(crate) fn ns(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    pub(crate) fn netns(&self, host: usize) -> PathBuf {
        Path::new("/run/netns").join(self.ns(host))
    }

    /// A certificate of the stage's authority.
    pub(crate) fn credentials(&self, name: &str) -> ipsec::Credentials {
        certified(&self.authority, name, None)
    }

    pub(crate) fn config(&self, host: usize) -> Config {
        Config {
            rundir: self.folder.path().join(format!("h{host}")),
            netns: Some(self.netns(host)),
            id: name(host),
            inner: inner(host).into(),
            credentials: self.credentials(&name(host)),
            esp: Esp::Detect,
            switch: None,
            charon: ipsec::CHARON.into(),
            rekey: Duration::from_secs(3600),
        }
    }

    /// A host's IPsec without a switch.
    pub(crate) async fn start(&self, host: usize) -> Ipsec {
        self.inner_device(host);
        Ipsec::start(self.config(host)).await.unwrap()
    }

    /// Hosts 1 and 2, connected.
    pub(crate) async fn pair(&self) -> (Ipsec, Ipsec) {
        let (one, two) = (self.start(1).await, self.start(2).await);
        one.set(vec![peer(2)], None).await.unwrap();
        two.set(vec![peer(1)], None).await.unwrap();
        up(&one, &name(2)).await;
        up(&two, &name(1)).await;
        (one, two)
    }

    /// That the two ends of IPsec left nothing behind in a host.
    pub(crate) fn nothing_is_left(&self, host: usize) {
        let ns = self.ns(host);
        let links = sh(&format!("ip -n {ns} -br link"));
        assert!(!links.contains("ipsec0"), "{links}");
        let routes = sh(&format!("ip -n {ns} route show table all"));
        assert!(!routes.contains("unreachable 100.64"), "{routes}");
        let rules = sh(&format!("ip netns exec {ns} nft list ruleset"));
        assert_eq!(rules.trim(), "");
        let programs = sh(&format!(
            "for p in $(ip netns pids {ns}); do cat /proc/$p/comm; done"
        ));
        assert!(!programs.contains("charon"), "{programs}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for host in 0..=self.hosts {
            let ns = self.ns(host);
            // Programs of a test that failed; they keep a namespace alive.
            run(&format!(
                "for p in $(ip netns pids {ns}); do [ $p = $$ ] || kill -9 $p; done; ip netns del {ns}"
            ));
        }
        if !std::thread::panicking() {
            let left = sh("ip netns list");
            assert!(!left.contains(&self.prefix), "namespaces are left: {left}");
        }
    }
}

pub(crate) fn name(host: usize) -> String {
    format!("host-{host}")
}

pub(crate) fn inner(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(100, 64, 0, u8::try_from(host).unwrap())
}

pub(crate) fn outer(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, u8::try_from(host).unwrap())
}

pub(crate) fn peer(host: usize) -> Peer {
    Peer {
        id: name(host),
        outer: outer(host).into(),
        inner: vec![format!("{}/32", inner(host)).parse().unwrap()],
    }
}

pub(crate) fn switch(host: usize) -> Switch {
    Switch {
        port: "icsec-k".into(),
        mac: [2, 0, 0, 0, 0x0b, u8::try_from(host).unwrap()],
    }
}

/// A certificate of an authority, until `end_s`, s since the Unix epoch.
pub(crate) fn certified(
    authority: &Authority,
    name: &str,
    end_s: Option<i64>,
) -> ipsec::Credentials {
    let (key, request) = Credentials::request(name).unwrap();
    ipsec::Credentials {
        authority: authority.certificate().to_owned(),
        certificate: authority.sign_until(name, &request, end_s).unwrap(),
        key: key.serialize_pem(),
    }
}

/// Waits until a peer is connected.
pub(crate) async fn up(ipsec: &Ipsec, id: &str) {
    let begun = Instant::now();
    loop {
        let all = ipsec.status().await.unwrap();
        let one = all.iter().find(|peer| peer.id == id).unwrap();
        if one.state == State::Up {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{one:?} {:?}",
            ipsec.refusals()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a script, which must succeed, and gives what it printed.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script, whatever comes of it. True when it succeeded.
pub(crate) fn run(script: &str) -> bool {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    output.status.success()
}
