//! A layer-2 device as a port of a switch, for which the kernel's bridge stands here.

use std::net::{Ipv4Addr, SocketAddr};

use wireguard::{Attach, Device, DeviceConfig, SecretKey};

use crate::stage::{PORT, Stage, inner, inner6, noise, only, peer};

const MAC: &str = "02:00:00:00:00:01";
const INSIDE: &str = "02:00:00:00:00:02";

fn mac(text: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (to, from) in bytes.iter_mut().zip(text.split(':')) {
        *to = u8::from_str_radix(from, 16).expect("a byte");
    }
    bytes
}

fn open(stage: &Stage, place: u8) -> Device {
    let config = DeviceConfig {
        listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT),
        attach: Attach::Tap {
            name: "wg0".to_owned(),
            mac: mac(MAC),
            inside: mac(INSIDE),
            stays: false,
        },
        mtu: 1420,
    };
    let device = stage
        .inside(place, move || Device::open(config))
        .expect("a device");
    stage.sh(
        place,
        &format!(
            "ip link add br0 type bridge mcast_snooping 0
             sysctl -qw net.ipv6.conf.br0.accept_dad=0
             ip link set br0 address {INSIDE}
             ip link set wg0 master br0
             ip link set br0 up"
        ),
    );
    stage.address(place, "br0");
    device
}

fn pair(stage: &Stage) -> [Device; 2] {
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let (first, second) = (open(stage, 1), open(stage, 2));
    first.set(only(&own, peer(2, &other))).expect("set");
    second.set(only(&other, peer(1, &own))).expect("set");
    [first, second]
}

#[test]
fn a_switch_finds_peers_behind_its_port_and_tcp_arrives_over_both_families() {
    let stage = Stage::new(2);
    let _devices = pair(&stage);
    // What is too large for the device is answered, and then sent smaller.
    let bytes = noise(5_000_000);
    for address in [inner(2), inner6(2)] {
        assert!(stage.tcp(1, 2, address, &bytes) == bytes, "{address}");
    }
    let neighbours = stage.sh(1, "ip neigh show dev br0");
    for address in [inner(2), inner6(2)] {
        let line = format!("{address} lladdr {MAC}");
        assert!(neighbours.contains(&line), "{neighbours}");
    }
}

#[test]
fn who_is_no_peer_is_not_answered_for() {
    let stage = Stage::new(2);
    let _devices = pair(&stage);
    stage.sh(1, "! ping -qc 1 -W 2 10.9.0.99");
    let neighbours = stage.sh(1, "ip neigh show dev br0");
    assert!(!neighbours.contains(MAC), "{neighbours}");
}

#[test]
fn a_packet_that_is_too_large_is_answered_with_what_fits() {
    let stage = Stage::new(2);
    let _devices = pair(&stage);
    stage.sh(
        1,
        "ip link set br0 mtu 1500 || true; ip link set wg0 mtu 1500",
    );
    stage.sh(1, &format!("ping -qc 1 -W 5 -s 1392 -M do {}", inner(2)));
    stage.sh(1, &format!("! ping -qc 1 -W 2 -s 1440 -M do {}", inner(2)));
    stage.sh(1, &format!("! ping -qc 1 -W 2 -s 1440 -M do {}", inner6(2)));
    for route in [
        format!("ip route get {}", inner(2)),
        format!("ip -6 route get {}", inner6(2)),
    ] {
        let shown = stage.sh(1, &route);
        assert!(shown.contains("mtu 1420"), "{shown}");
    }
    // What may be cut is.
    stage.sh(1, "ip route flush cache");
    stage.sh(1, &format!("ping -qc 1 -W 5 -s 4000 -M dont {}", inner(2)));
}
