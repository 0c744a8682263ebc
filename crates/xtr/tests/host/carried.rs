//! What is sent arrives, whatever the families, the offloads, and what happens to it on the way.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::stage::{Stage, config, count, eid4, eid6, fixed, noise, rloc4, rloc6};

#[test]
fn tcp_arrives_as_it_was_sent_for_all_four_pairs_of_families() {
    let bytes = noise(20_000_000);
    for underlay in [rloc4 as fn(u8) -> IpAddr, rloc6] {
        let stage = Stage::new(2);
        let routers = stage.pair(underlay, |_| {});
        for address in [eid4(2), eid6(2)] {
            assert!(
                stage.tcp(1, 2, address, &bytes) == bytes,
                "{address} over {}",
                underlay(2)
            );
        }
        assert!(count(&routers[1], "coalesced_packets") > 1000);
        assert_eq!(count(&routers[1], "inner_checksum_wrong"), 0);
    }
}

#[test]
fn tcp_arrives_also_where_the_underlay_has_no_offloads() {
    let bytes = noise(5_000_000);
    let stage = Stage::new(2);
    for place in [1, 2] {
        stage.sh(
            place,
            "ethtool -K e0 tso off gso off gro off tx off tx-udp-segmentation off",
        );
    }
    let _routers = stage.pair(rloc4, |_| {});
    assert!(stage.tcp(1, 2, eid4(2), &bytes) == bytes);
    assert!(stage.tcp(1, 2, eid6(2), &bytes) == bytes);
}

#[test]
fn several_workers_carry_many_connections() {
    let stage = Stage::new(2);
    let routers = stage.pair(rloc4, |config| config.workers = 3);
    let bytes = noise(300_000);
    for _ in 0..12 {
        assert!(stage.tcp(1, 2, eid4(2), &bytes) == bytes);
    }
    assert!(count(&routers[0], "encapsulated_packets") > 12 * 200);
}

/// Someone on the way changes what is inside, with outer checksums that are right.
#[test]
fn what_was_damaged_on_the_way_is_never_taken_for_good() {
    let stage = Stage::new(3);
    let mut first = config(1, rloc4(1));
    first.mappings = vec![fixed(eid4(2), rloc4(3)), fixed(eid6(2), rloc4(3))];
    let first = stage.start(1, first);
    let mut second = config(2, rloc4(2));
    second.mappings = vec![fixed(eid4(1), rloc4(1)), fixed(eid6(1), rloc4(1))];
    let second = stage.start(2, second);
    let middle = stage
        .inside(3, || UdpSocket::bind("10.0.0.3:4341"))
        .expect("socket");
    middle
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("timeout");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let meddle = std::thread::spawn(move || {
        let to = SocketAddr::new(rloc4(2), 4341);
        let mut buffer = [0; 2000];
        let (mut seen, mut damaged) = (0u32, 0u32);
        while !stopped.load(Ordering::Relaxed) {
            let Ok(length) = middle.recv(&mut buffer) else {
                continue;
            };
            seen += 1;
            if seen % 97 == 0 && length > 1000 {
                damaged += 1;
                buffer[700 + seen as usize % 200] ^= 1 << (seen % 8);
            }
            middle.send_to(&buffer[..length], to).expect("send");
        }
        damaged
    });
    let bytes = noise(6_000_000);
    for address in [eid4(2), eid6(2)] {
        assert!(stage.tcp(1, 2, address, &bytes) == bytes);
    }
    stop.store(true, Ordering::Relaxed);
    let damaged = meddle.join().expect("no panic");
    assert!(damaged > 50, "{damaged}");
    assert!(count(&second, "coalesced_packets") > 500);
    let refused: u64 = stage
        .sh(2, "cat /proc/net/netstat /proc/net/snmp")
        .lines()
        .collect::<Vec<_>>()
        .windows(2)
        .filter_map(|pair| {
            let names = pair[0].split_whitespace();
            let place = names
                .clone()
                .position(|name| name == "InCsumErrors" || name == "TCPBadCsum")?;
            pair[0]
                .starts_with("Tcp")
                .then(|| pair[1].split_whitespace().nth(place))?
        })
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    assert_eq!(
        refused,
        u64::from(damaged),
        "the kernel has seen and refused each damaged packet"
    );
    drop(first);
}

#[test]
fn small_udp_packets_arrive_each_by_itself_and_whole() {
    let stage = Stage::new(2);
    let routers = stage.pair(rloc4, |_| {});
    let receiver = stage
        .inside(2, || UdpSocket::bind("10.2.0.2:9000"))
        .expect("socket");
    receiver
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("timeout");
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:0"))
        .expect("socket");
    for round in 0..20u32 {
        for number in 0..50u32 {
            let mut payload = noise(20 + (number % 3) as usize * 40);
            payload[..4].copy_from_slice(&number.to_be_bytes());
            payload[4..8].copy_from_slice(&round.to_be_bytes());
            sender.send_to(&payload, "10.2.0.2:9000").expect("send");
        }
        let mut buffer = [0; 2000];
        for number in 0..50u32 {
            let length = receiver.recv(&mut buffer).expect("a datagram");
            assert_eq!(length, 20 + (number % 3) as usize * 40);
            assert_eq!(buffer[..4], number.to_be_bytes(), "in order");
        }
    }
    assert_eq!(count(&routers[1], "decapsulated_packets"), 1000);
}
