//! Namespaces on one bridge, with devices in them; gone when the stage is dropped.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wireguard::{
    Attach, Device, DeviceConfig, Peer, PublicKey, Reason, SecretKey, Transport, Wanted,
};

static STAGES: AtomicU32 = AtomicU32::new(0);

/// Port of all devices on the outside.
pub(crate) const PORT: u16 = 51820;

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
        let prefix = format!("wgt{}n{number}", std::process::id());
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
                 ip -n {name} addr add {outer}/24 dev e0; ip -n {name} addr add {outer6}/64 dev e0 nodad
                 ip -n {name} link set lo up; ip -n {name} link set e0 up",
                outer = outer(place),
                outer6 = outer6(place),
            ));
        }
        stage
    }

    pub(crate) fn name(&self, place: u8) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// Runs something in a place. Sockets and devices that it makes stay there.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        place: u8,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let run = self.thread(place, work);
        run.join().expect("no panic")
    }

    /// Runs something in a place meanwhile.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        place: u8,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let path = PathBuf::from("/run/netns").join(self.name(place));
        std::thread::spawn(move || {
            let file = std::fs::File::open(path).expect("a namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            work()
        })
    }

    /// A command in a place.
    pub(crate) fn sh(&self, place: u8, command: &str) -> String {
        sh(&format!(
            "ip netns exec {} sh -ec '{command}'",
            self.name(place)
        ))
    }

    /// A device of the kernel's, without keys yet, with its inner address and a route to the others'.
    pub(crate) fn device(&self, place: u8) -> Device {
        self.device_at(place, Ipv4Addr::UNSPECIFIED.into())
    }

    /// The same, which listens at an address.
    pub(crate) fn device_at(&self, place: u8, listen: IpAddr) -> Device {
        let config = DeviceConfig {
            listen: SocketAddr::new(listen, PORT),
            attach: Attach::Tun {
                name: "wg0".to_owned(),
            },
            mtu: 1420,
        };
        let device = self.inside(place, move || Device::open(config));
        let device = device.unwrap_or_else(|error| panic!("{error}"));
        self.address(place, "wg0");
        device
    }

    /// Gives an interface the inner addresses of a place.
    pub(crate) fn address(&self, place: u8, interface: &str) {
        let (v4, v6) = (inner(place), inner6(place));
        self.sh(
            place,
            &format!(
                "ip addr add {v4}/24 dev {interface}; ip addr add {v6}/64 dev {interface} nodad"
            ),
        );
    }

    /// Two devices that know each other.
    pub(crate) fn pair(&self) -> [(Device, SecretKey); 2] {
        let keys = [SecretKey::generate(), SecretKey::generate()];
        let both = [1, 2].map(|place| self.device(place));
        let [first, second] = both;
        first
            .set(only(&keys[0], peer(2, &keys[1])))
            .expect("set the first");
        second
            .set(only(&keys[1], peer(1, &keys[0])))
            .expect("set the second");
        let [a, b] = keys;
        [(first, a), (second, b)]
    }

    /// Sends bytes over TCP from one place to an address of another, and returns what arrived.
    pub(crate) fn tcp(&self, from: u8, to: u8, address: IpAddr, bytes: &[u8]) -> Vec<u8> {
        let at = SocketAddr::new(address, 7000);
        let listener = self
            .inside(to, move || TcpListener::bind(at))
            .expect("listen");
        let bytes = bytes.to_vec();
        let send = self.thread(from, move || {
            let mut stream =
                TcpStream::connect_timeout(&at, Duration::from_secs(20)).expect("connect");
            stream.write_all(&bytes).expect("write");
        });
        let (mut stream, _) = listener.accept().expect("accept");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("timeout");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("read");
        send.join().expect("no panic");
        got
    }

    /// A socket of UDP at an address of a place.
    pub(crate) fn udp(&self, place: u8, address: IpAddr, port: u16) -> UdpSocket {
        let socket = self.inside(place, move || UdpSocket::bind((address, port)));
        let socket = socket.expect("bind");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("timeout");
        socket
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

/// Where a place is on the outside.
pub(crate) fn outer(place: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, place).into()
}

pub(crate) fn outer6(place: u8) -> IpAddr {
    format!("fd00::{place}").parse().expect("an address")
}

/// Where it is inside.
pub(crate) fn inner(place: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, place).into()
}

pub(crate) fn inner6(place: u8) -> IpAddr {
    format!("fd09::{place}").parse().expect("an address")
}

/// A place as a peer that is to be begun with.
pub(crate) fn peer(place: u8, key: &SecretKey) -> Peer {
    Peer {
        keys: vec![key.public()],
        allowed: vec![inner(place).into(), inner6(place).into()],
        endpoint: Some(SocketAddr::new(outer(place), PORT)),
        keepalive: None,
        transport: Transport::Wireguard,
        roam: true,
    }
}

pub(crate) fn only(own: &SecretKey, peer: Peer) -> Wanted {
    Wanted {
        identities: vec![own.clone()],
        peers: vec![peer],
    }
}

/// How many packets a device has dropped for a reason.
pub(crate) fn drops(device: &Device, reason: Reason) -> u64 {
    device.status().drops.get(reason)
}

/// The key that a device's only peer is sent to with.
pub(crate) fn session(device: &Device) -> Option<PublicKey> {
    device.status().peers.first()?.session
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

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
