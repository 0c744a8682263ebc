//! What a user does.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent, shop, slowly};
use lab::demo::Tour;
use lab::shop::Load;
use measure::guest::Dirty;
use model::migration::{FlipOrder, Options, State};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_under_load_goes_there_and_back_and_no_session_breaks() {
    let lab = Lab::up("pair", 2, Load::USUAL).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    for to in ["south", "north"] {
        let moved = tour
            .travel(to, Options::default(), &mut Silent)
            .await
            .unwrap();
        assert_eq!(moved.state, State::Arrived, "{}", moved.message);
    }
    let seen = tour.end().await.unwrap();
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        assert!(
            vm.udp_max_copies <= 2,
            "{}: {} copies",
            vm.name,
            vm.udp_max_copies
        );
        assert!(vm.udp_sent > 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_after_the_flip_replays_what_waited_at_the_target() {
    let lab = Lab::up("abort", 1, Load::USUAL).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    let options = Options {
        rehearse: true,
        ..Options::default()
    };
    let moved = tour.travel("south", options, &mut Silent).await.unwrap();
    assert_eq!(moved.state, State::Aborted, "{}", moved.message);
    assert!(moved.message.contains("rehearsal"), "{}", moved.message);
    let seen = tour.end().await.unwrap();
    let vm = &seen.migrations[0].vms[0];
    assert_eq!(vm.tcp_lost, 0);
    assert!(vm.udp_lost < OUT_OF_ORDER, "{} lost", vm.udp_lost);
    assert_eq!(lab.places("shop-1").await, ["north"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_vm_without_traffic_moves_and_is_rolled_back() {
    let lab = Lab::up("idle", 1, Load::IDLE).await;
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["south"]);
    assert!(lab.answers().await);
    let back = lab.client().rollback(&id).await.unwrap();
    let end = lab.until_end(&back.id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["north"]);
    let nothing_left = lab.client().rollback(&id).await.unwrap_err().to_string();
    assert!(
        nothing_left.contains("at 'north' already"),
        "{nothing_left}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_leaves_the_cluster_at_the_source() {
    let lab = Lab::up("cancel", 2, Load::USUAL).await;
    let id = lab.begin("south", slowly()).await;
    lab.until_pre_copy(&id).await;
    lab.client().cancel(&id).await.unwrap();
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["north"]);
    assert!(lab.answers().await);
    let again = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&again).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dirties_faster_than_the_wan_carries_is_refused_with_the_reason() {
    let lab = Lab::up("fast", 1, Load::IDLE).await;
    let probe = lab::parts::start_probe(lab.standing.testbed.boxed())
        .await
        .unwrap();
    let fast = Dirty {
        mb: Some(48),
        pages: Some(12_000),
        random: Some(true),
    };
    let narrow = || Options {
        bandwidth_mbit: 60.0,
        ..Options::default()
    };
    // One that begins to on the way is found out on the way.
    let id = lab.begin("south", narrow()).await;
    lab.until_pre_copy(&id).await;
    probe.dirty(&lab.standing.targets, fast).await.unwrap();
    probe.quit().await.unwrap();
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert!(end.message.contains("dirties"), "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["north"]);
    // One that does so already, in the plan; unless it may be slowed down.
    let south = model::SiteName::new("south").unwrap();
    let refused = lab.client().migrate(&shop(), &south, narrow()).await;
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains("dirties") && said.contains("--allow-slowdown"),
        "{said}"
    );
    let slowed = Options {
        allow_slowdown: true,
        ..narrow()
    };
    let plan = lab.client().plan(&shop(), &south, slowed).await.unwrap();
    assert_eq!(plan.refusal(), None);
    assert_eq!(plan.vms[0].convergence, model::plan::Convergence::Slowed);
    assert!(lab.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_flipping_moves_the_vm() {
    let lab = Lab::up("orders", 1, Load::IDLE).await;
    for (order, to) in [
        (FlipOrder::PreSwitchover, "south"),
        (FlipOrder::AfterResume, "north"),
        (FlipOrder::Redirect, "south"),
    ] {
        let id = lab
            .begin(
                to,
                Options {
                    order,
                    ..Options::default()
                },
            )
            .await;
        let end = lab.until_end(&id).await;
        assert_eq!(end.state, State::Arrived, "{order:?}: {}", end.message);
        assert!(lab.answers().await, "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_move_of_the_same_cluster_is_refused() {
    let lab = Lab::up("second", 1, Load::USUAL).await;
    let id = lab.begin("south", slowly()).await;
    lab.until_pre_copy(&id).await;
    let south = model::SiteName::new("south").unwrap();
    let second = lab
        .client()
        .migrate(&shop(), &south, Options::default())
        .await
        .unwrap_err();
    assert!(second.to_string().contains(id.as_str()), "{second}");
    let north = model::SiteName::new("north").unwrap();
    lab.client().cancel(&id).await.unwrap();
    lab.until_end(&id).await;
    let same = lab
        .client()
        .migrate(&shop(), &north, Options::default())
        .await
        .unwrap_err();
    assert!(same.to_string().contains("already"), "{same}");
}
