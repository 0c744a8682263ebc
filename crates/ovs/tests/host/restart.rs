//! Restarts: of the agent, which nobody notices, and of ovs-vswitchd, after which all is as before.

use crate::support::{World, ping};
use model::Encap;
use ovs::Daemons;
use ovs::bench::stage::Plan;
use ovs::bench::stream::Stream;
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_agent_disturbs_no_traffic_and_changes_no_rule() {
    let mut world = World::linked(Plan::default(), Encap::Vxlan).await;
    let address = |at: usize, port| SocketAddr::new(world.members[at].addresses[0].address, port);
    let (from, to) = (address(0, 0), address(1, 7100));
    let stream = Stream::start(
        (world.netns(0), from),
        (world.netns(1), to),
        Duration::from_millis(1),
    )
    .await
    .unwrap();
    let entries = world.host(0).entries().await;
    let ports = world.host(0).ports().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stage.hosts[0].host = None;
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stage.start_agent(0).await.unwrap();
    }
    assert_eq!(world.host(0).entries().await, entries);
    assert_eq!(world.host(0).ports().await, ports);
    assert_eq!(world.host(0).replace(world.slice()).await.unwrap().rules, 0);
    assert_eq!(world.host(0).converge_rules().await.unwrap(), 0);
    let outcome = stream.stop().await.unwrap();
    assert_eq!((outcome.lost, outcome.duplicated), (0, 0), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_ovs_vswitchd_ports_addresses_and_rules_are_as_before() {
    let mut world = World::linked(Plan::default(), Encap::Geneve).await;
    let (vm, guest) = world.vm(9, 0).await;
    world.add_row(&vm, 0);
    world.tell_all().await;
    let ports = world.host(0).ports().await;
    world.stage.hosts[0]
        .daemons
        .restart_vswitchd()
        .await
        .unwrap();
    settled(&world, 0).await;
    assert_eq!(world.host(0).ports().await, ports);
    world.assert_all_reach_all().await;
    guest.says(&world.members[1], "hello");
    let stats = world.host(0).port_stats(&world.key(&vm)).await.unwrap();
    assert!(stats.from_member >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_away_while_ovs_vswitchd_restarted_repairs_it_without_the_controller() {
    let mut world = World::linked(Plan::default(), Encap::Vxlan).await;
    world.stage.hosts[0].host = None;
    world.stage.hosts[0]
        .daemons
        .restart_vswitchd()
        .await
        .unwrap();
    assert!(!ping(world.netns(1), world.members[0].addresses[0].address).await);
    world.stage.start_agent(0).await.unwrap();
    world.assert_all_reach_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_were_killed_are_revived_and_the_host_repairs_itself() {
    let world = World::linked(Plan::default(), Encap::Vxlan).await;
    let daemons = &world.stage.hosts[0].daemons;
    let before = (daemons.vswitchd_pid(), daemons.ovsdb_pid());
    daemons.kill();
    while daemons.vswitchd_pid().is_some() || daemons.ovsdb_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(daemons.revive().await.unwrap());
    assert_ne!((daemons.vswitchd_pid(), daemons.ovsdb_pid()), before);
    settled(&world, 0).await;
    world.assert_all_reach_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_run_are_found_and_stopped_ones_leave_nothing() {
    let world = World::empty(Plan::default(), Encap::Vxlan).await;
    let host = &world.stage.hosts[0];
    let before = (host.daemons.vswitchd_pid(), host.daemons.ovsdb_pid());
    let found = Daemons::start(&host.netns, &host.config.rundir)
        .await
        .unwrap();
    assert_eq!((found.vswitchd_pid(), found.ovsdb_pid()), before);
    found.stop().await;
    assert_eq!((found.vswitchd_pid(), found.ovsdb_pid()), (None, None));
    let links = host.netlink.links().await.unwrap();
    assert!(
        links.iter().all(|link| !link.name.starts_with("ic")),
        "{links:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_while_the_switch_is_away_is_kept_and_installed_when_it_is_back() {
    let world = World::linked(
        Plan {
            hosts: 3,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    world.stage.hosts[0].daemons.kill();
    while world.stage.hosts[0].daemons.vswitchd_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let moved = world.row(&world.members[1], 2, 2);
    assert!(
        world
            .host(0)
            .apply(Vec::new(), vec![moved.clone()], Vec::new())
            .await
            .is_err()
    );
    world.stage.hosts[0].daemons.revive().await.unwrap();
    settled(&world, 0).await;
    assert!(world.host(0).entries().await.contains(&moved));
    assert_eq!(world.host(0).converge_rules().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_removed_or_added_by_hand_are_set_right() {
    let world = World::linked(Plan::default(), Encap::Vxlan).await;
    let rundir = world.stage.hosts[0].config.rundir.clone();
    let status = std::process::Command::new("ovs-ofctl")
        .env("OVS_RUNDIR", &rundir)
        .args(["-OOpenFlow13", "del-flows", "icint0", "table=30"])
        .status()
        .expect("the program 'ovs-ofctl'; install openvswitch-switch");
    assert!(status.success());
    assert!(!ping(world.netns(0), world.members[1].addresses[0].address).await);
    assert!(world.host(0).converge_rules().await.unwrap() > 0);
    world.assert_all_reach_all().await;
}

/// Waits until the host has repaired itself: rules as they should be, underlay address back.
async fn settled(world: &World, at: usize) {
    let underlay = world.stage.hosts[at].config.underlay[0].address;
    for _ in 0..200 {
        if world
            .host(at)
            .converge_rules()
            .await
            .is_ok_and(|rules| rules == 0)
            && ping(world.netns(1), underlay).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the host has not repaired itself");
}
