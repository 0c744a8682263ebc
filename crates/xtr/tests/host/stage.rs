//! Namespaces on one bridge, each with an address of IPv4 and IPv6; gone when the stage is dropped.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lisp::Eid;
use xtr::config::{Instance, Own, Rloc, Static};
use xtr::{Config, Handle, Router};

static STAGES: AtomicU32 = AtomicU32::new(0);

/// The instance that everything is in.
pub(crate) const INSTANCE: u32 = 7;

pub(crate) struct Stage {
    prefix: String,
    count: u8,
}

pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", command])
        .output()
        .expect("sh");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\nfailed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Stage {
    /// With so many places, numbered from 1.
    pub(crate) fn new(count: u8) -> Self {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("xtrt{}n{number}", std::process::id());
        let stage = Self { prefix, count };
        let wan = stage.name(0);
        sh(&format!(
            "ip netns add {wan}; ip -n {wan} link add name wan0 type bridge mcast_snooping 0; ip -n {wan} link set wan0 up"
        ));
        for place in 1..=count {
            let name = stage.name(place);
            sh(&format!(
                "ip netns add {name}
                 ip link add e0 netns {name} type veth peer name p{place} netns {wan}
                 ip -n {wan} link set p{place} master wan0 up
                 ip netns exec {name} sysctl -qw net.ipv6.conf.e0.accept_dad=0 net.ipv6.conf.e0.dad_transmits=0
                 ip -n {name} addr add {v4}/24 dev e0
                 ip -n {name} addr add {v6}/64 dev e0 nodad
                 ip -n {name} link set lo up; ip -n {name} link set e0 up",
                v4 = rloc4(place),
                v6 = rloc6(place),
            ));
        }
        stage
    }

    pub(crate) fn name(&self, place: u8) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// Runs something in a place. Sockets that it makes stay there.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        place: u8,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = PathBuf::from("/run/netns").join(self.name(place));
        let run = move || {
            let file = std::fs::File::open(path).expect("a namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            work()
        };
        std::thread::spawn(run).join().expect("no panic")
    }

    /// A command in a place.
    pub(crate) fn sh(&self, place: u8, command: &str) -> String {
        sh(&format!(
            "ip netns exec {} sh -ec '{command}'",
            self.name(place)
        ))
    }

    pub(crate) fn start(&self, place: u8, config: Config) -> Handle {
        let handle = self.inside(place, move || Router::start(config));
        handle.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Two routers that know each other, each with an endpoint of both families on its TUN.
    pub(crate) fn pair(&self, underlay: fn(u8) -> IpAddr, change: fn(&mut Config)) -> [Handle; 2] {
        [(1, 2), (2, 1)].map(|(me, other)| {
            let mut config = config(me, underlay(me));
            for eid in [eid4(other), eid6(other)] {
                config.mappings.push(fixed(eid, underlay(other)));
            }
            change(&mut config);
            self.start(me, config)
        })
    }

    /// Sends bytes over TCP from one place to an address of another, and returns what arrived.
    pub(crate) fn tcp(&self, from: u8, to: u8, address: IpAddr, bytes: &[u8]) -> Vec<u8> {
        let at = SocketAddr::new(address, 7000);
        let listener = self
            .inside(to, move || TcpListener::bind(at))
            .expect("listen");
        let bytes = bytes.to_vec();
        let path = PathBuf::from("/run/netns").join(self.name(from));
        let send = std::thread::spawn(move || {
            let file = std::fs::File::open(path).expect("a namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            let mut stream =
                TcpStream::connect_timeout(&at, Duration::from_secs(20)).expect("connect");
            stream.write_all(&bytes).expect("write");
        });
        let (mut stream, _) = listener.accept().expect("accept");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("timeout");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("read");
        send.join().expect("no panic");
        got
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for place in 0..=self.count {
            drop(
                Command::new("ip")
                    .args(["netns", "del", &self.name(place)])
                    .status(),
            );
        }
        let left = Command::new("ip")
            .args(["netns", "list"])
            .output()
            .expect("ip");
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        if !std::thread::panicking() {
            assert!(
                !left.contains(&format!("{}-", self.prefix)),
                "left behind: {left}"
            );
        }
    }
}

/// A router's configuration with an endpoint of its own, of each family, on its TUN.
pub(crate) fn config(place: u8, rloc: IpAddr) -> Config {
    let instance = Instance {
        id: INSTANCE,
        tun: "lisp7".to_owned(),
        mtu: None,
        addresses: vec![
            format!("{}/32", eid4(place)),
            format!("{}/128", eid6(place)),
        ],
        routes: vec!["10.2.0.0/16".to_owned(), "fd02::/64".to_owned()],
    };
    let mut config = Config::small([rloc], instance);
    for address in [eid4(place), eid6(place)] {
        let prefix = address.to_string();
        config.eids.push(Own {
            prefix,
            instance: INSTANCE,
        });
    }
    config.probe_interval = 0;
    config
}

pub(crate) fn fixed(eid: IpAddr, to: IpAddr) -> Static {
    Static {
        prefix: eid.to_string(),
        instance: INSTANCE,
        rlocs: vec![rloc(to)],
    }
}

pub(crate) fn rloc(address: IpAddr) -> Rloc {
    Rloc {
        address,
        priority: 1,
        weight: 100,
    }
}

pub(crate) fn rloc4(place: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, place).into()
}

pub(crate) fn rloc6(place: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, place.into()).into()
}

pub(crate) fn eid4(place: u8) -> IpAddr {
    Ipv4Addr::new(10, 2, 0, place).into()
}

pub(crate) fn eid6(place: u8) -> IpAddr {
    Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, place.into()).into()
}

pub(crate) fn host(address: IpAddr) -> Eid {
    Eid::host(INSTANCE, address)
}

/// Bytes that repeat nowhere soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What a counter of a router says.
pub(crate) fn count(router: &Handle, name: &str) -> u64 {
    let packets = router.status().packets;
    *packets
        .get(name)
        .unwrap_or_else(|| panic!("no counter {name}"))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
