//! VMs' ports: the queue that waits, the capture that watches it, the probe, and the gate.

use crate::support::{Guest, World, text_of, udp, v4};
use model::{Encap, Member};
use ovs::bench::stage::Plan;
use std::net::IpAddr;
use std::time::Duration;

/// A VM on the second host, one that is about to come to the first, and one who talks to it.
async fn pair() -> (World, Member, Guest, Guest) {
    let mut world = World::empty(Plan::default(), Encap::Vxlan).await;
    let (vm, guest) = world.vm(1, 0).await;
    let (talker_member, talker) = world.vm(2, 1).await;
    world.add_row(&vm, 1);
    world.add_row(&talker_member, 1);
    world.tell_all().await;
    (world, vm, guest, talker)
}

async fn arrive(world: &World, vm: &Member) {
    for at in 0..2 {
        world
            .host(at)
            .apply(Vec::new(), vec![world.row(vm, 0, 2)], Vec::new())
            .await
            .unwrap();
    }
    world.effective().await;
}

fn number(frame: &[u8]) -> Option<u32> {
    text_of(frame)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_in_a_vms_port_before_the_directory_says_that_it_is_here() {
    let (world, vm, guest, talker) = pair().await;
    talker.says(&vm, "too early");
    talker.send(&udp(
        talker.member.mac.0,
        [0xff; 6],
        talker.ip(),
        [255; 4].into(),
        "to all, too early",
    ));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(guest.received().await, Vec::<Vec<u8>>::new());
    arrive(&world, &vm).await;
    talker.says(&vm, "in time");
    assert_eq!(guest.texts().await, ["in time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_port_keeps_thousands_of_packets_in_order_and_counts_what_it_cannot_keep() {
    let (world, vm, guest, talker) = pair().await;
    arrive(&world, &vm).await;
    for number in 0..3000 {
        talker.says(&vm, &number.to_string());
        // As fast as a switch on a busy machine can follow.
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let key = world.key(&vm);
    let numbers: Vec<u32> = guest
        .received()
        .await
        .iter()
        .filter_map(|frame| number(frame))
        .collect();
    assert_eq!(numbers, (0..3000).collect::<Vec<_>>());
    assert_eq!(world.host(0).port_stats(&key).await.unwrap().dropped, 0);
    // A queue that nobody reads: the tap counts what does not fit.
    let io = world.host(0).tap_io();
    let ifname = world.host(0).ports().await[&key].ifname.clone();
    let frame = udp(talker.member.mac.0, vm.mac.0, talker.ip(), v4(&vm), "x");
    io.inject(&ifname, &vec![frame; 10_100]).await.unwrap();
    let dropped = world.host(0).port_stats(&key).await.unwrap().dropped;
    let kept = guest.received().await.len() as u64;
    assert_eq!(kept + dropped, 10_100);
    assert!(kept >= 9_900, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_sees_what_the_switch_gives_to_the_guest_and_nothing_else() {
    let (world, vm, guest, talker) = pair().await;
    let ifname = world.host(0).ports().await[&world.key(&vm)].ifname.clone();
    let capture = world
        .host(0)
        .tap_io()
        .capture(&ifname, vm.mac)
        .await
        .unwrap();
    arrive(&world, &vm).await;
    for number in 0..200 {
        talker.says(&vm, &number.to_string());
    }
    guest.says(&talker.member, "an answer");
    assert_eq!(talker.texts().await, ["an answer"]);
    let frames = capture.take();
    let numbers: Vec<u32> = frames.iter().filter_map(|frame| number(frame)).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert_eq!(frames.len(), 200);
    assert_eq!(capture.lost(), 0);
    talker.says(&vm, "200");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        capture
            .take()
            .iter()
            .filter_map(|frame| number(frame))
            .collect::<Vec<_>>(),
        [200]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn injected_frames_reach_the_guest_in_order_and_nobody_else() {
    let (world, vm, guest, talker) = pair().await;
    let ifname = world.host(0).ports().await[&world.key(&vm)].ifname.clone();
    let frames: Vec<_> = (0..500)
        .map(|number| {
            udp(
                talker.member.mac.0,
                vm.mac.0,
                talker.ip(),
                v4(&vm),
                &number.to_string(),
            )
        })
        .collect();
    world
        .host(0)
        .tap_io()
        .inject(&ifname, &frames)
        .await
        .unwrap();
    let numbers: Vec<u32> = guest
        .received()
        .await
        .iter()
        .filter_map(|frame| number(frame))
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    assert!(talker.texts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_answers_is_found_and_one_that_is_silent_is_not() {
    let (world, vm, guest, _talker) = pair().await;
    let ifname = world.host(0).ports().await[&world.key(&vm)].ifname.clone();
    let io = world.host(0).tap_io();
    let ip = v4(&vm);
    let silent = io
        .answers(&ifname, vm.mac, ip.into(), Duration::from_millis(200))
        .await
        .unwrap();
    assert!(!silent);
    guest.received().await;
    let v6 = vm.addresses[1].address;
    let answering = tokio::spawn(async move {
        loop {
            for frame in ovs::tap::read_waiting(&guest.tap).unwrap() {
                if let Some(reply) = answer(&guest.member, &frame) {
                    guest.send(&reply);
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    for ip in [ip.into(), v6] {
        let patience = Duration::from_secs(5);
        assert!(
            io.answers(&ifname, vm.mac, ip, patience).await.unwrap(),
            "{ip}"
        );
    }
    answering.abort();
}

/// What a guest's kernel answers to an ARP request, and to a neighbour solicitation, for itself.
fn answer(guest: &Member, question: &[u8]) -> Option<Vec<u8>> {
    let mut reply = question.to_vec();
    reply.copy_within(6..12, 0);
    reply[6..12].copy_from_slice(&guest.mac.0);
    let ip = v4(guest).octets();
    if question[12..14] == [8, 6] && question[38..42] == ip {
        reply[21] = 2;
        reply.copy_within(22..32, 32);
        reply[22..28].copy_from_slice(&guest.mac.0);
        reply[28..32].copy_from_slice(&ip);
        return Some(reply);
    }
    let IpAddr::V6(v6) = guest.addresses[1].address else {
        return None;
    };
    if question[12..14] == [0x86, 0xdd]
        && question.get(54) == Some(&135)
        && question[62..78] == v6.octets()
    {
        reply.copy_within(22..38, 38);
        reply[22..38].copy_from_slice(&v6.octets());
        reply[54] = 136;
        reply[58] = 0x60;
        reply[78] = 2;
        reply[80..86].copy_from_slice(&guest.mac.0);
        return Some(reply);
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_holds_what_comes_from_near_and_far_and_gives_it_back_in_order() {
    let (mut world, vm, guest, far) = pair().await;
    let (near_member, near) = world.vm(3, 0).await;
    world.add_row(&near_member, 0);
    world.tell_all().await;
    arrive(&world, &vm).await;
    let key = world.key(&vm);
    let gate = world.host(0).open_gate(&key).await.unwrap();
    world.effective().await;
    for number in 0..100 {
        let from = if number % 2 == 0 { &far } else { &near };
        from.says(&vm, &number.to_string());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(guest.texts().await.is_empty());
    let waiting = gate.drain().unwrap();
    let numbers: Vec<u32> = waiting.iter().filter_map(|frame| number(frame)).collect();
    assert_eq!(numbers.len(), 100);
    for parity in [0, 1] {
        let one: Vec<u32> = numbers
            .iter()
            .copied()
            .filter(|number| number % 2 == parity)
            .collect();
        assert!(one.is_sorted(), "{one:?}");
    }
    let ifname = world.host(0).ports().await[&key].ifname.clone();
    world
        .host(0)
        .tap_io()
        .inject(&ifname, &waiting)
        .await
        .unwrap();
    let late = world.host(0).close_gate(&key).await.unwrap();
    world.host(0).tap_io().inject(&ifname, &late).await.unwrap();
    world.effective().await;
    far.says(&vm, "100");
    let received: Vec<u32> = guest
        .received()
        .await
        .iter()
        .filter_map(|frame| number(frame))
        .collect();
    assert_eq!(received.len(), 101);
    assert_eq!(received.last(), Some(&100));
    let links = world.stage.hosts[0].netlink.links().await.unwrap();
    drop(gate);
    assert!(world.host(0).close_gate(&key).await.unwrap().is_empty());
    assert!(
        links
            .iter()
            .filter(|link| link.name.starts_with("thg-"))
            .count()
            <= 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_an_agent_that_ended_is_gone_after_its_restart() {
    let (mut world, vm, _guest, talker) = pair().await;
    arrive(&world, &vm).await;
    let gate = world.host(0).open_gate(&world.key(&vm)).await.unwrap();
    drop(gate);
    world.stage.hosts[0].host = None;
    drop(_guest);
    world.stage.start_agent(0).await.unwrap();
    let guest = world.guest(&vm, 0).await;
    world.effective().await;
    talker.says(&vm, "after all");
    assert_eq!(guest.texts().await, ["after all"]);
    let links = world.stage.hosts[0].netlink.links().await.unwrap();
    assert!(links.iter().all(|link| !link.name.starts_with("thg-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_itself_says_nothing_into_a_waiting_port() {
    let (_world, _vm, guest, _talker) = pair().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(guest.received().await, Vec::<Vec<u8>>::new());
}
