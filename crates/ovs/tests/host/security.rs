//! Security rules in real switches: what they stop, what they let through, and what becomes of
//! connections when their member moves or its rules change.

use crate::machine::{Machine, dial, echoes, serve};
use crate::support::{World, ping};
use model::{Encap, Member, SecurityRule};
use ovs::bench::stage::{self, Plan};
use std::net::IpAddr;
use std::time::Duration;

const SOURCE: usize = 0;
const TARGET: usize = 1;
const OFFICE: usize = 2;

fn rules(texts: &[&str]) -> Vec<SecurityRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Three hosts; a VM with rules on the first, a peer with a kernel of its own on the third.
async fn scene(security: &[&str]) -> (World, Member, Machine, IpAddr) {
    let plan = Plan {
        hosts: 3,
        ..Plan::default()
    };
    let mut world = World::empty(plan, Encap::Vxlan).await;
    let (mut vm, guest) = world.vm(1, SOURCE).await;
    vm.security = rules(security);
    let host = world.stage.hosts[OFFICE].config.host.clone();
    let peer = stage::member(&world.net, 2, &host).unwrap();
    world.host(OFFICE).link(&world.net, &peer).await.unwrap();
    world.add_row(&vm, SOURCE);
    world.add_row(&peer, OFFICE);
    world.tell_all().await;
    let machine = Machine::start(&vm, guest.tap).await;
    let peer_ip = peer.addresses[0].address;
    (world, vm, machine, peer_ip)
}

/// The row of the VM as all hosts have it from now on.
async fn told(world: &World, vm: &Member, at: usize, epoch: u64) {
    for host in 0..3 {
        let row = world.row(vm, at, epoch);
        let told = world.host(host).apply(Vec::new(), vec![row], Vec::new());
        told.await.unwrap();
    }
    world.effective().await;
}

async fn carried_rules(world: &World, at: usize) -> usize {
    let dump = world.appctl(at).run("bridge/dump-flows", &["icint0"]);
    let dump = dump.await.unwrap();
    dump.lines()
        .filter(|line| line.contains("priority=300"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_stop_what_they_do_not_allow_and_answers_pass_by_themselves() {
    let (world, vm, machine, peer) = scene(&[
        "ingress tcp 80-81 from 10.77.0.0/16",
        "egress tcp 7000 to member member-2",
        "egress icmp to any",
    ])
    .await;
    for port in [80, 81, 82] {
        serve(&machine.netns, port).await;
    }
    for port in [7000, 7001] {
        serve(world.netns(OFFICE), port).await;
    }
    let own = vm.addresses[0].address;
    for (port, open) in [(80, true), (81, true), (82, false)] {
        let stream = dial(world.netns(OFFICE), own, port).await;
        assert_eq!(stream.is_some(), open, "to port {port}");
        if let Some(mut stream) = stream {
            assert!(echoes(&mut stream).await);
        }
    }
    let mut out = dial(&machine.netns, peer, 7000).await.expect("allowed");
    assert!(echoes(&mut out).await, "a reply needs no rule");
    assert!(dial(&machine.netns, peer, 7001).await.is_none());
    assert!(ping(&machine.netns, peer).await, "echo and its reply");
    assert!(
        !ping(world.netns(OFFICE), own).await,
        "nobody may ask the member"
    );
    let v6 = vm.addresses[1].address;
    assert!(!ping(world.netns(OFFICE), v6).await);
    assert!(
        dial(world.netns(OFFICE), v6, 80).await.is_none(),
        "only IPv4 is allowed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_on_where_their_member_goes_and_no_others_begin() {
    let (mut world, vm, machine, peer) =
        scene(&["ingress tcp 80 from any", "egress tcp 7000 to any"]).await;
    let (key, own) = (world.key(&vm), vm.addresses[0].address);
    for port in [80, 81] {
        serve(&machine.netns, port).await;
    }
    for port in [7000, 7001] {
        serve(world.netns(OFFICE), port).await;
    }
    let office = world.netns(OFFICE).clone();
    let mut inward = dial(&office, own, 80).await.expect("allowed");
    let mut silent = dial(&office, own, 80).await.expect("allowed");
    let mut outward = dial(&machine.netns, peer, 7000).await.expect("allowed");
    for stream in [&mut inward, &mut silent, &mut outward] {
        assert!(echoes(stream).await);
    }
    let known = world.host(SOURCE).connections(&key).await.unwrap();
    assert_eq!(known.len(), 3, "{known:?}");
    assert_eq!(known.iter().filter(|one| one.flow.by_member).count(), 1);
    assert!(
        known
            .iter()
            .all(|one| one.established && one.expires_s > 3600)
    );

    // One that nobody carries: it begins after the table was read.
    let mut late = dial(&office, own, 80).await.expect("allowed");
    assert!(echoes(&mut late).await);

    world.host(TARGET).link(&world.net, &vm).await.unwrap();
    assert!(
        world.host(TARGET).is_secured(&key).await,
        "the rules are there before it is"
    );
    world.host(TARGET).carry(&key, &known).await.unwrap();
    assert_eq!(carried_rules(&world, TARGET).await, 6);
    let tap = world.host(TARGET).open_tap(&key).await.unwrap();
    machine.put(tap);
    told(&world, &vm, TARGET, 2).await;

    assert!(echoes(&mut inward).await, "the other side goes on first");
    assert!(echoes(&mut outward).await, "the member goes on first");
    assert!(!echoes(&mut late).await, "what is in no table is a stray");
    assert!(dial(&office, own, 81).await.is_none(), "still forbidden");
    assert!(
        dial(&machine.netns, peer, 7001).await.is_none(),
        "still forbidden"
    );
    assert!(dial(&office, own, 80).await.is_some(), "still allowed");

    // Somebody tries his luck in the middle of a connection that never was.
    let (talker, raw) = world.vm(3, OFFICE).await;
    world.add_row(&talker, OFFICE);
    for host in 0..3 {
        let row = world.row(&talker, OFFICE, 1);
        let told = world.host(host).apply(Vec::new(), vec![row], Vec::new());
        told.await.unwrap();
    }
    world.effective().await;
    for (port, flags) in [
        (5001, "ack"),
        (5002, "syn-ack"),
        (5003, "rst"),
        (5004, "syn"),
    ] {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (talker.addresses[0].address, own) else {
            panic!("the first addresses are IPv4");
        };
        let builder = etherparse::PacketBuilder::ethernet2(talker.mac.0, vm.mac.0)
            .ipv4(src.octets(), dst.octets(), 64)
            .tcp(port, 80, 1000, 1000);
        let builder = match flags {
            "ack" => builder.ack(77),
            "syn-ack" => builder.syn().ack(77),
            "rst" => builder.rst(),
            _ => builder.syn(),
        };
        let mut frame = Vec::new();
        builder.write(&mut frame, b"hello").unwrap();
        raw.send(&frame);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(machine.was_given_from(port), flags == "syn", "{flags}");
    }

    // The switch's own table takes over; the silent one still waits for its first word here.
    let mut rules = 6;
    for _ in 0..40 {
        rules = carried_rules(&world, TARGET).await;
        if rules == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(rules, 2);
    for stream in [&mut inward, &mut outward, &mut silent] {
        assert!(echoes(stream).await);
    }

    // What the source knew is gone with the port.
    world.host(SOURCE).unlink(&key.0, &key.1).await.unwrap();
    let dump = world.appctl(SOURCE).run("dpctl/dump-conntrack", &[]);
    assert_eq!(dump.await.unwrap().trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_taken_away_cut_what_only_they_allowed() {
    let (world, mut vm, machine, peer) =
        scene(&["ingress tcp 80-81 from any", "egress any to any"]).await;
    let own = vm.addresses[0].address;
    for port in [80, 81] {
        serve(&machine.netns, port).await;
    }
    serve(world.netns(OFFICE), 7000).await;
    let mut cut = dial(world.netns(OFFICE), own, 80).await.expect("allowed");
    let mut stays = dial(world.netns(OFFICE), own, 81).await.expect("allowed");
    let mut out = dial(&machine.netns, peer, 7000).await.expect("allowed");
    for stream in [&mut cut, &mut stays, &mut out] {
        assert!(echoes(stream).await);
    }
    vm.security = rules(&["ingress tcp 81 from any", "egress any to any"]);
    told(&world, &vm, SOURCE, 2).await;
    assert!(
        !echoes(&mut cut).await,
        "though the member may answer anybody"
    );
    assert!(echoes(&mut stays).await);
    assert!(echoes(&mut out).await);
    assert!(dial(world.netns(OFFICE), own, 80).await.is_none());
    // Without rules it is open again, and nothing of it is tracked.
    vm.security = Vec::new();
    told(&world, &vm, SOURCE, 3).await;
    assert!(dial(world.netns(OFFICE), own, 80).await.is_some());
    assert!(echoes(&mut out).await);
    let dump = world.appctl(SOURCE).run("dpctl/dump-conntrack", &[]);
    assert_eq!(dump.await.unwrap().trim(), "");
}
