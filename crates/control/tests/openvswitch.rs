//! The rules in real switches, with real packets.

mod real;

use control::Arrivals;
use control::projection::Change;
use model::Encap;
use real::endpoint::{BROADCAST, Endpoint, ipv4, ipv6, mac};
use real::frame::numbered;
use real::host::{locator, underlay};
use real::lab::{Lab, key};
use std::net::{IpAddr, Ipv4Addr};

#[tokio::test]
async fn members_reach_each_other_through_every_encapsulation_over_both_underlays() {
    let mut lab = Lab::new(2, &[&[1, 2, 1]]).await;
    lab.endpoints.values().for_each(Endpoint::configure);
    assert!(lab.at(1, 1).reaches(3), "two members on one host");
    for v6 in [false, true] {
        for number in [1, 2] {
            lab.directory
                .relocate(&locator(number).host, underlay(number, v6));
        }
        for encap in [Encap::Vxlan, Encap::Gre, Encap::Geneve] {
            lab.sync().await;
            for host in lab.hosts.values_mut() {
                host.view
                    .nets
                    .values_mut()
                    .for_each(|net| net.encap = encap);
                host.sync().await;
            }
            assert!(lab.at(1, 1).reaches(2), "{encap:?}, IPv6 underlay: {v6}");
        }
    }
}

#[tokio::test]
async fn arp_and_neighbours_are_answered_by_the_switch_for_endpoints_that_are_silent() {
    let lab = Lab::new(2, &[&[1, 2]]).await;
    let (asker, silent) = (lab.at(1, 1), lab.at(1, 2));
    asker.configure();
    asker
        .netns
        .exec(&format!("busybox arping -c 1 -w 5 -I eth0 {}", ipv4(2)))
        .unwrap();
    let nobody = asker.netns.exec(&format!(
        "busybox arping -c 1 -w 1 -W 1 -I eth0 {}",
        ipv4(9)
    ));
    assert!(nobody.is_err(), "nobody has this address");
    // The kernel takes the advertisement for good; that the echo is not answered is no matter.
    let _ = asker
        .netns
        .exec(&format!("busybox ping -c 1 -w 1 -W 1 {}", ipv4(2)));
    let _ = asker
        .netns
        .exec(&format!("busybox ping6 -c 1 -w 1 -W 1 {}", ipv6(2)));
    for ip in [IpAddr::from(ipv4(2)), ipv6(2).into()] {
        let neighbour = asker.netns.ip(&format!("neigh show {ip} dev eth0"));
        assert!(neighbour.contains("52:54:00:77:00:02"), "{ip}: {neighbour}");
    }
    // Everything before this frame has been delivered when it comes: no question is among it.
    asker.send(2, 1);
    let mut frames = Vec::new();
    while frames
        .last()
        .is_none_or(|frame: &Vec<u8>| !frame.windows(9).any(|part| part == b"transhume"))
    {
        frames.push(silent.raw.next().expect("the numbered frame comes"));
    }
    let questions = |frame: &&Vec<u8>| {
        frame[12..14] == [8, 6] || (frame[12..14] == [0x86, 0xdd] && frame[54] == 135)
    };
    let leaked: Vec<_> = frames.iter().filter(questions).collect();
    assert!(leaked.is_empty(), "{leaked:02x?}");
}

#[tokio::test]
async fn an_address_of_another_member_is_found_to_be_taken_and_ones_own_is_not() {
    let lab = Lab::new(1, &[&[1, 1]]).await;
    let endpoint = lab.at(1, 1);
    let arping = |ip: Ipv4Addr| {
        endpoint
            .netns
            .exec(&format!("busybox arping -D -c 2 -w 2 -I eth0 {ip}"))
    };
    assert!(
        arping(ipv4(2)).is_err(),
        "an ARP probe for a taken address is answered"
    );
    arping(ipv4(1)).unwrap();
    for (vm, verdict) in [(2, "dadfailed"), (1, "")] {
        endpoint
            .netns
            .ip(&format!("addr add {}/64 dev eth0", ipv6(vm)));
        let mut shown = String::new();
        for _ in 0..100 {
            shown = endpoint
                .netns
                .ip(&format!("-6 addr show dev eth0 to {}/128", ipv6(vm)));
            if !shown.contains("tentative") || shown.contains("dadfailed") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(
            !shown.is_empty() && shown.contains(verdict),
            "{vm}: {shown}"
        );
        assert_eq!(
            shown.contains("dadfailed"),
            !verdict.is_empty(),
            "{vm}: {shown}"
        );
    }
}

#[tokio::test]
async fn a_spoofed_source_is_dropped() {
    let lab = Lab::new(2, &[&[1, 2, 1]]).await;
    let sender = lab.at(1, 1);
    for (to, other) in [(2, 3), (3, 2)] {
        let (own, own6) = (ipv4(1).into(), ipv6(1).into());
        let (dst, dst6) = (ipv4(to).into(), ipv6(to).into());
        for frame in [
            numbered(mac(other), mac(to), own, dst, 0),
            numbered(mac(1), mac(to), ipv4(other).into(), dst, 1),
            numbered(mac(1), mac(to), Ipv4Addr::new(192, 0, 2, 1).into(), dst, 2),
            numbered(mac(1), mac(to), ipv6(other).into(), dst6, 3),
            numbered(mac(1), BROADCAST, ipv4(other).into(), dst, 4),
            numbered(mac(9), BROADCAST, own, dst, 5),
            tagged(&numbered(mac(1), mac(to), own, dst, 6)),
            numbered(mac(1), mac(to), own6, dst6, 7),
            numbered(mac(1), mac(to), own, dst, 8),
        ] {
            sender.send_frame(&frame);
        }
        assert_eq!(sender.seen_by(lab.at(1, to)), [7, 8], "member {to}");
    }
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
}

#[tokio::test]
async fn two_clusters_with_the_same_addresses_do_not_see_each_other() {
    let lab = Lab::new(2, &[&[1, 2, 2, 1], &[1, 2, 2, 1]]).await;
    for (cluster, other) in [(1, 2), (2, 1)] {
        lab.at(cluster, 1).send(2, 1);
        lab.at(cluster, 1).broadcast(2);
        for (vm, expected) in [(2, vec![1, 2]), (3, vec![2]), (4, vec![2])] {
            assert_eq!(lab.at(cluster, 1).seen_by(lab.at(cluster, vm)), expected);
        }
        for vm in [2, 3, 4] {
            assert_eq!(lab.at(other, 1).seen_by(lab.at(other, vm)), [] as [u32; 0]);
        }
    }
}

#[tokio::test]
async fn group_and_unknown_frames_are_copied_to_members_only_and_once() {
    let lab = Lab::new(3, &[&[1, 1, 2, 2], &[3, 1]]).await;
    let sender = lab.at(1, 1);
    let multicast6 = [0x33, 0x33, 0, 0, 0, 0xfb];
    let multicast4 = [1, 0, 0x5e, 0, 0, 0xfb];
    let unknown = [2, 0, 0, 0, 0, 0x99];
    for (number, to) in (1..).zip([BROADCAST, multicast6, multicast4, unknown]) {
        let (src, dst) = (ipv4(1).into(), Ipv4Addr::BROADCAST.into());
        sender.send_frame(&numbered(mac(1), to, src, dst, number));
    }
    for vm in [2, 3, 4] {
        assert_eq!(sender.seen_by(lab.at(1, vm)), [1, 2, 3, 4], "member {vm}");
    }
    // Host 3 has no member of the cluster: nothing of it came there by the tunnel.
    let arrived = lab.hosts[&3].client.port_stats(1u32.into()).await.unwrap();
    assert_eq!(arrived[0].rx_packets, 0);
    assert_eq!(lab.at(2, 2).seen_by(lab.at(2, 1)), [] as [u32; 0]);
}

#[tokio::test]
async fn a_move_loses_nothing_with_a_redirect_and_a_waiting_port_gets_nothing_early() {
    let mut lab = Lab::new(3, &[&[1, 3, 1]]).await;
    let target = lab.plug_beside(1, 1, 2);
    lab.tell(2).await;
    let source_port = |lab: &Lab, last| lab.at(1, 1).raw.numbers_until(last);
    // Before the flip all goes to the source, group frames too.
    lab.at(1, 2).send(1, 1);
    assert_eq!(source_port(&lab, 1), [1]);
    lab.at(1, 2).broadcast(2);
    assert_eq!(source_port(&lab, 2), [2]);
    lab.at(1, 3).send(1, 3);
    assert_eq!(source_port(&lab, 3), [3]);
    // The target is ready, the source sends on; the peer does not know yet.
    lab.arrivals(2, &key(1, 1), Some(Arrivals::Deliver)).await;
    lab.arrivals(
        1,
        &key(1, 1),
        Some(Arrivals::Redirect {
            to: underlay(2, false),
        }),
    )
    .await;
    lab.at(1, 2).send(1, 4);
    assert_eq!(target.raw.numbers_until(4), [4]);
    // The peer is told.
    lab.directory.commit(&key(1, 1), locator(2)).unwrap();
    lab.tell(3).await;
    lab.at(1, 2).send(1, 5);
    assert_eq!(target.raw.numbers_until(5), [5]);
    // All are told: local senders of the source reach the target, and the endpoint itself, which
    // still runs at the source, is heard until it stops.
    lab.sync().await;
    lab.at(1, 3).send(1, 6);
    assert_eq!(target.raw.numbers_until(6), [6]);
    lab.at(1, 1).send(2, 7);
    assert_eq!(lab.at(1, 2).raw.numbers_until(7), [7]);
    // It runs at the target: the old port is fenced.
    for host in [1, 2] {
        lab.arrivals(host, &key(1, 1), None).await;
    }
    lab.at(1, 1).send(2, 8);
    target.send(2, 9);
    assert_eq!(target.seen_by(lab.at(1, 2)), [9]);
    lab.hosts[&1].settle();
    let fenced = lab.hosts[&1].ofctl(
        "dump-flows",
        &["cookie=0x7472300000000000/0xfffff00000000000"],
    );
    assert!(fenced.contains("n_packets=1,"), "{fenced}");
    // Nothing of all this came to the source after the redirect.
    lab.directory.commit(&key(1, 1), locator(1)).unwrap();
    lab.sync().await;
    lab.at(1, 2).send(1, 10);
    assert_eq!(source_port(&lab, 10), [10]);
}

#[tokio::test]
async fn a_gate_keeps_what_comes_for_an_endpoint_in_a_queue_port() {
    let mut lab = Lab::new(2, &[&[1, 1, 2]]).await;
    let queue = Endpoint::plug(&lab.hosts[&1], 99, 99);
    lab.arrivals(
        1,
        &key(1, 1),
        Some(Arrivals::Gate {
            ofport: queue.ofport,
        }),
    )
    .await;
    lab.at(1, 2).send(1, 1);
    assert_eq!(queue.raw.numbers_until(1), [1]);
    lab.at(1, 3).send(1, 2);
    assert_eq!(queue.raw.numbers_until(2), [2]);
    lab.at(1, 3).broadcast(3);
    assert_eq!(queue.raw.numbers_until(3), [3]);
    assert_eq!(lab.at(1, 2).raw.numbers_until(3), [3]);
    lab.arrivals(1, &key(1, 1), None).await;
    lab.at(1, 3).send(1, 4);
    assert_eq!(lab.at(1, 1).raw.numbers_until(4), [4]);
}

#[tokio::test]
async fn peers_that_are_told_back_and_forth_lose_nothing() {
    let mut lab = Lab::new(3, &[&[1, 3]]).await;
    let other = lab.plug_beside(1, 1, 2);
    lab.tell(2).await;
    for host in [1, 2] {
        lab.arrivals(host, &key(1, 1), Some(Arrivals::Deliver))
            .await;
    }
    for number in 0..200u32 {
        if number.is_multiple_of(5) {
            let to = 1 + (number / 5 % 2) as u8;
            lab.directory.commit(&key(1, 1), locator(to)).unwrap();
            lab.tell_fast(3).await;
        }
        lab.at(1, 2).send(1, number);
    }
    // Whichever rule a packet went by, it came to one of the two places, once.
    lab.tell(3).await;
    let mut seen = Vec::new();
    for host in [1, 2] {
        lab.directory.commit(&key(1, 1), locator(host)).unwrap();
        lab.tell(3).await;
        lab.at(1, 2).send(1, 1000);
        let endpoint = if host == 1 { lab.at(1, 1) } else { &other };
        seen.extend(endpoint.raw.numbers_until(1000));
    }
    seen.sort_unstable();
    let expected: Vec<u32> = (0..200).chain([1000, 1000]).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn rules_are_read_back_and_only_what_differs_is_changed() {
    let lab = Lab::new(1, &[&[1, 1]]).await;
    let host = &lab.hosts[&1];
    assert_eq!(
        host.converge().await,
        [],
        "what was installed is recognised"
    );
    lab.at(1, 1).send(2, 1);
    assert_eq!(lab.at(1, 2).raw.numbers_until(1), [1]);

    // Somebody adds a rule of his own; ours are lost in one table; one is left over.
    host.ofctl(
        "add-flow",
        &["cookie=0x42,table=5,priority=1,ip,actions=drop"],
    );
    host.ofctl("del-flows", &["table=20"]);
    host.ofctl(
        "add-flow",
        &["cookie=0x7472500000000001,table=30,priority=77,ip,actions=drop"],
    );
    let steps = host.converge().await;
    assert!(steps.iter().all(|step| match step {
        Change::Add(rule) => rule.table == 20,
        Change::Remove(_) => false,
        Change::RemoveLeftover { table, .. } => *table == 30,
    }));
    assert_eq!(
        steps
            .iter()
            .filter(|step| matches!(step, Change::RemoveLeftover { .. }))
            .count(),
        1
    );
    assert_eq!(host.converge().await, []);
    assert!(
        host.ofctl("dump-flows", &["table=5"])
            .contains("cookie=0x42")
    );
    // Rules that were right were not touched: they still have their counts.
    host.settle();
    let guard = host.ofctl("dump-flows", &["table=10,in_port=31,ip"]);
    assert!(guard.contains("n_packets=1,"), "{guard}");
}
