//! A VM cannot send with another's address, and a fenced one not at all.

use crate::support::{World, text_of, udp, v4};
use model::Encap;
use ovs::bench::stage::Plan;

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_cannot_send_with_an_address_that_is_not_its_own() {
    let mut world = World::empty(Plan::default(), Encap::Vxlan).await;
    let (liar, at_liar) = world.vm(1, 0).await;
    let (victim, at_victim) = world.vm(2, 1).await;
    let (_, at_near) = world.vm(3, 0).await;
    for (member, at) in [(&liar, 0), (&victim, 1), (&at_near.member.clone(), 0)] {
        world.add_row(member, at);
    }
    world.tell_all().await;
    let near = at_near.member.clone();
    let foreign_ip = "10.77.233.77".parse().unwrap();
    for to in [&victim, &near] {
        at_liar.send(&udp(
            near.mac.0,
            to.mac.0,
            v4(&liar),
            v4(to),
            "another's Ethernet address",
        ));
        at_liar.send(&udp(
            liar.mac.0,
            to.mac.0,
            v4(&near),
            v4(to),
            "another's IPv4 address",
        ));
        at_liar.send(&udp(
            liar.mac.0,
            to.mac.0,
            foreign_ip,
            v4(to),
            "nobody's IPv4 address",
        ));
        at_liar.send(&udp(
            liar.mac.0,
            [0xff; 6],
            v4(&near),
            [255; 4].into(),
            "to everybody",
        ));
        at_liar.says(to, "honest");
    }
    assert_eq!(at_victim.texts().await, ["honest"]);
    assert_eq!(at_near.texts().await, ["honest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_whose_place_is_elsewhere_is_fenced_until_the_directory_brings_it_back() {
    let mut world = World::empty(Plan::default(), Encap::Gre).await;
    let (vm, at_vm) = world.vm(1, 0).await;
    let (peer, at_peer) = world.vm(2, 0).await;
    world.add_row(&vm, 1);
    world.add_row(&peer, 0);
    world.tell_all().await;
    at_vm.says(&peer, "from beyond the fence");
    assert!(at_peer.texts().await.is_empty());
    world
        .host(0)
        .apply(Vec::new(), vec![world.row(&vm, 0, 2)], Vec::new())
        .await
        .unwrap();
    world.effective().await;
    at_vm.says(&peer, "back again");
    assert_eq!(at_peer.texts().await, ["back again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_broadcast_reaches_each_other_member_once() {
    let mut world = World::empty(
        Plan {
            hosts: 3,
            ..Plan::default()
        },
        Encap::Geneve,
    )
    .await;
    let mut guests = Vec::new();
    for (number, at) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
        let (member, guest) = world.vm(number, at).await;
        world.add_row(&member, at);
        guests.push(guest);
    }
    world.tell_all().await;
    let sender = &guests[0];
    sender.send(&udp(
        sender.member.mac.0,
        [0xff; 6],
        sender.ip(),
        [255; 4].into(),
        "to all",
    ));
    for guest in &guests[1..] {
        assert_eq!(guest.texts().await, ["to all"], "{}", guest.member.name);
    }
    let own: Vec<_> = sender
        .received()
        .await
        .iter()
        .filter_map(|frame| text_of(frame))
        .collect();
    assert!(own.is_empty());
}
