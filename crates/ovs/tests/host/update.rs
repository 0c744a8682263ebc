//! Moves: who talks to a member does not notice.

use crate::support::World;
use model::{Encap, Epoch, order::Gone};
use ovs::Arrivals;
use ovs::bench::stage::Plan;
use ovs::bench::updating;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_to_a_member_that_moves_to_and_fro_loses_nothing() {
    for encap in [Encap::Vxlan, Encap::Geneve] {
        let world = World::empty(
            Plan {
                hosts: 3,
                ..Plan::default()
            },
            encap,
        )
        .await;
        let result = updating(&world.stage, 30, Duration::from_millis(20), encap)
            .await
            .unwrap();
        assert_eq!(
            (result.stream.lost, result.stream.duplicated),
            (0, 0),
            "{:?}",
            result.stream
        );
        assert_eq!(result.rule_switch_ms.len(), 30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_prepared_before_another_change_is_worked_out_again() {
    let world = World::linked(
        Plan {
            hosts: 3,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    let host = world.host(0);
    let moved = world.row(&world.members[1], 2, 5);
    let late = host
        .prepare(
            Vec::new(),
            vec![world.row(&world.members[1], 1, 4)],
            Vec::new(),
        )
        .await;
    let prepared = host
        .prepare(Vec::new(), vec![moved.clone()], Vec::new())
        .await;
    assert_eq!(host.commit_prepared(prepared).await.unwrap().changed, 1);
    assert_eq!(host.commit_prepared(late).await.unwrap().ignored, 1);
    assert!(host.entries().await.contains(&moved));
    assert_eq!(host.converge_rules().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_row_the_switch_holds_exactly_the_rules_that_follow() {
    let mut world = World::linked(
        Plan {
            hosts: 2,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    let (vm, _guest) = world.vm(9, 0).await;
    let key = world.key(&vm);
    let host = world.host(0).clone();
    host.apply(Vec::new(), vec![world.row(&vm, 1, 1)], Vec::new())
        .await
        .unwrap();
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    host.apply(Vec::new(), vec![world.row(&vm, 0, 2)], Vec::new())
        .await
        .unwrap();
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    let to = world.stage.hosts[1].config.underlay[0].address;
    host.set_arrivals(&key, Some(Arrivals::Redirect { to }))
        .await
        .unwrap();
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    host.apply(Vec::new(), vec![world.row(&vm, 1, 3)], Vec::new())
        .await
        .unwrap();
    host.set_arrivals(&key, None).await.unwrap();
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    host.unlink(&key.0, &key.1).await.unwrap();
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    let gone = Gone {
        cluster: key.0.clone(),
        vm: key.1.clone(),
        epoch: Epoch(4),
    };
    assert_eq!(
        host.apply(Vec::new(), Vec::new(), vec![gone])
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(host.converge_rules().await.unwrap(), 0);
    world.assert_all_reach_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_redirects_what_still_comes_for_a_member_that_has_left() {
    let mut world = World::linked(
        Plan {
            hosts: 3,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    let (vm, old) = world.vm(9, 1).await;
    world.host(2).link(&world.net, &vm).await.unwrap();
    let new = world.guest(&vm, 2).await;
    world.add_row(&vm, 1);
    world.tell_all().await;
    let (talker_member, talker) = world.vm(8, 0).await;
    world.add_row(&talker_member, 0);
    world.tell_all().await;
    talker.says(&vm, "to the source");
    assert_eq!(old.texts().await, ["to the source"]);

    let key = world.key(&vm);
    let to = world.stage.hosts[2].config.underlay[0].address;
    world
        .host(2)
        .apply(Vec::new(), vec![world.row(&vm, 2, 2)], Vec::new())
        .await
        .unwrap();
    world
        .host(1)
        .set_arrivals(&key, Some(Arrivals::Redirect { to }))
        .await
        .unwrap();
    world.effective().await;
    talker.says(&vm, "by way of the source");
    assert_eq!(new.texts().await, ["by way of the source"]);
    assert!(old.texts().await.is_empty());
    world
        .host(0)
        .apply(Vec::new(), vec![world.row(&vm, 2, 2)], Vec::new())
        .await
        .unwrap();
    world.effective().await;
    talker.says(&vm, "directly");
    assert_eq!(new.texts().await, ["directly"]);
}
