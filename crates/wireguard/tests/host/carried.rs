//! What is sent arrives.

use std::net::{IpAddr, SocketAddr};

use wireguard::{Event, Reason, SecretKey};

use crate::stage::{PORT, Stage, drops, inner, inner6, noise, only, outer, outer6, peer, until};

#[test]
fn tcp_arrives_as_it_was_sent_over_both_families() {
    let stage = Stage::new(2);
    let devices = stage.pair();
    let mut events = devices[1].0.events();
    let bytes = noise(20_000_000);
    for address in [inner(2), inner6(2)] {
        assert!(stage.tcp(1, 2, address, &bytes) == bytes, "{address}");
    }
    for (device, _) in &devices {
        let status = device.status();
        assert!(status.peers[0].received.packets > 100, "{status:?}");
        assert!(status.peers[0].handshake.is_some(), "{status:?}");
    }
    let peer = devices[0].1.public();
    until("the handshake is told", || {
        events.try_recv() == Ok(Event::Handshake { peer })
    });
}

#[test]
fn tcp_arrives_over_an_underlay_of_ipv6_and_from_one_address_of_ours() {
    for underlay in [outer6 as fn(u8) -> IpAddr, outer] {
        let stage = Stage::new(2);
        let keys = [(); 2].map(|()| SecretKey::generate());
        let [first, second] = [1, 2].map(|place| stage.device_at(place, underlay(place)));
        for (device, own, other) in [(&first, 0, 1), (&second, 1, 0)] {
            let mut known = peer(other as u8 + 1, &keys[other]);
            known.endpoint = Some(SocketAddr::new(underlay(other as u8 + 1), PORT));
            device.set(only(&keys[own], known)).expect("set");
        }
        let bytes = noise(5_000_000);
        for address in [inner(2), inner6(2)] {
            assert!(stage.tcp(1, 2, address, &bytes) == bytes, "{address}");
        }
    }
}

#[test]
fn tcp_arrives_where_the_underlay_has_no_offloads_and_where_it_carries_less_than_a_datagram() {
    let bytes = noise(3_000_000);
    for command in [
        "ethtool -K e0 tso off gso off gro off tx off tx-udp-segmentation off",
        "ip link set e0 mtu 1400",
    ] {
        let stage = Stage::new(2);
        for place in [1, 2] {
            stage.sh(place, command);
        }
        let [(first, _), _second] = stage.pair();
        for address in [inner(2), inner6(2)] {
            assert!(stage.tcp(1, 2, address, &bytes) == bytes, "{command}");
        }
        assert_eq!(drops(&first, Reason::Underlay), 0, "{command}");
    }
}

#[test]
fn small_udp_packets_arrive_each_by_itself_whole_and_in_order() {
    let stage = Stage::new(2);
    let _devices = stage.pair();
    let receiver = stage.udp(2, inner(2), 9000);
    let sender = stage.udp(1, inner(1), 0);
    for round in 0..20u32 {
        let length = |number: u32| 20 + (number % 3) as usize * 40;
        for number in 0..50u32 {
            let mut payload = noise(length(number));
            payload[..4].copy_from_slice(&number.to_be_bytes());
            payload[4..8].copy_from_slice(&round.to_be_bytes());
            sender.send_to(&payload, (inner(2), 9000)).expect("send");
        }
        let mut buffer = [0; 2000];
        for number in 0..50u32 {
            let got = receiver.recv(&mut buffer).expect("a datagram");
            assert_eq!(got, length(number));
            assert_eq!(buffer[..4], number.to_be_bytes(), "in order");
        }
    }
}

#[test]
fn a_device_is_gone_with_its_last_handle_and_bears_that_its_interface_is_taken_away() {
    let stage = Stage::new(1);
    let device = stage.device(1);
    let other = device.clone();
    drop(device);
    assert!(
        other
            .set(only(
                &SecretKey::generate(),
                peer(2, &SecretKey::generate())
            ))
            .is_ok()
    );
    stage.sh(1, "ip link show wg0");
    drop(other);
    stage.sh(1, "! ip link show wg0");
    let again = stage.device(1);
    stage.sh(1, "ip link del wg0");
    let spent = || -> u64 {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        let stats =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let ours = stats.filter(|stat| stat.contains("(wg wg0)"));
        let ticks = |stat: String| -> Option<u64> {
            let words: Vec<&str> = stat.split(')').next_back()?.split_whitespace().collect();
            Some(words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?)
        };
        ours.filter_map(ticks).sum()
    };
    let before = spent();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(spent() < before + 20, "it does not spin");
    assert_eq!(again.status().peers, []);
}
